// Packing: copies of A's and B's blocks in the order in which tiles read them. Operands are any
// expressions, evaluated in vectors along the axis in which they are contiguous.
#pragma once

#include "codegen/llvm/emitter.h"
#include "codegen/llvm/micro/contract_plan.h"

#include <functional>

namespace gradc::cg {

/// A range of flattened indices; whole when it is all of them.
struct FlatRange {
  llvm::Value* low = nullptr;
  llvm::Value* high = nullptr;
  bool whole = false;
};

class Packer {
 public:
  Packer(Emitter& em, const ContractPlan& plan) : em_(em), plan_(plan) {}

  /// Bytes of A's and B's blocks.
  int64_t a_bytes() const;
  int64_t b_bytes() const;
  /// Elements of one packed panel of B.
  int64_t panel_elements() const;

  /// Copies rows [rows.low, rows.high) of k steps `steps` to `to`.
  void pack_a(llvm::Value* to, const FlatRange& rows, const FlatRange& steps);
  /// Copies panels [first, last) of k steps `steps` to `to`.
  void pack_b(llvm::Value* to, llvm::Value* first, llvm::Value* last, const FlatRange& steps);

 private:
  using Run =
      std::function<void(kernel::VarId, llvm::Value* low, llvm::Value* high, llvm::Value* flat)>;
  void for_runs(const Dims& dims, const FlatRange& range, const Run& body);
  void for_each(const Dims& dims, const FlatRange& range,
                const std::function<void(llvm::Value* flat)>& body);
  void copy_run(kernel::ExprId source, kernel::VarId var, int64_t extent, llvm::Value* low,
                llvm::Value* high, llvm::Value* to);
  void panel_row(llvm::Value* to, llvm::Value* panel, int64_t columns);
  void panels_in_order(llvm::Value* to, llvm::Value* first, llvm::Value* last,
                       const FlatRange& steps);
  void panels_transposed(llvm::Value* to, llvm::Value* first, llvm::Value* last,
                         const FlatRange& steps);
  void transpose_group(llvm::Value* to, llvm::Value* column, int64_t columns,
                       const FlatRange& steps);
  llvm::Value* element(llvm::Value* base, llvm::Value* index);

  Emitter& em_;
  const ContractPlan& plan_;
};

}  // namespace gradc::cg
