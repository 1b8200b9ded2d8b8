// How much memory the tables of a compiled model take, which are there beside any instance.
#pragma once

#include "runtime/model_abi.h"

#include <cstdint>

namespace gradc::rt {

/// Everything that the description of the model consists of (tensors, their names, initializers and
/// rules, facts) and the steps, arguments and strides of the entries compiled so far. Kernels' code
/// and constants are none of it.
int64_t table_bytes(const gradc_rt_model& model);

}  // namespace gradc::rt
