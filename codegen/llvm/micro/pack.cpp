// Copies into packed blocks.
#include "codegen/llvm/micro/pack.h"

#include "codegen/llvm/micro/environment.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>

namespace gradc::cg {

using kernel::ContractDim;
using kernel::VarId;

namespace {

int64_t round_up(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// A square of vectors, transposed in registers: log2(lanes) rounds of two-input shuffles.
std::vector<llvm::Value*> transpose(Builder& ir, std::vector<llvm::Value*> rows) {
  const auto lanes = static_cast<int>(rows.size());
  for (int step = lanes / 2; step > 0; step /= 2) {
    std::vector<int> low;
    std::vector<int> high;
    for (int lane = 0; lane < lanes; ++lane) {
      low.push_back((lane & step) != 0 ? lanes + lane - step : lane);
      high.push_back((lane & step) != 0 ? lanes + lane : lane + step);
    }
    for (int i = 0; i < lanes; ++i) {
      if ((i & step) != 0) continue;
      llvm::Value*& a = rows[static_cast<size_t>(i)];
      llvm::Value*& b = rows[static_cast<size_t>(i + step)];
      llvm::Value* first = ir.CreateShuffleVector(a, b, low);
      b = ir.CreateShuffleVector(a, b, high);
      a = first;
    }
  }
  return rows;
}

}  // namespace

int64_t Packer::a_bytes() const {
  if (!plan_.a_packed()) return 0;
  const int64_t elements = plan_.a_layout == Layout::kRowsOfK
                               ? plan_.mc * plan_.a_row_stride
                               : plan_.a_depth() * plan_.k_levels.back().a_stride;
  return elements * 4 + 256;
}

int64_t Packer::panel_elements() const {
  return (round_up(plan_.kc, plan_.lanes) + plan_.lanes) * plan_.nr();
}

int64_t Packer::b_bytes() const {
  return plan_.b_packed() ? plan_.nc / plan_.nr() * panel_elements() * 4 : 0;
}

llvm::Value* Packer::element(llvm::Value* base, llvm::Value* index) {
  return em_.ir().CreateInBoundsGEP(em_.ir().getFloatTy(), base, index);
}

void Packer::for_runs(const Dims& dims, const FlatRange& range, const Run& body) {
  Builder& ir = em_.ir();
  const ContractDim& inner = dims.back();
  if (dims.size() == 1) return body(inner.var, range.low, range.high, range.low);
  const Dims outer(dims.begin(), dims.end() - 1);
  llvm::Value* extent = em_.i64(inner.extent);
  llvm::Value* first = ir.CreateUDiv(range.low, extent);
  llvm::Value* last = ir.CreateUDiv(ir.CreateNSWAdd(range.high, em_.i64(inner.extent - 1)), extent);
  em_.loop(first, last, 1, false, [&](llvm::Value* q) {
    bind_flat(em_, outer, q);
    llvm::Value* start = ir.CreateNSWMul(q, extent);
    if (range.whole) return body(inner.var, em_.i64(0), extent, start);
    llvm::Value* low = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smax,
                                                ir.CreateNSWSub(range.low, start), em_.i64(0));
    llvm::Value* high =
        ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, ir.CreateNSWSub(range.high, start), extent);
    body(inner.var, low, high, ir.CreateNSWAdd(start, low));
  });
}

void Packer::for_each(const Dims& dims, const FlatRange& range,
                      const std::function<void(llvm::Value*)>& body) {
  em_.loop(range.low, range.high, 1, false, [&](llvm::Value* flat) {
    bind_flat(em_, dims, flat);
    body(flat);
  });
}

void Packer::copy_run(kernel::ExprId source, VarId var, int64_t extent, llvm::Value* low,
                      llvm::Value* high, llvm::Value* to) {
  int64_t unroll = 4;
  while (unroll > 1 && extent % (unroll * plan_.lanes) != 0 && extent < 8 * unroll * plan_.lanes)
    unroll /= 2;
  const auto width = static_cast<unsigned>(unroll * plan_.lanes);
  em_.vector_range(var, low, high, {0, extent - 1}, width, [&](llvm::Value* at) {
    llvm::Value* offset = em_.ir().CreateNSWSub(at, low);
    em_.masked_store(em_.eval_lanes(source), element(to, offset), 4);
  });
}

