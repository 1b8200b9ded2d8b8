// What kernels need beside their arguments, known before any machine code is made.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "support/result.h"

#include <cstdint>
#include <vector>

namespace gradc {

/// Bytes per thread, by kernel: packed panels and large local arrays, as emitting the kernel finds
/// them.
Result<std::vector<int64_t>> kernel_scratch(const kernel::Program& program,
                                            const TargetInfo& target);

}  // namespace gradc
