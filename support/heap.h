// A heap for what a compiler does: millions of small objects on one or two threads, most of them
// given back soon after. Large pages (a compilation touches 100 MB once), sizes in classes, a cache
// of free objects for each thread. What it cannot serve comes from malloc. It is used by programs
// that replace operator new with it (tools/gradc/new.cpp), never by libraries.
#pragma once

#include <cstddef>

namespace gradc::heap {

/// Null if there is no memory. `alignment`: a power of two.
void* allocate(size_t bytes);
void* allocate(size_t bytes, size_t alignment);
void deallocate(void* memory);
/// `bytes`: what was asked for, without an alignment.
void deallocate(void* memory, size_t bytes);

/// Free pages go back to the system: this heap's as far as other threads do not hold them for
/// themselves, and malloc's.
void give_back();

}  // namespace gradc::heap
