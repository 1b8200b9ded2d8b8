// What a tile's epilogue needs of the code around the contraction: buffer pointers, outer loop
// variables and locals. Tiles are functions of their own (small functions compile and allocate
// registers better), so the kernel puts these values into a block of memory and passes its address.
#pragma once

#include "codegen/llvm/emitter.h"
#include "codegen/llvm/micro/contract_plan.h"

#include <vector>

namespace gradc::cg {

class Environment {
 public:
  /// Finds what the epilogue of a plan uses; the block is an alloca of the parent's function.
  Environment(Emitter& parent, const ContractPlan& plan);

  /// Writes the present values; again whenever an outer variable has moved.
  void store();
  llvm::Value* block() const { return block_; }
  /// Binds everything in the emitter of a tile, from the block it was given.
  void load(Emitter& tile, llvm::Value* block) const;

 private:
  void collect(kernel::ExprId id);
  void collect(const kernel::Affine& index);

  Emitter& parent_;
  const ContractPlan& plan_;
  std::vector<kernel::BufferId> buffers_;
  std::vector<kernel::VarId> vars_;
  std::vector<kernel::LocalId> locals_;
  std::vector<kernel::LocalId> inner_;  ///< set by the epilogue itself
  llvm::AllocaInst* block_ = nullptr;
};

/// Binds the variables of flattened dimensions to (base + offset), the last dimension fastest.
void bind_flat(Emitter& em, const Dims& dims, llvm::Value* base, int64_t offset = 0);

}  // namespace gradc::cg
