// The loops around the tiles.
#include "codegen/llvm/micro/contract.h"

#include "codegen/llvm/machine.h"
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
  return em_.ir().CreateInBoundsGEP(word_type(em_.context(), plan_), base, index);
}

void ContractEmitter::make_tile(size_t index, int64_t rows, int64_t columns) {
  if (rows == 0 || columns == 0) return;
  TileShape shape;
  if ((index & kLastRows) != 0)
    shape.first_row = plan_.rows - rows;
  else if (plan_.rows < 2 * plan_.mr)
    shape.first_row = 0;
  shape.rows = rows;
  shape.vectors = (columns + plan_.lanes - 1) / plan_.lanes;
  shape.last_lanes = columns - (shape.vectors - 1) * plan_.lanes;
  const std::string name = em_.function()->getName().str() + std::string(kTileSuffix) +
                           std::to_string(rows) + "x" + std::to_string(columns);
  tiles_[index] = emit_tile(em_, plan_, *environment_, shape, plan_.partial_stride(), name);
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

ContractEmitter::Range ContractEmitter::share(Split split, llvm::Value* count) {
  if (plan_.split != split) return {em_.i64(0), count};
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
  if (plan_.k_blocks() > 1)
    partial_ = em_.reserve_scratch(extent_of(plan_.m_outer) * plan_.mc * plan_.partial_columns() *
                                   plan_.word_bytes());
  make_tiles();
  const std::vector<kernel::Expr>* outside = em_.exprs();
  em_.use_exprs(&plan_.exprs);
  const bool first_thread_stores = em_.first_thread_stores();
  em_.set_first_thread_stores(false);

  const Range outer = share(Split::kOuter, em_.i64(extent_of(plan_.outer)));
  const Range panels = share(Split::kColumns, em_.i64(plan_.panels()));
  const Range rows = share(Split::kRows, row_pieces());
  const auto products = [&](llvm::Value* index) {
    bind_flat(em_, plan_.outer, index);
    depth_ = em_.limit(plan_.k_below, plan_.depth);
    if (plan_.panelwise) return panelwise(panels, rows);
    blocks(panels, plan_.nc / plan_.nr(), [&](const Range& block) {
      if (plan_.k_blocks() == 1)
        whole_depth(block, rows);
      else
        blocked_depth(block, rows);
    });
  };
  const auto all = [&] { em_.loop(outer.low, outer.high, 1, false, products); };
  // Where no row counts nothing is packed either.
  if (plan_.m_below.valid())
    em_.when(em_.ir().CreateICmpSGT(rows.high, rows.low), all);
  else
    all();
  em_.set_first_thread_stores(first_thread_stores);
  em_.use_exprs(outside);
}

/// Pieces of rows that there are: whole tiles, in which rows behind the last that counts are
/// computed too.
llvm::Value* ContractEmitter::row_pieces() {
  if (!plan_.m_below.valid()) return em_.i64(plan_.row_pieces());
  GRADC_CHECK(plan_.m_outer.empty(), "rows of several dimensions end early");
  Builder& ir = em_.ir();
  llvm::Value* rows = em_.limit(plan_.m_below, plan_.rows);
  return ir.CreateUDiv(ir.CreateNSWAdd(rows, em_.i64(plan_.mr - 1)), em_.i64(plan_.mr));
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

/// Calls body(outer row, its tiles) for a thread's pieces of rows.
void ContractEmitter::each_outer_row(
    const Range& rows, const std::function<void(llvm::Value*, const Range& tiles)>& body) {
  Builder& ir = em_.ir();
  const auto row = [&](llvm::Value* outer, const Range& tiles) {
    bind_flat(em_, plan_.m_outer, outer);
    environment_->store();
    body(outer, tiles);
  };
  if (plan_.m_outer.empty()) return row(em_.i64(0), rows);
  llvm::Value* each = em_.i64(plan_.row_tiles());
  if (!plan_.shares_tiles() || plan_.split != Split::kRows) {
    const Range outer =
        plan_.shares_tiles() ? Range{em_.i64(0), em_.i64(extent_of(plan_.m_outer))} : rows;
    em_.loop(outer.low, outer.high, 1, false,
             [&](llvm::Value* index) { row(index, {em_.i64(0), each}); });
    return;
  }
  llvm::Value* end =
      ir.CreateUDiv(ir.CreateNSWAdd(rows.high, em_.i64(plan_.row_tiles() - 1)), each);
  em_.loop(ir.CreateUDiv(rows.low, each), end, 1, false, [&](llvm::Value* outer) {
    llvm::Value* first = ir.CreateNSWMul(outer, each);
    llvm::Value* low = ir.CreateNSWSub(rows.low, first);
    llvm::Value* high = ir.CreateNSWSub(rows.high, first);
    row(outer, {ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, low, em_.i64(0)),
                ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, high, each)});
  });
}

