// Copies of B: panels in the source's order, or transposed in registers.
#include "codegen/llvm/micro/pack.h"
#include "codegen/llvm/micro/transpose.h"

#include <llvm/IR/Intrinsics.h>

namespace gradc::cg {

void Packer::pack_b(llvm::Value* to, llvm::Value* first, llvm::Value* last,
                    const FlatRange& steps) {
  if (plan_.b_layout == Layout::kPanelsTransposed)
    panels_transposed(to, first, last, steps);
  else
    panels_in_order(to, first, last, steps);
}

/// One step of k of one panel with `columns` columns; the rest of its last vector is zero.
void Packer::panel_row(llvm::Value* to, llvm::Value* panel, int64_t columns) {
  Builder& ir = em_.ir();
  llvm::Value* column = ir.CreateNSWMul(panel, em_.i64(plan_.nr()));
  const Interval range{0, plan_.columns - 1};
  const auto width = static_cast<unsigned>(round_up(columns, plan_.lanes));
  Lanes lanes{width, plan_.n.var};
  const bool edge = static_cast<int64_t>(width) != columns;
  llvm::Type* type = with_lanes(word_type(em_.context(), plan_), width);
  const llvm::Align align(static_cast<uint64_t>(plan_.word_bytes()));
  if (edge && !em_.target().has_masked_memory) {
    ir.CreateAlignedStore(llvm::Constant::getNullValue(type), to, align);
    for (int64_t j = 0; j < columns; ++j) {
      em_.bind_var(plan_.n.var, column, j, range);
      em_.with({}, [&] { ir.CreateAlignedStore(words(plan_.b), element(to, em_.i64(j)), align); });
    }
    return;
  }
  if (edge) lanes.mask = prefix_mask(em_.context(), width, static_cast<unsigned>(columns));
  em_.with(lanes, [&] {
    em_.bind_var(plan_.n.var, column, 0, range);
    ir.CreateAlignedStore(words(plan_.b), to, align);
  });
}

void Packer::panels_in_order(llvm::Value* to, llvm::Value* first, llvm::Value* last,
                             const FlatRange& steps) {
  Builder& ir = em_.ir();
  const int64_t full = plan_.columns / plan_.nr();
  const int64_t rest = plan_.columns % plan_.nr();
  llvm::Value* full_end = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last, em_.i64(full));
  for_steps(steps, [&](llvm::Value* step) {
    llvm::Value* row =
        element(to, ir.CreateNSWMul(ir.CreateNSWSub(step, steps.low), em_.i64(plan_.nr())));
    const auto place = [&](llvm::Value* panel) {
      return element(row, ir.CreateNSWMul(ir.CreateNSWSub(panel, first), em_.i64(panel_words())));
    };
    if (full > 0)
      em_.loop(
          first, full_end, 1, false,
          [&](llvm::Value* panel) { panel_row(place(panel), panel, plan_.nr()); }, "panel");
    if (rest > 0)
      em_.when(ir.CreateICmpSGT(last, em_.i64(full)),
               [&] { panel_row(place(em_.i64(full)), em_.i64(full), rest); });
  });
}

/// `columns` columns from `column` on, all steps: vectors along k, transposed lanes x lanes.
void Packer::transpose_group(llvm::Value* to, llvm::Value* column, int64_t columns,
                             const FlatRange& steps) {
  Builder& ir = em_.ir();
  const int64_t numbers = plan_.pairs() ? 2 : 1;  // of a word
  const llvm::Align align(static_cast<uint64_t>(plan_.word_bytes()));
  const auto group = [&](llvm::Value* step, llvm::Value* left) {
    llvm::Value* begin = element(to, ir.CreateNSWMul(step, em_.i64(plan_.nr())));
    if (calls_transposer(columns)) return call_transposer(begin, column, columns, left);
    const std::vector<llvm::Value*> square = columns_along_k(column, columns);
    if (em_.lanes().width == 1) {
      for (int64_t j = 0; j < plan_.lanes; ++j)
        ir.CreateAlignedStore(square[static_cast<size_t>(j)], element(begin, em_.i64(j)), align);
      return;
    }
    const std::vector<llvm::Value*> rows = transpose(ir, square);
    for (int64_t i = 0; i < plan_.lanes; ++i)
      ir.CreateAlignedStore(rows[static_cast<size_t>(i)], element(begin, em_.i64(i * plan_.nr())),
                            align);
  };
  for_runs(plan_.k, steps,
           [&](kernel::VarId var, llvm::Value* low, llvm::Value* high, llvm::Value* flat) {
             llvm::Value* first = ir.CreateNSWSub(flat, steps.low);
             llvm::Value* end = high;
             if (plan_.pairs()) {
               low = ir.CreateNSWMul(low, em_.i64(2));
               end = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin,
                                              ir.CreateNSWMul(high, em_.i64(2)),
                                              em_.i64(plan_.inner_k));
             }
             em_.vector_range(var, low, end, {0, plan_.inner_k - 1},
                              static_cast<unsigned>(numbers * plan_.lanes), steps_multiple(),
                              [&](llvm::Value* at) {
                                llvm::Value* done = ir.CreateNSWSub(at, low);
                                if (plan_.pairs()) done = ir.CreateLShr(done, 1);
                                group(ir.CreateNSWAdd(first, done), ir.CreateNSWSub(end, at));
                              });
           });
}

