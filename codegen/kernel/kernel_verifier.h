// Checks what every later step assumes of a kernel. Errors here are mistakes of lowering, not of
// users.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/kernel/program.h"
#include "support/diagnostic.h"

#include <vector>

namespace gradc::kernel {

/// All errors of a kernel: scopes, dtypes, roles, where loops may stand, and that every index stays
/// inside its buffer (interval arithmetic over the loop ranges, with the guards that hold there).
std::vector<Diagnostic> verify(const Kernel& kernel);

/// All errors of a program: its kernels; that every argument is there, aligned and inside its slot,
/// arena or constant in all iterations; that calls which touch the same memory have a barrier
/// between them, or one thread.
std::vector<Diagnostic> verify(const Program& program);

}  // namespace gradc::kernel
