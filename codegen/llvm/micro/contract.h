// The contraction engine: one Contract statement as packed blocks, register tiles and an epilogue.
// Every element's sum runs over k from first to last by fused multiply-add, whatever the tiles, the
// blocks and the number of threads, so none of them changes a bit.
#pragma once

#include "codegen/llvm/emitter.h"
#include "codegen/llvm/micro/contract_plan.h"
#include "codegen/llvm/micro/environment.h"
#include "codegen/llvm/micro/pack.h"

#include <functional>
#include <memory>

namespace gradc::cg {

class ContractEmitter {
 public:
  ContractEmitter(Emitter& em, const kernel::Contract& contract);
  void emit();

 private:
  struct Range {
    llvm::Value* low;
    llvm::Value* high;
  };
  /// One block of work: panels [panels.low, panels.high), row tiles [tiles.low, tiles.high).
  struct Block {
    Range panels;
    Range tiles;
    FlatRange steps;
    llvm::Value* flags = nullptr;
    llvm::Value* next = nullptr;     ///< B's source of the block packed next; null: no prefetching
    llvm::Value* lines = nullptr;    ///< of it that each tile asks for
    llvm::Value* partial = nullptr;  ///< where sums are kept between blocks of k; null: as a whole
    llvm::Value* a_low = nullptr;    ///< panel by panel: the first step of k of the rows of A
  };

  Range share(Split split, llvm::Value* count);
  llvm::Value* row_pieces();
  FlatRange all_steps() { return {em_.i64(0), depth_, !plan_.k_below.valid()}; }
  void blocks(const Range& range, int64_t step, const std::function<void(const Range&)>& body);
  void make_tiles();
  void make_tile(size_t index, int64_t rows, int64_t columns);
  void each_outer_row(const Range& rows,
                      const std::function<void(llvm::Value*, const Range& tiles)>& body);
  void whole_depth(const Range& panels, const Range& rows);
  void blocked_depth(const Range& panels, const Range& rows);
  void blocked_depth_of_direct(const Range& panels, const Range& rows);
  void panelwise(const Range& panels, const Range& tiles);
  void depth_blocks(const FlatRange& range, int64_t length,
                    const std::function<void(const FlatRange&, llvm::Value*)>& body);
  FlatRange rows_of(const Range& tiles);
  void run_tiles(const Block& block);
  void tile_column(const Block& block, llvm::Value* panel, size_t variant);
  void call_tile(const Block& block, llvm::Value* panel, llvm::Value* tile, size_t variant);
  llvm::Value* source_after(const Range& panel, const FlatRange& steps, const FlatRange& of_a);
  struct NextLines {
    int64_t runs, per_run, stride, elements;
    int64_t all() const { return runs * per_run; }
  };
  NextLines next_lines();
  void prefetch_share(const Block& block, llvm::Value* tile);
  void bind_steps(llvm::Value* first);
  llvm::Value* element(llvm::Value* base, llvm::Value* index);

  Emitter& em_;
  ContractPlan plan_;
  Packer packer_;
  std::unique_ptr<Environment> environment_;
  llvm::Value* depth_ = nullptr;  ///< steps of k that there are
  llvm::Value* a_block_ = nullptr;
  llvm::Value* b_block_ = nullptr;
  llvm::Value* partial_ = nullptr;
  /// [full columns | last columns] x [full rows | last rows]; null where a shape does not occur.
  llvm::Function* tiles_[4] = {nullptr, nullptr, nullptr, nullptr};
};

}  // namespace gradc::cg
