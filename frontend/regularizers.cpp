// The regularizer family: penalties on a parameter that are added to the loss.
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

constexpr ComponentDef kL1{"l1", "l1 sum |w|", kL1Options};
constexpr ComponentDef kL2{"l2", "l2 sum w^2", kL2Options};
constexpr ComponentDef kL1L2{"l1_l2", "l1 sum |w| + l2 sum w^2", kL1L2Options, "l1l2"};
constexpr std::array<const ComponentDef*, 3> kRegularizers = {&kL1, &kL2, &kL1L2};

Val sum_all(Val x) {
  Ints axes;
  for (int64_t i = 0; i < x.rank(); ++i)
    axes.push_back(i);
  return reduce_sum(x, axes);
}

}  // namespace

std::span<const ComponentDef* const> regularizer_components() {
  return kRegularizers;
}

Val build_regularizer(const Component& regularizer, Val parameter) {
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
