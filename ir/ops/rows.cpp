// Some rows of a large table: which ones, each once, and what becomes of them. With gather and
// scatter_add these move rows of a parameter without anything as large as it.
#include "ir/ops/common.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace gradc::ops {

namespace {

Result<Types> infer_distinct(const InferArgs& args) {
  const TensorType& indices = args.operands[0];
  const int64_t rows = args.attr<ScatterAttrs>().rows;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  if (!is_integer(indices.dtype))
    return shape_error("{} takes integer indices, got {}", args.name, to_string(indices));
  if (rows < 1) return attr_error("{} of {} rows", args.name, rows);
  if (indices.num_elements() > kMost)
    return shape_error("{} of {}, whose places are no i32", args.name, to_string(indices));
  const DType dtype = rows > kMost ? DType::kI64 : DType::kI32;
  const int64_t most = std::min(indices.num_elements(), rows);
  return Types{{dtype, Shape({most})}, {DType::kI32, indices.shape}};
}

void eval_distinct(const EvalArgs& e) {
  const int64_t rows = e.attr<ScatterAttrs>().rows;
  std::vector<double> found;
  for (int64_t i = 0; i < e.in(0).size(); ++i)
    found.push_back(std::clamp(e.in(0)[i], 0.0, static_cast<double>(rows - 1)));
  std::vector<double> sorted = found;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  for (size_t i = 0; i < found.size(); ++i) {
    const auto place = std::lower_bound(sorted.begin(), sorted.end(), found[i]);
    e.out(1)[static_cast<int64_t>(i)] = static_cast<double>(place - sorted.begin());
  }
  sorted.resize(static_cast<size_t>(e.out(0).size()), static_cast<double>(rows));
  std::copy(sorted.begin(), sorted.end(), e.out(0).data.begin());
}

Samples distinct_samples() {
  return {with_indices(sample({typed(DType::kI32, {6})}, ScatterAttrs{5}), 5),
          with_indices(sample({typed(DType::kI32, {3, 4})}, ScatterAttrs{3000}), 3000),
          with_indices(sample({typed(DType::kI64, {40})}, ScatterAttrs{30}), 31),
          with_indices(sample({typed(DType::kI64, {9})}, ScatterAttrs{int64_t{1} << 33U}), 12),
          with_indices(sample({typed(DType::kI32, {2})}, ScatterAttrs{1}), 1)};
}

Result<Types> infer_put_rows(const InferArgs& args) {
  const TensorType& table = args.operands[0];
  const TensorType& rows = args.operands[1];
  const TensorType& values = args.operands[2];
  if (!is_integer(rows.dtype) || rows.rank() != 1)
    return shape_error("{} takes a vector of integer rows, got {}", args.name, to_string(rows));
  if (table.rank() < 1 || table.num_elements() == 0)
    return shape_error("{} into {}, which has no rows", args.name, to_string(table));
  std::vector<int64_t> dims = table.shape.to_vector();
  dims[0] = rows.shape[0];
  const TensorType expected = table.with(Shape(dims));
  if (values != expected)
    return shape_error("{} into {}: the values are {}, expected {}", args.name, to_string(table),
                       to_string(values), to_string(expected));
  return Types{table};
}

void eval_put_rows(const EvalArgs& e) {
  const int64_t width = e.out().size() / e.out().type.shape[0];
  e.out().data = e.in(0).data;
  for (int64_t i = 0; i < e.in(1).size(); ++i) {
    const double row = e.in(1)[i];
    if (row < 0.0 || row >= static_cast<double>(e.out().type.shape[0])) continue;
    for (int64_t j = 0; j < width; ++j)
      e.out()[static_cast<int64_t>(row) * width + j] = e.in(2)[i * width + j];
  }
}

/// A row that is put more than once has the last values; those of no row are nowhere.
Grads put_rows_grad(const GradArgs& g) {
  Builder& b = g.builder;
  const auto put = [&](Val table, Val values) {
    return b.add(Op::kPutRows, {table, g.in(1), values});
  };
  const TensorType& values = g.in(2).type();
  Grads result(3);
  if (g.needs(0)) result[0] = put(g.dout(), b.splat(0.0, values));
  if (g.needs(2)) {
    const Val number = iota(b, {DType::kI32, g.in(1).shape()}, 0);
    const Val last = put(b.splat(-1.0, {DType::kI32, Shape({g.in(0).shape()[0]})}), number);
    const Val is_last = equal(b.add(Op::kGather, {last, g.in(1)}), number);
    result[2] =
        select(broadcast(is_last, values.shape, {0}), b.add(Op::kGather, {g.dout(), g.in(1)}), 0.0);
  }
  return result;
}

Samples put_rows_samples() {
  return {with_indices(sample({f32({5, 3}), typed(DType::kI32, {4}), f32({4, 3})}), 6),
          with_indices(sample({f32({4, 2, 3}), typed(DType::kI64, {6}), f32({6, 2, 3})}), 5),
          with_indices(sample({f32({600, 64}), typed(DType::kI32, {300}), f32({300, 64})}), 601),
          with_indices(sample({f32({7}), typed(DType::kI32, {3}), f32({3})}), 7)};
}

}  // namespace

constinit const OpDef kDistinct{
    .op = Op::kDistinct,
    .name = "distinct",
    .summary =
        "The rows that the indices name, each once, rising, then `rows` over and over; and "
        "for each index the place of its row among them.",
    .formula = "rows[places[i]] = clamp(indices[i], 0, rows - 1)",
    .operands = "indices",
    .results = "rows places",
    .attrs = &kAttrVtable<ScatterAttrs>,
    .infer = infer_distinct,
    .eval = eval_distinct,
    .no_grad = "the operand is indices",
    .lowering = Lowering::kGather,
    .samples = distinct_samples,
};

constinit const OpDef kPutRows{
    .op = Op::kPutRows,
    .name = "put_rows",
    .summary =
        "The table with other rows (its axis 0) in some places, in order; a row that it "
        "does not have is put nowhere. In the table's own memory where it can be.",
    .formula = "result[rows[i], ...] = values[i, ...], otherwise table",
    .operands = "table rows values",
    .infer = infer_put_rows,
    .eval = eval_put_rows,
    .grad = put_rows_grad,
    .lowering = Lowering::kGather,
    .samples = put_rows_samples,
};

}  // namespace gradc::ops
