// The heap: what is allocated is whole, aligned and nobody else's, whatever comes and goes.
#include "support/heap.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <random>
#include <set>
#include <sys/mman.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace gradc {
namespace {

struct Block {
  unsigned char* memory = nullptr;
  size_t bytes = 0;
  unsigned char mark = 0;
  bool sized = false;

  void fill() const { std::memset(memory, mark, bytes); }
  bool is_whole() const {
    for (size_t i = 0; i < bytes; ++i) {
      if (memory[i] != mark) return false;
    }
    return true;
  }
  void free() const {
    if (sized) {
      heap::deallocate(memory, bytes);
    } else {
      heap::deallocate(memory);
    }
  }
};

/// Mostly small sizes, some of several pages.
Block make_block(std::mt19937& random) {
  Block block;
  const auto kind = random() % 100;
  block.bytes = kind < 80 ? random() % 300 : kind < 98 ? random() % 20'000 : random() % 2'000'000;
  block.mark = static_cast<unsigned char>(random());
  block.sized = random() % 2 == 0;
  size_t alignment = 16;
  if (!block.sized && random() % 10 == 0) {
    alignment = size_t{1} << (random() % 13);
    block.memory = static_cast<unsigned char*>(heap::allocate(block.bytes, alignment));
  } else {
    block.memory = static_cast<unsigned char*>(heap::allocate(block.bytes));
  }
  EXPECT_NE(block.memory, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(block.memory) % alignment, 0U);
  block.fill();
  return block;
}

void come_and_go(uint32_t seed, std::vector<Block>& blocks) {
  std::mt19937 random(seed);
  for (int step = 0; step < 20'000; ++step) {
    if (blocks.size() < 500 || (random() % 2 == 0 && blocks.size() < 2000)) {
      blocks.push_back(make_block(random));
    } else {
      std::swap(blocks[random() % blocks.size()], blocks.back());
      ASSERT_TRUE(blocks.back().is_whole());
      blocks.back().free();
      blocks.pop_back();
    }
    if (step % 5000 == 4999) heap::give_back();
  }
}

void check_and_free(std::vector<Block>& blocks) {
  for (const Block& block : blocks) {
    EXPECT_TRUE(block.is_whole());
    block.free();
  }
  blocks.clear();
}

TEST(Heap, KeepsWhatIsAllocated) {
  std::vector<Block> blocks;
  come_and_go(1, blocks);
  check_and_free(blocks);
}

TEST(Heap, EverySizeHasRoomForItself) {
  std::vector<Block> blocks;
  for (size_t bytes = 0; bytes <= 40'000; bytes += bytes < 2100 ? 1 : 37) {
    for (int i = 0; i < 3; ++i) {
      auto* memory = static_cast<unsigned char*>(heap::allocate(bytes));
      blocks.push_back({memory, bytes, static_cast<unsigned char>(blocks.size()), i == 0});
      blocks.back().fill();
    }
  }
  check_and_free(blocks);
}

TEST(Heap, ThreadsFreeWhatOthersMade) {
  std::vector<std::vector<Block>> made(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < made.size(); ++t)
    threads.emplace_back([&, t] { come_and_go(static_cast<uint32_t>(t) + 10, made[t]); });
  for (std::thread& thread : threads)
    thread.join();
  threads.clear();
  for (size_t t = 0; t < made.size(); ++t)
    threads.emplace_back([&, t] { check_and_free(made[(t + 1) % made.size()]); });
  for (std::thread& thread : threads)
    thread.join();
}

/// How many bytes of these blocks are in memory.
size_t resident(const std::vector<Block>& blocks) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::set<uintptr_t> pages;
  for (const Block& block : blocks)
    pages.insert(reinterpret_cast<uintptr_t>(block.memory) / page * page);
  size_t bytes = 0;
  for (const uintptr_t at : pages) {
    unsigned char there = 0;
    if (mincore(reinterpret_cast<void*>(at), page, &there) == 0 && (there & 1U) != 0) bytes += page;
  }
  return bytes;
}

TEST(Heap, PagesGoBackThoughOthersOfTheirRunAreInUse) {
  std::vector<Block> blocks;
  for (size_t i = 0; i < 100'000; ++i) {
    blocks.push_back({static_cast<unsigned char*>(heap::allocate(64)), 64,
                      static_cast<unsigned char>(i), i % 2 == 0});
    blocks.back().fill();
  }
  const size_t before = resident(blocks);
  std::vector<Block> kept;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (i % 1000 == 0) {
      kept.push_back(blocks[i]);
    } else {
      blocks[i].free();
    }
  }
  heap::give_back();
  EXPECT_LE(resident(blocks), before / 4);
  for (int round = 0; round < 3; ++round) {  // what is asked for now may lie on those pages again
    std::vector<Block> more;
    for (size_t i = 0; i < 20'000; ++i) {
      more.push_back({static_cast<unsigned char*>(heap::allocate(64)), 64,
                      static_cast<unsigned char>(i + 7), i % 3 == 0});
      more.back().fill();
    }
    check_and_free(more);
    heap::give_back();
  }
  check_and_free(kept);
}

/// Which free run of the other tests a block comes from is not told; that there are few is.
TEST(Heap, IsReused) {
  std::set<void*> places;
  for (size_t i = 0; i < 1000; ++i) {
    void* block = heap::allocate((4U + i % 2) << 20U);
    places.insert(block);
    heap::deallocate(block);
  }
  EXPECT_LE(places.size(), 4U);
}

}  // namespace
}  // namespace gradc
