// The text of kernels and programs, for people and for comparing. One way: kernels are made by
// lowering only, so there is no parser.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/kernel/program.h"

#include <string>

namespace gradc::kernel {

/// Readable text with the kernel's own names. `%acc fma= a, b` is acc = a * b + acc rounded once;
/// a loop ends in `sums=groups` or `sums=lanes` where it adds floats in one of these orders
/// (sum_order.h), after its grain.
std::string to_string(const Kernel& kernel);
std::string to_string(const Program& program);
std::string to_string(const Kernel& kernel, ExprId expr);
std::string to_string(const Kernel& kernel, const Affine& affine);

/// Text without names and with every property that code depends on (dtypes, roles, shapes,
/// aliasing, alignment, schedules): two kernels may share code exactly if their canonical texts are
/// equal.
std::string canonical_text(const Kernel& kernel);

}  // namespace gradc::kernel
