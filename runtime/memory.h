// Memory of Vec and Str, and what happens when there is none.
//
// Where the core is compiled with exceptions (libgradc and the command) grow_memory throws
// std::bad_alloc, and destructors do the rest. Compiled programs and libraries have no C++ library
// to throw with: there survive() marks a place to return to. When memory runs out inside, what was
// taken since then is given back - blocks, and what Held objects stand for - and survive() says so.
// For this to be sound, work inside survive() keeps what outlives it as it was until nothing can
// fail any more: it builds anew and moves at the end. Only the thread that called survive() may
// allocate; work on the pool's threads never does.
#pragma once

#include "runtime/containers.h"
#include "runtime/status.h"

namespace gradc::rt {

/// Runs work(context); false when memory ran out, with *asked the bytes that there were not.
bool run_surviving(void (*work)(void* context), void* context, size_t* asked);

/// The status of running out of memory; its text may be empty when there is none for that either.
Status out_of_memory(size_t asked);

/// work(), a Status, or out_of_memory().
template <class Work>
Status survive(Work&& work) {
  struct Call {
    Work* work;
    Status status;
  } call{&work, {}};
  size_t asked = 0;
  const auto run = [](void* context) {
    Call* it = static_cast<Call*>(context);
    it->status = (*it->work)();
  };
  if (!run_surviving(run, &call, &asked)) return out_of_memory(asked);
  return static_cast<Status&&>(call.status);
}

/// A member of an object that owns more than memory (a descriptor, a temporary file) on the stack:
/// release(object) is called if memory runs out before the destructor could. The object must not
/// move.
class Held {
 public:
#if defined(__cpp_exceptions)
  Held(void (*)(void* object), void*) {}
#else
  Held(void (*release)(void* object), void* object);
  ~Held();
#endif
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
#if !defined(__cpp_exceptions)
  friend struct Survival;
  void (*release_)(void* object);
  void* object_;
  Held* outer_;
#endif
};

}  // namespace gradc::rt
