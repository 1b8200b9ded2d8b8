// LLVM's target machine for a TargetInfo, the short optimisation pipeline, and code emission.
#pragma once

#include "codegen/target_info.h"
#include "support/result.h"

#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <memory>
#include <string_view>

namespace gradc::cg {

/// What this LLVM knows of a triple; its code generator is ready then.
Result<const llvm::Target*> find_target(const std::string& triple);
/// The machine of a target. Fails on triples that this LLVM was built without.
Result<std::unique_ptr<llvm::TargetMachine>> make_machine(const TargetInfo& target);

/// Names of register tiles' functions: the kernel's, this, their size.
inline constexpr std::string_view kTileSuffix = ".tile";

/// Gives a module the machine's triple and layout.
void prepare_module(llvm::Module& module, const llvm::TargetMachine& machine);

/// Promotes, shares and hoists; no vectoriser, no unroller: kernels arrive scheduled.
void optimize(llvm::Module& module, llvm::TargetMachine& machine);
/// Aborts with LLVM's explanation when the module is not valid IR.
void check_module(const llvm::Module& module);

enum class FileKind : uint8_t { kObject, kAssembly };

/// Machine code of a module.
llvm::SmallVector<char, 0> emit_file(llvm::Module& module, llvm::TargetMachine& machine,
                                     FileKind kind);

}  // namespace gradc::cg