/// All of k at once: B's block is packed once, then A's blocks (or outer rows) go by.
void ContractEmitter::whole_depth(const Range& panels, const Range& rows) {
  const FlatRange steps = all_steps();
  if (plan_.b_packed()) packer_.pack_b(b_block_, panels.low, panels.high, steps);
  each_outer_row(rows, [&](llvm::Value*, const Range& tiles) {
    blocks(tiles, plan_.mc / plan_.mr, [&](const Range& block) {
      if (plan_.a_packed()) packer_.pack_a(a_block_, rows_of(block), steps);
      run_tiles({panels, block, steps, em_.i64(0), nullptr, nullptr, nullptr});
    });
  });
}

/// Calls body(steps, flags of the tiles) for each block of so many steps of k.
void ContractEmitter::depth_blocks(
    const FlatRange& range, int64_t length,
    const std::function<void(const FlatRange&, llvm::Value*)>& body) {
  if (plan_.k_blocks() == 1 || length >= plan_.depth) return body(range, em_.i64(0));
  Builder& ir = em_.ir();
  // Sums of nothing are stored too.
  llvm::Value* last = range.high;
  if (plan_.k_below.valid())
    last = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax, last, em_.i64(1));
  em_.loop(range.low, last, length, true, [&](llvm::Value* low) {
    llvm::Value* end = ir.CreateNSWAdd(low, em_.i64(length));
    llvm::Value* high = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, end, range.high);
    llvm::Value* resume = ir.CreateSelect(ir.CreateICmpSGT(low, em_.i64(0)),
                                          em_.i64(TileArguments::kResume), em_.i64(0));
    llvm::Value* unfinished = ir.CreateSelect(ir.CreateICmpSLT(high, depth_),
                                              em_.i64(TileArguments::kUnfinished), em_.i64(0));
    body({low, high, false}, ir.CreateOr(resume, unfinished));
  });
}

/// k in blocks: partial sums of a block of C stay in scratch until the last.
void ContractEmitter::blocked_depth(const Range& panels, const Range& rows) {
  if (!plan_.m_outer.empty()) return blocked_depth_of_direct(panels, rows);
  environment_->store();
  blocks(rows, plan_.mc / plan_.mr, [&](const Range& tiles) {
    depth_blocks(all_steps(), plan_.kc, [&](const FlatRange& steps, llvm::Value* flags) {
      if (plan_.b_packed()) packer_.pack_b(b_block_, panels.low, panels.high, steps);
      if (plan_.a_packed()) packer_.pack_a(a_block_, rows_of(tiles), steps);
      run_tiles({panels, tiles, steps, flags, nullptr, nullptr, partial_});
    });
  });
}

/// The same where A is read as it lies: a block of k of all rows, whose windows overlap, is near.
void ContractEmitter::blocked_depth_of_direct(const Range& panels, const Range& rows) {
  Builder& ir = em_.ir();
  depth_blocks(all_steps(), plan_.kc, [&](const FlatRange& steps, llvm::Value* flags) {
    if (plan_.b_packed()) packer_.pack_b(b_block_, panels.low, panels.high, steps);
    each_outer_row(rows, [&](llvm::Value* outer, const Range& tiles) {
      if (plan_.a_packed()) packer_.pack_a(a_block_, rows_of(tiles), steps);
      llvm::Value* sums = element(partial_, ir.CreateNSWMul(outer, em_.i64(plan_.mc * plan_.nc)));
      run_tiles({panels, tiles, steps, flags, nullptr, nullptr, sums});
    });
  });
}

