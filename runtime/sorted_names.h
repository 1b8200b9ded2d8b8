// Names in byte order. One place sorts them for all: a program carries the code of a sort once.
#pragma once

#include "runtime/containers.h"

namespace gradc::rt {

/// Equal names are in the order of their addresses: of one list, as they stood.
void sort_names(Vec<const Str*>* names);
void sort_names(Vec<Str>* names);
/// Where the names stand, the first in byte order first.
Vec<size_t> sorted_places(const Vec<Str>& names);

}  // namespace gradc::rt
