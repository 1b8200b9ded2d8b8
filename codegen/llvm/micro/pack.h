// Packing: copies of A's and B's blocks in the order in which tiles read them. Operands are any
// expressions, evaluated in vectors along the axis in which they are contiguous. Steps of k are
// counted in words (contract_plan.h).
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

/// The least multiple of a unit that is no less.
inline int64_t round_up(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// The type of a word in memory: pairs of bf16 pass as floats.
llvm::Type* word_type(llvm::LLVMContext& context, const ContractPlan& plan);

class Packer {
 public:
  Packer(Emitter& em, const ContractPlan& plan) : em_(em), plan_(plan) {}

  /// Bytes of A's and B's blocks.
  int64_t a_bytes() const;
  int64_t b_bytes() const;
  /// Words of one packed panel of B.
  int64_t panel_words() const;

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
  void for_steps(const FlatRange& steps, const std::function<void(llvm::Value* step)>& body);
  using EachStep = std::function<void(const std::function<void(int64_t later)>&)>;
  void for_steps_together(const FlatRange& steps,
                          const std::function<void(llvm::Value* step, const EachStep& each)>& body);
  int64_t steps_multiple() const;
  void copy_run(kernel::VarId var, int64_t extent, llvm::Value* low, llvm::Value* high,
                int64_t multiple, llvm::Value* to);
  void tile_rows(llvm::Value* to, llvm::Value* tile, int64_t rows);
  void tiles_of_k(llvm::Value* to, const FlatRange& rows, const FlatRange& steps);
  void copy_steps(llvm::Value* low, llvm::Value* high, llvm::Value* to);
  void stage_a(llvm::Value* to, const FlatRange& rows, const FlatRange& steps);
  llvm::Value* staged_words(llvm::Value* source, llvm::Value* at, llvm::Value* count, DType dtype);
  llvm::Value* staged_load(llvm::Value* pointer, llvm::Value* left, unsigned lanes, DType dtype);
  llvm::Value* words(kernel::ExprId source);
  llvm::Value* along_k(kernel::ExprId source);
  void store_words(llvm::Value* pairs, llvm::Value* to, llvm::Value* left);
  std::vector<llvm::Value*> columns_along_k(llvm::Value* column, int64_t columns);
  bool calls_transposer(int64_t columns) const;
  void call_transposer(llvm::Value* to, llvm::Value* column, int64_t columns, llvm::Value* left);
  llvm::Value* padding(kernel::ExprId source) const;
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
  llvm::Value* word_ = nullptr;  ///< pairs: where words of the innermost k stand in for_steps
};

}  // namespace gradc::cg
