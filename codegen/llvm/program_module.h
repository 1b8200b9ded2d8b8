// Turns the kernels of a program into functions of LLVM modules.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/target_info.h"

#include <llvm/IR/Module.h>

#include <string>
#include <string_view>
#include <vector>

namespace gradc::cg {

/// A name's letters, digits and underscores for a symbol or a module, the first 80 of them.
std::string symbol_text(std::string_view text);

/// The symbol of a program's kernel: the prefix of all its symbols, number and name.
std::string kernel_symbol(const kernel::Program& program, size_t index, std::string_view prefix);

/// gradc_rt_kernel::parameters (runtime/model_abi.h) of a kernel.
int64_t kernel_parameters(const kernel::Kernel& kernel);

/// Emits one kernel: a function of that name whose parameters are its arguments and know what may
/// overlap, then thread, threads and scratch. A kernel of too many arguments is a function of the
/// module, and that of its name loads the pointers and calls it. Returns the bytes of per-thread
/// scratch it needs.
int64_t emit_kernel(llvm::Module& module, const kernel::Kernel& kernel, const std::string& name,
                    const TargetInfo& target, bool is_internal);

}  // namespace gradc::cg
