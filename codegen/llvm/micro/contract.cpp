// The loops around the tiles.
#include "codegen/llvm/micro/contract.h"

#include "codegen/llvm/micro/tile_function.h"
#include "support/check.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>

namespace gradc::cg {

namespace {

constexpr size_t kLastColumns = 2;
constexpr size_t kLastRows = 1;

}  // namespace

ContractEmitter::ContractEmitter(Emitter& em, const kernel::Contract& contract)
    : em_(em), plan_(plan_contract(contract, em.kernel(), em.target())), packer_(em, plan_) {}

llvm::Value* ContractEmitter::element(llvm::Value* base, llvm::Value* index) {
  return em_.ir().CreateInBoundsGEP(em_.ir().getFloatTy(), base, index);
}

void ContractEmitter::make_tile(size_t index, int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return;
  TileShape shape;
  shape.rows = rows;
  shape.vectors = (columns + plan_.lanes - 1) / plan_.lanes;
  shape.last_lanes = columns - (shape.vectors - 1) * plan_.lanes;
  const std::string name = em_.function()->getName().str() + ".tile" + std::to_string(rows) + "x" +
                           std::to_string(columns);
  tiles_[index] = emit_tile(em_, plan_, *environment_, shape, plan_.nc, name);
}

void ContractEmitter::make_tiles() {
  const int64_t full_rows = plan_.rows >= plan_.mr ? plan_.mr : 0;
  const int64_t full_columns = plan_.columns >= plan_.nr() ? plan_.nr() : 0;
  const int64_t last_rows = plan_.rows % plan_.mr;
  const int64_t last_columns = plan_.columns % plan_.nr();
  make_tile(0, full_rows, full_columns);
  make_tile(kLastRows, last_rows, full_columns);
  make_tile(kLastColumns, full_rows, last_columns);
  make_tile(kLastColumns + kLastRows, last_rows, last_columns);
}

ContractEmitter::Range ContractEmitter::share(Split split, int64_t count) {
  if (plan_.split != split) return {em_.i64(0), em_.i64(count)};
  const auto [low, high] = em_.thread_range(count, 1);
  return {low, high};
}

void ContractEmitter::blocks(const Range& range, int64_t step,
                             const std::function<void(const Range&)>& body) {
  Builder& ir = em_.ir();
  em_.loop(range.low, range.high, step, false, [&](llvm::Value* low) {
    llvm::Value* high = ir.CreateNSWAdd(low, em_.i64(step));
    body({low, ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, high, range.high)});
  });
}

void ContractEmitter::emit() {
  environment_ = std::make_unique<Environment>(em_, plan_);
  if (plan_.a_packed()) a_block_ = em_.reserve_scratch(packer_.a_bytes());
  if (plan_.b_packed()) b_block_ = em_.reserve_scratch(packer_.b_bytes());
  partial_ = llvm::ConstantPointerNull::get(em_.ir().getPtrTy());
  if (plan_.k_blocks() > 1) partial_ = em_.reserve_scratch(plan_.mc * plan_.nc * 4);
  make_tiles();
  const std::vector<kernel::Expr>* outside = em_.exprs();
  em_.use_exprs(&plan_.exprs);
  const bool first_thread_stores = em_.first_thread_stores();
  em_.set_first_thread_stores(false);

  const bool rows_outside = !plan_.m_outer.empty();
  const Range outer = share(Split::kOuter, extent_of(plan_.outer));
  const Range panels = share(Split::kColumns, plan_.panels());
  const Range tiles = rows_outside ? Range{em_.i64(0), em_.i64(plan_.row_tiles())}
                                   : share(Split::kRows, plan_.row_tiles());
  const Range outer_rows =
      rows_outside ? share(Split::kRows, extent_of(plan_.m_outer)) : Range{em_.i64(0), em_.i64(1)};
  em_.loop(outer.low, outer.high, 1, false, [&](llvm::Value* index) {
    bind_flat(em_, plan_.outer, index);
    blocks(panels, plan_.nc / plan_.nr(), [&](const Range& block) {
      if (plan_.k_blocks() == 1)
        whole_depth(block, tiles, outer_rows);
      else
        blocked_depth(block, tiles);
    });
  });
  em_.set_first_thread_stores(first_thread_stores);
  em_.use_exprs(outside);
}

FlatRange ContractEmitter::rows_of(const Range& tiles) {
  Builder& ir = em_.ir();
  llvm::Value* high = ir.CreateNSWMul(tiles.high, em_.i64(plan_.mr));
  FlatRange rows;
  rows.low = ir.CreateNSWMul(tiles.low, em_.i64(plan_.mr));
  rows.high = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, high, em_.i64(plan_.rows));
  const auto* low = llvm::dyn_cast<llvm::ConstantInt>(rows.low);
  const auto* top = llvm::dyn_cast<llvm::ConstantInt>(rows.high);
  rows.whole =
      low != nullptr && top != nullptr && low->isZero() && top->getSExtValue() == plan_.rows;
  return rows;
}

/// All of k at once: B's block is packed once, then A's blocks (or outer rows) go by.
void ContractEmitter::whole_depth(const Range& panels, const Range& tiles,
                                  const Range& outer_rows) {
  const FlatRange steps{em_.i64(0), em_.i64(plan_.depth), true};
  if (plan_.b_packed()) packer_.pack_b(b_block_, panels.low, panels.high, steps);
  em_.loop(outer_rows.low, outer_rows.high, 1, false, [&](llvm::Value* outer) {
    bind_flat(em_, plan_.m_outer, outer);
    environment_->store();
    blocks(tiles, plan_.mc / plan_.mr, [&](const Range& block) {
      if (plan_.a_packed()) packer_.pack_a(a_block_, rows_of(block), steps);
      run_tiles({panels, block, steps.low, steps.high, em_.i64(0)});
    });
  });
}

