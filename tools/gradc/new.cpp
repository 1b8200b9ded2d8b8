// The command's operator new: its own heap, since a compilation spends a quarter of its time in
// malloc's and in page faults.
#include "support/heap.h"

#include <new>

namespace {

/// As the standard wants it: the handler may make room, until there is none.
template <class Allocate>
void* allocate_or_throw(Allocate&& allocate) {
  for (;;) {
    if (void* memory = allocate()) return memory;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
}

}  // namespace

void* operator new(size_t bytes) {
  if (void* memory = gradc::heap::allocate(bytes)) return memory;
  return allocate_or_throw([&] { return gradc::heap::allocate(bytes); });
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(
      [&] { return gradc::heap::allocate(bytes, static_cast<size_t>(alignment)); });
}
void operator delete(void* memory) noexcept {
  gradc::heap::deallocate(memory);
}
void operator delete(void* memory, size_t bytes) noexcept {
  gradc::heap::deallocate(memory, bytes);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  gradc::heap::deallocate(memory);
}
void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  gradc::heap::deallocate(memory);
}
