// Optimizers whose step looks at a whole parameter, with the formulas of Keras 3: Adafactor, with
// second moments by rows and columns, and LAMB, with steps in proportion to the parameter.
#include "ir/ops/step_pieces.h"

#include <cmath>

namespace gradc::ops {

namespace {

double mean_square(const Tensor& x) {
  double sum = 0.0;
  for (const double e : x.data)
    sum += std::pow(e, 2.0);
  return sum / static_cast<double>(x.size());
}

// ---- Adafactor ----------------------------------------------------------------------------------

constexpr StepNumber kAdafactorNumbers[] = {
    {"beta_2_decay", -0.8}, {"epsilon_1", 1e-30}, {"epsilon_2", 1e-3}, {"clip_threshold", 1.0}};

/// Of a matrix: mean squares of rows (r) and columns (c) of its last two axes; else of elements.
Slots adafactor_slots(const StepAttrs&, const TensorType& w) {
  if (w.shape.rank() < 2) return {{"v", w}};
  std::vector<int64_t> rows = w.shape.to_vector();
  std::vector<int64_t> columns = rows;
  rows.pop_back();
  columns.erase(columns.end() - 2);
  return {{"r", w.with(Shape(rows))}, {"c", w.with(Shape(columns))}};
}
/// The relative step of this time, and the share of the past that is kept.
StepScalars adafactor_scalars(const StepAttrs& a, const StepTime& t) {
  const Val slowing = 1.0 / sqrt(t.number);
  return {.operands = {minimum(t.learning_rate, slowing),
                       1.0 - pow(t.number, a.number("beta_2_decay"))},
          .shared = {}};
}
size_t two_scalars(const StepAttrs&) {
  return 2;
}
Val mean_of_squares(Val x) {
  std::vector<int64_t> axes;
  for (int axis = 0; axis < x.rank(); ++axis)
    axes.push_back(axis);
  return axes.empty() ? x * x : reduce_mean(x * x, axes);
}
Results expand_adafactor(const StepAttrs&, const StepOperands& o) {
  const Val kept = o.scalars[1];
  const auto moving = [&](Val old, Val fresh) {
    const Val share = broadcast(kept, old.shape(), {});
    return old * share + fresh * (1.0 - share);
  };
  const Val squares = o.g * o.g + o.of("epsilon_1");
  const int rank = o.w.rank();
  Results results = {Val()};
  Val size;  // the root of the second moment
  if (rank < 2) {
    results.push_back(moving(o.slots[0], squares));
    size = sqrt(results[1]);
  } else {
    const Val r = moving(o.slots[0], reduce_mean(squares, {rank - 1}));
    const Val c = moving(o.slots[1], reduce_mean(squares, {rank - 2}));
    results.insert(results.end(), {r, c});
    std::vector<int64_t> row_axes, column_axes, outer_axes;
    for (int axis = 0; axis < rank; ++axis) {
      if (axis != rank - 1) row_axes.push_back(axis);
      if (axis != rank - 2) column_axes.push_back(axis);
      if (axis < rank - 2) outer_axes.push_back(axis);
    }
    const Val share = r / broadcast(reduce_mean(r, {rank - 2}), r.shape(), outer_axes);
    // Roots before the product: where neither a row nor a column had a gradient yet, the product of
    // both epsilons is 0 in f32, and 0 / 0 would follow.
    size = broadcast(sqrt(share), o.w.shape(), row_axes) *
           broadcast(sqrt(c), o.w.shape(), column_axes);
  }
  const Val u = ratio(o.g, size, o.of("epsilon_1"));
  const Val length = maximum(sqrt(mean_of_squares(u)) / o.of("clip_threshold"), 1.0);
  const Val rate = maximum(sqrt(mean_of_squares(o.w)), o.of("epsilon_2")) * o.scalars[0];
  results[0] = o.w - u * broadcast(rate / length, o.w.shape(), {});
  return results;
}
void eval_adafactor(const StepAttrs& a, const StepValues& v) {
  const double kept = v.scalars[1];
  const auto& dims = v.w.type.shape;
  const int rank = dims.rank();
  const int64_t columns = rank < 2 ? v.w.size() : dims[rank - 1];
  const int64_t rows = rank < 2 ? 1 : dims[rank - 2];
  Tensor u(v.w.type);
  for (int64_t first = 0; first < v.w.size(); first += rows * columns) {
    const auto square = [&](int64_t i, int64_t j) {
      return std::pow(v.g[first + i * columns + j], 2.0) + a.number("epsilon_1");
    };
    if (rank < 2) {
      for (int64_t j = 0; j < columns; ++j)
        v.new_slots[0][j] = kept * (*v.slots[0])[j] + (1.0 - kept) * square(0, j);
    } else {
      for (int64_t i = 0; i < rows; ++i) {
        double sum = 0.0;
        for (int64_t j = 0; j < columns; ++j)
          sum += square(i, j);
        const int64_t at = first / columns + i;
        v.new_slots[0][at] =
            kept * (*v.slots[0])[at] + (1.0 - kept) * sum / static_cast<double>(columns);
      }
      for (int64_t j = 0; j < columns; ++j) {
        double sum = 0.0;
        for (int64_t i = 0; i < rows; ++i)
          sum += square(i, j);
        const int64_t at = first / rows + j;
        v.new_slots[1][at] =
            kept * (*v.slots[1])[at] + (1.0 - kept) * sum / static_cast<double>(rows);
      }
    }
    double mean = 0.0;
    for (int64_t i = 0; i < rows && rank >= 2; ++i)
      mean += v.new_slots[0][first / columns + i] / static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        const int64_t at = first + i * columns + j;
        const double variance = rank < 2 ? v.new_slots[0][j]
                                         : v.new_slots[0][first / columns + i] *
                                               v.new_slots[1][first / rows + j] / mean;
        u[at] = v.g[at] / std::sqrt(variance);
      }
    }
  }
  const double length = std::fmax(1.0, std::sqrt(mean_square(u)) / a.number("clip_threshold"));
  const double size = std::fmax(a.number("epsilon_2"), std::sqrt(mean_square(v.w)));
  for (int64_t i = 0; i < u.size(); ++i)
    v.new_w[i] = v.w[i] - v.scalars[0] * size * u[i] / length;
}
Settings adafactor_settings() {
  return {StepAttrs("adafactor"),
          StepAttrs("adafactor", {{"clip_threshold", 0.5}, {"weight_decay", 0.01}})};
}