void Packer::pack_a(llvm::Value* to, const FlatRange& rows, const FlatRange& steps) {
  Builder& ir = em_.ir();
  if (plan_.a_layout == Layout::kRowsOfK) {
    for_each(plan_.m, rows, [&](llvm::Value* row) {
      llvm::Value* begin =
          element(to, ir.CreateNSWMul(ir.CreateNSWSub(row, rows.low), em_.i64(plan_.a_row_stride)));
      for_runs(plan_.k, steps,
               [&](VarId var, llvm::Value* low, llvm::Value* high, llvm::Value* flat) {
                 copy_run(plan_.a, var, plan_.k.back().extent, low, high,
                          element(begin, ir.CreateNSWSub(flat, steps.low)));
               });
    });
    return;
  }
  const int64_t stride = plan_.k_levels.back().a_stride;
  for_each(plan_.k, steps, [&](llvm::Value* step) {
    llvm::Value* begin =
        element(to, ir.CreateNSWMul(ir.CreateNSWSub(step, steps.low), em_.i64(stride)));
    for_runs(plan_.m, rows, [&](VarId var, llvm::Value* low, llvm::Value* high, llvm::Value* flat) {
      copy_run(plan_.a, var, plan_.m.back().extent, low, high,
               element(begin, ir.CreateNSWSub(flat, rows.low)));
    });
  });
}

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
  llvm::Type* type = with_lanes(ir.getFloatTy(), width);
  if (edge && !em_.target().has_masked_memory) {
    ir.CreateAlignedStore(llvm::Constant::getNullValue(type), to, llvm::Align(4));
    for (int64_t j = 0; j < columns; ++j) {
      em_.bind_var(plan_.n.var, column, j, range);
      em_.with({}, [&] {
        ir.CreateAlignedStore(em_.eval(plan_.b), element(to, em_.i64(j)), llvm::Align(4));
      });
    }
    return;
  }
  if (edge) lanes.mask = prefix_mask(em_.context(), width, static_cast<unsigned>(columns));
  em_.with(lanes, [&] {
    em_.bind_var(plan_.n.var, column, 0, range);
    ir.CreateAlignedStore(em_.eval_lanes(plan_.b), to, llvm::Align(4));
  });
}

void Packer::panels_in_order(llvm::Value* to, llvm::Value* first, llvm::Value* last,
                             const FlatRange& steps) {
  Builder& ir = em_.ir();
  const int64_t full = plan_.columns / plan_.nr();
  const int64_t rest = plan_.columns % plan_.nr();
  llvm::Value* full_end = ir.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last, em_.i64(full));
  for_each(plan_.k, steps, [&](llvm::Value* step) {
    llvm::Value* row =
        element(to, ir.CreateNSWMul(ir.CreateNSWSub(step, steps.low), em_.i64(plan_.nr())));
    const auto place = [&](llvm::Value* panel) {
      return element(row,
                     ir.CreateNSWMul(ir.CreateNSWSub(panel, first), em_.i64(panel_elements())));
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
  const auto lanes = static_cast<unsigned>(plan_.lanes);
  const Interval range{0, plan_.columns - 1};
  for_runs(plan_.k, steps, [&](VarId var, llvm::Value* low, llvm::Value* high, llvm::Value* flat) {
    em_.vector_range(var, low, high, {0, plan_.k.back().extent - 1}, lanes, [&](llvm::Value* at) {
      llvm::Value* step =
          ir.CreateNSWAdd(ir.CreateNSWSub(flat, steps.low), ir.CreateNSWSub(at, low));
      llvm::Value* begin = element(to, ir.CreateNSWMul(step, em_.i64(plan_.nr())));
      const unsigned width = em_.lanes().width;
      std::vector<llvm::Value*> square;
      for (int64_t j = 0; j < plan_.lanes; ++j) {
        llvm::Type* type = with_lanes(ir.getFloatTy(), width);
        em_.bind_var(plan_.n.var, column, j, range);
        square.push_back(j < columns ? em_.eval_lanes(plan_.b)
                                     : llvm::Constant::getNullValue(type));
      }
      if (width == 1) {
        for (int64_t j = 0; j < plan_.lanes; ++j)
          ir.CreateAlignedStore(square[static_cast<size_t>(j)], element(begin, em_.i64(j)),
                                llvm::Align(4));
        return;
      }
      square = transpose(ir, std::move(square));
      for (int64_t i = 0; i < plan_.lanes; ++i)
        ir.CreateAlignedStore(square[static_cast<size_t>(i)],
                              element(begin, em_.i64(i * plan_.nr())), llvm::Align(4));
    });
  });
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
    return element(to, ir.CreateNSWAdd(ir.CreateNSWMul(panel, em_.i64(panel_elements())),
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
