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

/// Emits one kernel: a function of gradc_rt_kernel_fn (runtime/model_abi.h) of that name, which
/// loads the pointers and calls the kernel proper, a function of the module whose parameters know
/// what may overlap. Returns the bytes of per-thread scratch it needs.
int64_t emit_kernel(llvm::Module& module, const kernel::Kernel& kernel, const std::string& name,
                    const TargetInfo& target, bool is_internal);

}  // namespace gradc::cg
