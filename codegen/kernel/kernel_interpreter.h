// Runs kernels and programs by walking them: the meaning of the kernel IR, against which generated
// code is tested. Slow; every element is held in double.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/kernel/program.h"
#include "ir/tensor.h"

#include <span>
#include <vector>

namespace gradc::kernel {

struct InterpretOptions {
  /// Rounds every float result to its type. Sums are made in their order (sum_order.h) either way,
  /// so arithmetic then gives the bits of compiled code; functions (exp, tanh) are better than
  /// there.
  bool round_f32 = false;
};

/// Runs a kernel; `arguments` are in buffer order, of the right dtype and element count (checked).
/// Arguments planned onto each other may be passed as the same tensor.
void interpret(const Kernel& kernel, std::span<Tensor* const> arguments,
               const InterpretOptions& options = {});

/// Runs an entry, loops and all; `slots` by slot number. The arena is byte-addressed: buffers that
/// overlap overwrite each other as they would in memory, and unwritten bytes read as NaN.
void interpret(const Program& program, const Entry& entry, std::span<Tensor* const> slots,
               const InterpretOptions& options = {});

}  // namespace gradc::kernel
