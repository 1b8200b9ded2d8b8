// Turns kernels and entries of a program into functions of LLVM modules.
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

/// Names and visibility of a program's symbols.
struct SymbolNames {
  std::string prefix;            ///< before every symbol
  bool internal_kernels = true;  ///< kernels and constants are local to the module
  std::string kernel(const kernel::Program& program, size_t index) const;
  std::string entry(const kernel::Entry& entry) const { return prefix + entry.name; }
};

/// Emits one kernel: `void name(ptr arguments..., i32 thread, i32 threads, ptr scratch)`. Returns
/// the bytes of per-thread scratch it needs.
int64_t emit_kernel(llvm::Module& module, const kernel::Kernel& kernel, const std::string& name,
                    const TargetInfo& target, bool is_internal);

/// Emits one entry: `void name(ptr slots, ptr arena, ptr thread)`, which calls the kernels in order
/// (declared if they live in another module).
void emit_entry(llvm::Module& module, const kernel::Program& program, const kernel::Entry& entry,
                const SymbolNames& names);

/// Per-thread scratch of an entry: the most that one of its kernels needs.
int64_t entry_scratch(const kernel::Entry& entry, const std::vector<int64_t>& kernel_scratch);

}  // namespace gradc::cg
