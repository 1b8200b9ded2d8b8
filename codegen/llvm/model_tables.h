// The tables of runtime/model_abi.h as constant data of a module.
#pragma once

#include "codegen/kernel/program_tables.h"

#include <llvm/IR/Module.h>

#include <span>
#include <string>

namespace gradc::cg {

/// Emits the model's description under that name and everything it points at: what `model` says,
/// and the steps of the program's entries, found by their names. `kernels`: the functions of the
/// program's kernels.
void emit_model_tables(llvm::Module& module, const gradc_rt_model& model, const std::string& name,
                       const kernel::Program& program, std::span<llvm::Function* const> kernels,
                       std::span<const int64_t> kernel_scratch);

}  // namespace gradc::cg