/// A block of this thread's rows and of k, then B panel by panel, in shorter blocks of k.
void ContractEmitter::panelwise(const Range& panels, const Range& rows) {
  Builder& ir = em_.ir();
  environment_->store();
  const auto block_of_a = [&](const Range& columns, const Range& tiles, const FlatRange& of_a) {
    if (plan_.a_packed()) packer_.pack_a(a_block_, rows_of(tiles), of_a);
    llvm::Value* lines = nullptr;
    if (plan_.prefetch_b) {
      llvm::Value* count = ir.CreateNSWSub(tiles.high, tiles.low);
      llvm::Value* up = ir.CreateNSWAdd(count, em_.i64(next_lines().all() - 1));
      lines = ir.CreateUDiv(up, count);
    }
    blocks(columns, 1, [&](const Range& panel) {
      llvm::Value* sums = partial_;
      if (plan_.partial_columns() > plan_.nr()) {
        llvm::Value* before = ir.CreateNSWSub(panel.low, columns.low);
        sums = element(sums, ir.CreateNSWMul(before, em_.i64(plan_.mc * plan_.nr())));
      }
      depth_blocks(of_a, plan_.kc, [&](const FlatRange& steps, llvm::Value* flags) {
        packer_.pack_b(b_block_, panel.low, panel.high, steps);
        llvm::Value* next = plan_.prefetch_b ? source_after(panel, steps, of_a) : nullptr;
        run_tiles({panel, tiles, steps, flags, next, lines, sums, of_a.low});
      });
    });
  };
  const auto block_of_columns = [&](const Range& columns) {
    blocks(rows, plan_.mc / plan_.mr, [&](const Range& tiles) {
      depth_blocks(all_steps(), plan_.panel_k,
                   [&](const FlatRange& of_a, llvm::Value*) { block_of_a(columns, tiles, of_a); });
    });
  };
  if (plan_.nc >= plan_.columns) return block_of_columns(panels);
  blocks(panels, plan_.nc / plan_.nr(), block_of_columns);
}

/// Where B's next block begins: the next steps of this panel, or the next panel's first.
llvm::Value* ContractEmitter::source_after(const Range& panel, const FlatRange& steps,
                                           const FlatRange& of_a) {
  Builder& ir = em_.ir();
  const kernel::Expr& load = *cast_load(plan_.exprs, plan_.b);
  llvm::Value* more = ir.CreateICmpSLT(steps.high, of_a.high);
  llvm::Value* step = ir.CreateSelect(more, steps.high, of_a.low);
  llvm::Value* column =
      ir.CreateNSWMul(ir.CreateSelect(more, panel.low, panel.high), em_.i64(plan_.nr()));
  if (plan_.pairs()) step = ir.CreateNSWMul(step, em_.i64(2));
  em_.bind_var(plan_.k[0].var, step, 0, {0, plan_.inner_k - 1});
  em_.bind_var(plan_.n.var, column, 0, {0, plan_.columns - 1});
  return em_.address(load.buffer, load.index);
}

/// The lines of a block of B as it lies.
ContractEmitter::NextLines ContractEmitter::next_lines() {
  constexpr int64_t kLine = 64;
  const kernel::Expr& load = *cast_load(plan_.exprs, plan_.b);
  const bool along_k = plan_.b_layout == Layout::kPanelsTransposed;
  const int64_t steps = plan_.kc * (plan_.pairs() ? 2 : 1);
  const int64_t run = along_k ? steps : plan_.nr();
  NextLines next{};
  next.elements = kLine / dtype_bytes(load.dtype);
  next.runs = along_k ? plan_.nr() : steps;
  next.per_run = (run + next.elements - 1) / next.elements;
  next.stride = load.index.coefficient(along_k ? plan_.n.var : plan_.k[0].var);
  return next;
}

