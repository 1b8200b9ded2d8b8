// Each block has a link in front of it: those taken inside survive() form a ring, so that they can
// be given back together. The memory that Instance allocates is not among them.
#include "runtime/memory.h"

#include <cstdio>
#include <cstdlib>

#if defined(__cpp_exceptions)
#include <new>
#else
#include <csetjmp>
#endif

namespace gradc::rt {

#if defined(__cpp_exceptions)

namespace {

struct OutOfMemory : std::bad_alloc {
  explicit OutOfMemory(size_t bytes) : asked(bytes) {}
  const char* what() const noexcept override { return "out of memory"; }
  size_t asked;
};

}  // namespace

void* grow_memory(void* memory, size_t bytes) {
  void* grown = realloc(memory, bytes > 0 ? bytes : 1);
  if (grown == nullptr) throw OutOfMemory(bytes);
  return grown;
}

void release_memory(void* memory) {
  free(memory);
}

bool run_surviving(void (*work)(void* context), void* context, size_t* asked) {
  try {
    work(context);
    return true;
  } catch (const OutOfMemory& error) {
    *asked = error.asked;
  } catch (const std::bad_alloc&) {
    *asked = 0;
  }
  return false;
}

#else

struct Block {
  Block* previous;
  Block* next;
};
static_assert(sizeof(Block) % alignof(max_align_t) == 0);

/// One call of survive(), on its stack.
struct Survival {
  jmp_buf place;
  Survival* outer;
  Held* held;    // the innermost
  Block blocks;  // the ring's own link
  size_t asked;

  void abandon() {
    // Their frames still stand: nothing has jumped yet.
    for (Held* it = held; it != nullptr; it = it->outer_)
      it->release_(it->object_);
    while (blocks.next != &blocks) {
      Block* block = blocks.next;
      blocks.next = block->next;
      free(block);
    }
  }
};

namespace {

// Initial-exec: reading it must not allocate, which the first access from a loaded library would.
__attribute__((tls_model("initial-exec"))) thread_local Survival* innermost = nullptr;

void unlink(Block* block) {
  if (block->next == nullptr) return;
  block->previous->next = block->next;
  block->next->previous = block->previous;
  block->previous = block->next = nullptr;
}

void link_after(Block* place, Block* block) {
  block->previous = place;
  block->next = place->next;
  place->next->previous = block;
  place->next = block;
}

[[noreturn]] void run_out(size_t bytes) {
  Survival* survival = innermost;
  if (survival == nullptr) {
    fprintf(stderr, "internal error: out of memory where it cannot be survived (%zu bytes)\n",
            bytes);
    abort();
  }
  survival->abandon();
  survival->asked = bytes;
  innermost = survival->outer;
  longjmp(survival->place, 1);
}

}  // namespace

void* grow_memory(void* memory, size_t bytes) {
  Block* old = memory == nullptr ? nullptr : static_cast<Block*>(memory) - 1;
  const Block links = old == nullptr ? Block{} : *old;
  Block* grown = bytes > SIZE_MAX - sizeof(Block)
                     ? nullptr
                     : static_cast<Block*>(realloc(old, bytes + sizeof(Block)));
  if (grown == nullptr) run_out(bytes);
  if (old == nullptr) {
    *grown = {};
    if (innermost != nullptr) link_after(&innermost->blocks, grown);
  } else if (links.next != nullptr) {
    links.previous->next = grown;
    links.next->previous = grown;
  }
  return grown + 1;
}

void release_memory(void* memory) {
  if (memory == nullptr) return;
  Block* block = static_cast<Block*>(memory) - 1;
  unlink(block);
  free(block);
}

bool run_surviving(void (*work)(void* context), void* context, size_t* asked) {
  Survival survival;
  survival.outer = innermost;
  survival.held = nullptr;
  survival.blocks = {&survival.blocks, &survival.blocks};
  survival.asked = 0;
  if (setjmp(survival.place) != 0) {
    *asked = survival.asked;
    return false;
  }
  innermost = &survival;
  work(context);
  innermost = survival.outer;
  while (survival.blocks.next != &survival.blocks) {  // what is left belongs to the caller now
    Block* block = survival.blocks.next;
    unlink(block);
    if (survival.outer != nullptr) link_after(&survival.outer->blocks, block);
  }
  return true;
}

Held::Held(void (*release)(void* object), void* object)
    : release_(release), object_(object), outer_(nullptr) {
  if (innermost == nullptr) return;
  outer_ = innermost->held;
  innermost->held = this;
}

Held::~Held() {
  if (innermost != nullptr && innermost->held == this) innermost->held = outer_;
}

#endif

Status out_of_memory(size_t asked) {
  Status status;
  size_t ignored = 0;
  struct Text {
    Status* status;
    size_t asked;
  } text{&status, asked};
  (void)run_surviving(
      [](void* context) {
        Text* it = static_cast<Text*>(context);
        Str words = it->asked == 0 ? Str("out of memory")
                                   : format("out of memory: %zu bytes were asked for", it->asked);
        it->status->text = static_cast<Str&&>(words);
      },
      &text, &ignored);
  status.code = Code::kOutOfMemory;
  return status;
}

}  // namespace gradc::rt
