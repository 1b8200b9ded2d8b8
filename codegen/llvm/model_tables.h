// The tables of runtime/model_abi.h as constant data of a module.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/llvm/program_module.h"
#include "codegen/model_data.h"

#include <llvm/IR/Module.h>

namespace gradc::cg {

/// Emits `gradc_model` (or `<symbol>_model` when the model names a symbol) and everything it points
/// at. Entries must have been emitted.
void emit_model_tables(llvm::Module& module, const ModelData& model, const kernel::Program& program,
                       const SymbolNames& names, const std::vector<int64_t>& entry_scratch);

}  // namespace gradc::cg
