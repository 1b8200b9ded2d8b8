// The text of kernels, for people and for comparing; kernel_parser.h reads them back,
// program_text.h is that of programs.
#pragma once

#include "codegen/kernel/kernel.h"

#include <string>

namespace gradc::kernel {

/// Readable text with the kernel's own names, made words and distinct. `%acc fma= a, b` is
/// acc = a * b + acc rounded once; `sums=groups` or `sums=lanes` behind a loop's bounds and grain
/// is the order in which it adds floats (sum_order.h).
std::string to_string(const Kernel& kernel);
std::string to_string(const Kernel& kernel, ExprId expr);
std::string to_string(const Kernel& kernel, const Affine& affine);

/// Text without names and with every property that code depends on (dtypes, roles, shapes,
/// aliasing, alignment, schedules): two kernels may share code exactly if their canonical texts are
/// equal.
std::string canonical_text(const Kernel& kernel);

}  // namespace gradc::kernel