/// Whether a square of B's source, on the present lanes, is words that lie in memory as they are
/// multiplied.
bool Packer::calls_transposer(int64_t columns) const {
  const kernel::Expr& e = plan_.exprs[plan_.b.index];
  const bool plain = e.kind == kernel::ExprKind::kLoad && !e.args[0].valid() &&
                     e.dtype == (plan_.type == TileType::kF64 ? DType::kF64 : DType::kF32);
  if (plan_.pairs() || !plain || em_.lanes().width == 1) return false;
  return em_.target().has_masked_memory || (em_.lanes().mask == nullptr && columns == plan_.lanes);
}

void Packer::call_transposer(llvm::Value* to, llvm::Value* column, int64_t columns,
                             llvm::Value* left) {
  Builder& ir = em_.ir();
  const kernel::Expr& load = plan_.exprs[plan_.b.index];
  em_.bind_var(plan_.n.var, column, 0, {0, plan_.columns - 1});
  std::vector<llvm::Value*> arguments = {to, em_.i64(plan_.nr()),
                                         em_.address(load.buffer, load.index),
                                         em_.i64(load.index.coefficient(plan_.n.var))};
  const bool edge = em_.lanes().mask != nullptr || columns < plan_.lanes;
  if (edge) {
    arguments.push_back(em_.i32(columns));
    arguments.push_back(em_.lanes().mask != nullptr ? ir.CreateTrunc(left, ir.getInt32Ty())
                                                    : em_.i32(plan_.lanes));
  }
  ir.CreateCall(transposer(*em_.function(), word_type(em_.context(), plan_),
                           static_cast<unsigned>(plan_.lanes), edge),
                arguments);
}

/// A vector along k of each of the columns from `column` on; columns behind the last are zero.
std::vector<llvm::Value*> Packer::columns_along_k(llvm::Value* column, int64_t columns) {
  std::vector<llvm::Value*> square;
  for (int64_t j = 0; j < plan_.lanes; ++j) {
    em_.bind_var(plan_.n.var, column, j, {0, plan_.columns - 1});
    square.push_back(j < columns ? along_k(plan_.b)
                                 : llvm::Constant::getNullValue(square.front()->getType()));
  }
  return square;
}

void Packer::panels_transposed(llvm::Value* to, llvm::Value* first, llvm::Value* last,
                               const FlatRange& steps) {
  Builder& ir = em_.ir();
  const int64_t groups = (plan_.columns + plan_.lanes - 1) / plan_.lanes;
  const int64_t full = plan_.columns / plan_.lanes;
  // Groups of one vector's columns are numbered through all panels.
  llvm::Value* first_group = ir.CreateNSWMul(first, em_.i64(plan_.nv));
  llvm::Value* last_group = ir.CreateBinaryIntrinsic(
      llvm::Intrinsic::smin, ir.CreateNSWMul(last, em_.i64(plan_.nv)), em_.i64(groups));
  const auto place = [&](llvm::Value* group) {
    llvm::Value* panel = ir.CreateNSWSub(ir.CreateUDiv(group, em_.i64(plan_.nv)), first);
    llvm::Value* within = ir.CreateURem(group, em_.i64(plan_.nv));
    return element(to, ir.CreateNSWAdd(ir.CreateNSWMul(panel, em_.i64(panel_words())),
                                       ir.CreateNSWMul(within, em_.i64(plan_.lanes))));
  };
  const auto column = [&](llvm::Value* group) {
    return ir.CreateNSWMul(group, em_.i64(plan_.lanes));
  };
  if (full > 0) {
    llvm::Value* full_end =
        ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last_group, em_.i64(full));
    em_.loop(first_group, full_end, 1, false, [&](llvm::Value* group) {
      transpose_group(place(group), column(group), plan_.lanes, steps);
    });
  }
  if (groups > full)
    em_.when(ir.CreateICmpSGT(last_group, em_.i64(full)), [&] {
      transpose_group(place(em_.i64(full)), column(em_.i64(full)),
                      plan_.columns - full * plan_.lanes, steps);
    });
}

}  // namespace gradc::cg