/// k in blocks: partial sums of a block of C stay in scratch until the last.
void ContractEmitter::blocked_depth(const Range& panels, const Range& tiles) {
  Builder& ir = em_.ir();
  environment_->store();
  blocks(tiles, plan_.mc / plan_.mr, [&](const Range& rows) {
    em_.loop(em_.i64(0), em_.i64(plan_.depth), plan_.kc, true, [&](llvm::Value* low) {
      llvm::Value* end = ir.CreateNSWAdd(low, em_.i64(plan_.kc));
      llvm::Value* high =
          ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, end, em_.i64(plan_.depth));
      const FlatRange steps{low, high, false};
      if (plan_.b_packed()) packer_.pack_b(b_block_, panels.low, panels.high, steps);
      if (plan_.a_packed()) packer_.pack_a(a_block_, rows_of(rows), steps);
      llvm::Value* resume = ir.CreateSelect(ir.CreateICmpSGT(low, em_.i64(0)),
                                            em_.i64(TileArguments::kResume), em_.i64(0));
      llvm::Value* unfinished = ir.CreateSelect(ir.CreateICmpSLT(high, em_.i64(plan_.depth)),
                                                em_.i64(TileArguments::kUnfinished), em_.i64(0));
      run_tiles({panels, rows, low, ir.CreateNSWSub(high, low), ir.CreateOr(resume, unfinished)});
    });
  });
}

void ContractEmitter::run_tiles(const Block& block) {
  Builder& ir = em_.ir();
  const int64_t full = plan_.columns / plan_.nr();
  if (full > 0) {
    llvm::Value* end =
        ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, block.panels.high, em_.i64(full));
    em_.loop(
        block.panels.low, end, 1, false, [&](llvm::Value* panel) { tile_column(block, panel, 0); },
        "panel");
  }
  if (full < plan_.panels())
    em_.when(ir.CreateICmpSGT(block.panels.high, em_.i64(full)),
             [&] { tile_column(block, em_.i64(full), kLastColumns); });
}

void ContractEmitter::tile_column(const Block& block, llvm::Value* panel, size_t variant) {
  Builder& ir = em_.ir();
  const int64_t full = plan_.rows / plan_.mr;
  if (full > 0) {
    llvm::Value* end =
        ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, block.tiles.high, em_.i64(full));
    em_.loop(
        block.tiles.low, end, 1, false,
        [&](llvm::Value* tile) { call_tile(block, panel, tile, variant); }, "tile");
  }
  if (full < plan_.row_tiles())
    em_.when(ir.CreateICmpSGT(block.tiles.high, em_.i64(full)),
             [&] { call_tile(block, panel, em_.i64(full), variant + kLastRows); });
}

/// The first step of the block, for addresses of direct operands.
void ContractEmitter::bind_steps(llvm::Value* first) {
  if (plan_.k.size() == 1) {
    em_.bind_var(plan_.k[0].var, first, 0, {0, plan_.k[0].extent - 1});
    return;
  }
  for (const kernel::ContractDim& dim : plan_.k)
    em_.bind_var(dim.var, nullptr, 0, {0, 0});
}

void ContractEmitter::call_tile(const Block& block, llvm::Value* panel, llvm::Value* tile,
                                size_t variant) {
  Builder& ir = em_.ir();
  llvm::Value* row = ir.CreateNSWMul(tile, em_.i64(plan_.mr));
  llvm::Value* column = ir.CreateNSWMul(panel, em_.i64(plan_.nr()));
  llvm::Value* row_in_block =
      ir.CreateNSWMul(ir.CreateNSWSub(tile, block.tiles.low), em_.i64(plan_.mr));
  llvm::Value* panel_in_block = ir.CreateNSWSub(panel, block.panels.low);
  bind_steps(block.step);
  llvm::Value* a = nullptr;
  if (plan_.a_packed()) {
    a = element(a_block_, ir.CreateNSWMul(row_in_block, em_.i64(plan_.a_row_stride)));
  } else {
    bind_flat(em_, plan_.m, row);
    const kernel::Expr& load = em_.expr(plan_.a);
    a = em_.address(load.buffer, load.index);
  }
  llvm::Value* b = nullptr;
  if (plan_.b_packed()) {
    b = element(b_block_, ir.CreateNSWMul(panel_in_block, em_.i64(packer_.panel_elements())));
  } else {
    em_.bind_var(plan_.n.var, column, 0, {0, plan_.columns - 1});
    const kernel::Expr& load = em_.expr(plan_.b);
    b = em_.address(load.buffer, load.index);
  }
  llvm::Value* partial = partial_;
  if (plan_.k_blocks() > 1)
    partial =
        element(partial_, ir.CreateNSWAdd(ir.CreateNSWMul(row_in_block, em_.i64(plan_.nc)),
                                          ir.CreateNSWMul(panel_in_block, em_.i64(plan_.nr()))));
  GRADC_CHECK(tiles_[variant] != nullptr, "no tile of variant {}", variant);
  ir.CreateCall(tiles_[variant],
                {a, b, partial, environment_->block(), row, column, block.depth, block.flags});
}

}  // namespace gradc::cg
