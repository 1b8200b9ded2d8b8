// The regularizer family: penalties on a parameter or a result that are added to the loss.
#include "frontend/families.h"
#include "support/check.h"

#include <array>

namespace gradc {
namespace {

constexpr OptionDef kL1Options[] = {
    {.name = "l1",
     .type = OptionType::kFloat,
     .default_json = "0.01",
     .doc = "factor of sum |w|",
     .min = 0},
};
constexpr OptionDef kL2Options[] = {
    {.name = "l2",
     .type = OptionType::kFloat,
     .default_json = "0.01",
     .doc = "factor of sum w^2",
     .min = 0},
};
constexpr OptionDef kL1L2Options[] = {
    {.name = "l1",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "factor of sum |w|",
     .min = 0},
    {.name = "l2",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "factor of sum w^2",
     .min = 0},
};

constexpr OptionDef kOrthogonalOptions[] = {
    {.name = "factor",
     .type = OptionType::kFloat,
     .default_json = "0.01",
     .doc = "factor of the mean",
     .min = 0},
    {.name = "mode",
     .type = OptionType::kEnum,
     .default_json = "\"rows\"",
     .doc = "what is to be orthogonal",
     .choices = "rows columns"},
};

constexpr ComponentDef kL1{"l1", "l1 sum |w|", kL1Options};
constexpr ComponentDef kL2{"l2", "l2 sum w^2", kL2Options};
constexpr ComponentDef kL1L2{"l1_l2", "l1 sum |w| + l2 sum w^2", kL1L2Options, "l1l2"};
constexpr ComponentDef kOrthogonal{
    "orthogonal_regularizer",
    "factor times the mean of |cosine| over all pairs of rows, or of columns", kOrthogonalOptions};
constexpr std::array<const ComponentDef*, 4> kRegularizers = {&kL1, &kL2, &kL1L2, &kOrthogonal};

Val sum_all(Val x) {
  Ints axes;
  for (int64_t i = 0; i < x.rank(); ++i)
    axes.push_back(i);
  return reduce_sum(x, axes);
}

// Rows of length 1 have their cosines as products; each pair stands in the matrix of them twice.
Val orthogonal_penalty(const Component& regularizer, Val w) {
  const bool columns = regularizer.options.text("mode") == "columns";
  const int64_t along = columns ? 0 : 1;
  const int64_t count = w.shape()[columns ? 1 : 0];
  if (count < 2) return {};
  constexpr double kSmallest = 1e-14;  // square of Keras's epsilon
  const Val inverse = rsqrt(maximum(reduce_sum(w * w, {along}), kSmallest));
  const Val unit = w * broadcast(inverse, w.shape(), {1 - along});
  const Val cosines = matmul(unit, unit, columns, !columns);
  const TensorType index{DType::kI32, cosines.shape()};
  const Val diagonal = equal(iota(w.builder(), index, 0), iota(w.builder(), index, 1));
  const double pairs = static_cast<double>(count) * static_cast<double>(count - 1) / 2.0;
  return sum_all(abs(select(diagonal, 0.0, cosines))) *
         (0.5 * regularizer.options.number("factor") / pairs);
}

}  // namespace

std::span<const ComponentDef* const> regularizer_components() {
  return kRegularizers;
}

bool regularizer_fits(const Component& regularizer, size_t rank) {
  return regularizer.def != &kOrthogonal || rank == 2;
}

Val build_regularizer(const Component& regularizer, Val parameter) {
  if (regularizer.def == &kOrthogonal) return orthogonal_penalty(regularizer, parameter);
  const bool has_l1 = regularizer.def != &kL2;
  const bool has_l2 = regularizer.def != &kL1;
  const double l1 = has_l1 ? regularizer.options.number("l1") : 0.0;
  const double l2 = has_l2 ? regularizer.options.number("l2") : 0.0;
  Val penalty;
  if (l1 != 0.0) penalty = sum_all(abs(parameter)) * l1;
  if (l2 != 0.0) {
    const Val squares = sum_all(parameter * parameter) * l2;
    penalty = penalty.valid() ? penalty + squares : squares;
  }
  return penalty;
}

}  // namespace gradc
