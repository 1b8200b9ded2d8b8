// Arrays with their axes in another order.
#pragma once

#include "frontend/options.h"
#include "runtime/array.h"

namespace gradc::exchange {

/// Result axis i is axis perm[i].
void transpose(rt::Array& array, const Ints& perm);
/// The same elements under other extents.
void reshape(rt::Array& array, const Ints& dims);

}  // namespace gradc::exchange
