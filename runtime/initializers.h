// Keras's initializers. Arithmetic is in double; each random value depends on (seed, stream,
// element) only.
#pragma once

#include "runtime/model_abi.h"
#include "runtime/status.h"

namespace gradc::rt {

/// The same for one of `parts` shares, to be filled by as many threads; all shares together give
/// the same bytes. Does not clear: the memory of every share must be zero before.
Status initialize_part(const gradc_rt_tensor& tensor, uint64_t seed, void* out, int32_t part,
                       int32_t parts);

/// Fills `out` (tensor.bytes long) with the tensor's initial value under `seed`; NULL initializer
/// gives zeros.
Status initialize_tensor(const gradc_rt_tensor& tensor, uint64_t seed, void* out);

}  // namespace gradc::rt