/// Each tile asks for its share of B's next block, so that packing finds it near. Addresses past
/// the matrix do no harm: a prefetch never faults.
void ContractEmitter::prefetch_share(const Block& block, llvm::Value* tile) {
  constexpr int32_t kSecondCache = 2;
  Builder& ir = em_.ir();
  const NextLines next = next_lines();
  llvm::Type* type = memory_type(em_.context(), cast_load(plan_.exprs, plan_.b)->dtype);
  llvm::Value* first = ir.CreateNSWMul(ir.CreateNSWSub(tile, block.tiles.low), block.lines);
  llvm::Value* last = ir.CreateBinaryIntrinsic(
      llvm::Intrinsic::smin, ir.CreateNSWAdd(first, block.lines), em_.i64(next.all()));
  em_.loop(first, last, 1, false, [&](llvm::Value* index) {
    llvm::Value* run = ir.CreateUDiv(index, em_.i64(next.per_run));
    llvm::Value* line = ir.CreateURem(index, em_.i64(next.per_run));
    llvm::Value* start = ir.CreateNSWMul(run, em_.i64(next.stride));
    llvm::Value* at = ir.CreateGEP(
        type, block.next, ir.CreateNSWAdd(start, ir.CreateNSWMul(line, em_.i64(next.elements))));
    ir.CreateIntrinsic(llvm::Intrinsic::prefetch, {static_cast<llvm::Type*>(ir.getPtrTy())},
                       {at, em_.i32(0), em_.i32(kSecondCache), em_.i32(1)});
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
        [&](llvm::Value* tile) {
          if (block.next != nullptr) prefetch_share(block, tile);
          call_tile(block, panel, tile, variant);
        },
        "tile");
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
  if (plan_.aligned && plan_.k_blocks() > 1) return bind_flat(em_, plan_.k, first);
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
  bind_steps(block.steps.low);
  llvm::Value* a = nullptr;
  if (plan_.a_packed()) {
    llvm::Value* tile_in_block = ir.CreateNSWSub(tile, block.tiles.low);
    a = element(a_block_, plan_.a_layout == Layout::kTilesOfK
                              ? ir.CreateNSWMul(tile_in_block, em_.i64(plan_.a_tile_words()))
                              : ir.CreateNSWMul(row_in_block, em_.i64(plan_.a_row_stride)));
    if (plan_.panelwise && plan_.k_blocks() > 1)
      a = element(a, ir.CreateNSWMul(ir.CreateNSWSub(block.steps.low, block.a_low),
                                     em_.i64(plan_.k_levels.back().a_stride)));
  } else {
    bind_flat(em_, plan_.m, row);
    const kernel::Expr& load = em_.expr(plan_.a);
    a = em_.address(load.buffer, load.index);
  }
  llvm::Value* b = nullptr;
  if (plan_.b_packed()) {
    b = element(b_block_, ir.CreateNSWMul(panel_in_block, em_.i64(packer_.panel_words())));
  } else {
    em_.bind_var(plan_.n.var, column, 0, {0, plan_.columns - 1});
    const kernel::Expr& load = em_.expr(plan_.b);
    b = em_.address(load.buffer, load.index);
  }
  llvm::Value* partial = partial_;
  if (block.partial != nullptr)
    partial =
        element(block.partial,
                ir.CreateNSWAdd(ir.CreateNSWMul(row_in_block, em_.i64(plan_.partial_stride())),
                                ir.CreateNSWMul(panel_in_block, em_.i64(plan_.nr()))));
  GRADC_CHECK(tiles_[variant] != nullptr, "no tile of variant {}", variant);
  ir.CreateCall(tiles_[variant], {a, b, partial, environment_->block(), row, column,
                                  ir.CreateNSWSub(block.steps.high, block.steps.low), block.flags});
}

}  // namespace gradc::cg
