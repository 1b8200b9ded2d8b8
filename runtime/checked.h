// Looking at the values that a host gives before they are used.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// Ok if `rows` rows in buffers[i] of each input (or target) hold finite numbers, and labels and
/// indices within their range; else an error that names the first place where not.
Status check_rows(const Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
                  int64_t rows);

}  // namespace gradc::rt