// ---- LAMB ---------------------------------------------------------------------------------------

constexpr StepNumber kLambNumbers[] = {{"beta_1", 0.9}, {"beta_2", 0.999}, {"epsilon", 1e-7}};

Slots lamb_slots(const StepAttrs&, const TensorType& w) {
  return {{"momentum", w}, {"velocity", w}};
}
/// The rate, and what corrects the bias of both moments.
StepScalars lamb_scalars(const StepAttrs&, const StepTime& t) {
  return {.operands = {t.learning_rate, 1.0 / bias(t.of("beta_1"), t.number),
                       1.0 / bias(t.of("beta_2"), t.number)},
          .shared = {}};
}
size_t three_scalars(const StepAttrs&) {
  return 3;
}
Val sum_of_squares(Val x) {
  std::vector<int64_t> axes;
  for (int axis = 0; axis < x.rank(); ++axis)
    axes.push_back(axis);
  return axes.empty() ? x * x : reduce_sum(x * x, axes);
}
Results expand_lamb(const StepAttrs&, const StepOperands& o) {
  const Num epsilon = o.of("epsilon");
  const Val m = o.slots[0] + (o.g - o.slots[0]) * rest_of(o.of("beta_1"));
  const Val v = o.slots[1] + (o.g * o.g - o.slots[1]) * rest_of(o.of("beta_2"));
  const Val u = ratio(m * o.like_w(1), sqrt(v * o.like_w(2)) + epsilon, epsilon);
  const Val size = sqrt(sum_of_squares(o.w));
  const Val length = sqrt(sum_of_squares(u));
  const Val known = logical_and(greater(size, 0.0), greater(length, 0.0));
  const Val trust = select(known, size / length, 1.0);
  return {o.w - u * broadcast(trust * o.scalars[0], o.w.shape(), {}), m, v};
}
void eval_lamb(const StepAttrs& a, const StepValues& v) {
  Tensor u(v.w.type);
  for (int64_t i = 0; i < u.size(); ++i) {
    const double g = v.g[i];
    v.new_slots[0][i] = a.number("beta_1") * (*v.slots[0])[i] + (1.0 - a.number("beta_1")) * g;
    v.new_slots[1][i] =
        a.number("beta_2") * (*v.slots[1])[i] + (1.0 - a.number("beta_2")) * std::pow(g, 2.0);
    u[i] = fraction(v.new_slots[0][i] * v.scalars[1],
                    std::sqrt(v.new_slots[1][i] * v.scalars[2]) + a.number("epsilon"));
  }
  const double size = std::sqrt(mean_square(v.w));
  const double length = std::sqrt(mean_square(u));
  const double trust = size > 0.0 && length > 0.0 ? size / length : 1.0;
  for (int64_t i = 0; i < u.size(); ++i)
    v.new_w[i] = v.w[i] - trust * v.scalars[0] * u[i];
}
Settings lamb_settings() {
  return {StepAttrs("lamb"),
          StepAttrs("lamb", {{"beta_1", 0.8}, {"epsilon", 1e-3}, {"weight_decay", 0.01}})};
}

// ---- the table ----------------------------------------------------------------------------------

constexpr StepRule kRules[] = {
    {.name = "adafactor",
     .formula = "v' from mean squares of rows and columns; u = g / sqrt(v'); w - max(epsilon_2, "
                "rms(w)) min(lr, 1 / sqrt(t)) u / max(1, rms(u) / clip_threshold)",
     .numbers = kAdafactorNumbers,
     .slots = adafactor_slots,
     .num_scalars = two_scalars,
     .scalars = adafactor_scalars,
     .expand = expand_adafactor,
     .eval = eval_adafactor,
     .samples = adafactor_settings},
    {.name = "lamb",
     .formula = "m, v as in adam; u = m' / (1 - beta_1^t) / (sqrt(v' / (1 - beta_2^t)) + epsilon); "
                "w - lr |w| / |u| u, or w - lr u where |w| or |u| is 0",
     .numbers = kLambNumbers,
     .slots = lamb_slots,
     .num_scalars = three_scalars,
     .scalars = lamb_scalars,
     .expand = expand_lamb,
     .eval = eval_lamb,
     .samples = lamb_settings},
};

}  // namespace

std::span<const StepRule> factored_rules() {
  return kRules;
}

}  // namespace gradc::ops
