// Runs a compiled entry on tensors, with real threads that meet at real barriers. Slots are those
// of entry_of() in lower_support.h: inputs by position, then outputs by position.
#pragma once

#include "codegen/jit.h"
#include "ir/graph.h"
#include "ir/tensor.h"
#include "runtime/dtype.h"
#include "tests/unit/codegen/jit_support.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cstring>
#include <thread>
#include <vector>

namespace gradc::test {

/// The runtime's number for a type is the IR's.
inline rt::Dtype stored_as(DType dtype) {
  const auto stored = static_cast<rt::Dtype>(dtype);
  EXPECT_EQ(rt::dtype_name(stored), dtype_name(dtype));
  return stored;
}

inline std::vector<std::byte> to_bytes(const Tensor& t) {
  const rt::Dtype dtype = stored_as(t.type.dtype);
  std::vector<std::byte> bytes(t.data.size() * rt::dtype_bytes(dtype));
  for (size_t i = 0; i < t.data.size(); ++i)
    rt::store_f64(bytes.data(), dtype, i, t.data[i]);
  return bytes;
}

inline Tensor from_bytes(const TensorType& type, const std::vector<std::byte>& bytes) {
  Tensor t(type);
  for (size_t i = 0; i < t.data.size(); ++i)
    t.data[i] = rt::load_f64(bytes.data(), stored_as(type.dtype), i);
  return t;
}

/// Runs an entry with real threads that meet at real barriers.
inline void run_threads(const JitEntry& entry, std::vector<void*>& slots, int count) {
  const auto arena = aligned_bytes(entry.table.arena_bytes);
  std::memset(arena.get(), 0xff, static_cast<size_t>(entry.table.arena_bytes));  // NaN
  std::barrier<> meet(count);
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      const auto scratch = aligned_bytes(entry.table.scratch_bytes);
      const auto wait = [](void* pool) { static_cast<std::barrier<>*>(pool)->arrive_and_wait(); };
      run_entry(entry, slots.data(), arena.get(), {i, count, wait, &meet, scratch.get()});
    });
  }
}

using Memory = std::vector<std::vector<std::byte>>;

inline Memory run_compiled(const JitEntry& entry, const Graph& graph,
                           const std::vector<Tensor>& inputs, int threads) {
  Memory memory;
  for (const Tensor& t : inputs)
    memory.push_back(to_bytes(t));
  for (const GraphOutput& output : graph.outputs())
    memory.push_back(to_bytes(Tensor(graph.type(output.value))));
  std::vector<void*> slots;
  for (std::vector<std::byte>& bytes : memory)
    slots.push_back(bytes.data());
  run_threads(entry, slots, threads);
  return memory;
}

}  // namespace gradc::test
