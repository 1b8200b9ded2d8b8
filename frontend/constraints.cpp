// The constraint family: what a parameter is made to keep after every step of the optimizer.
#include "frontend/families.h"
#include "support/check.h"

#include <algorithm>
#include <array>

namespace gradc {
namespace {

constexpr OptionDef kAxis = {.name = "axis",
                             .type = OptionType::kIntOrInts,
                             .default_json = "0",
                             .doc =
                                 "axes of the tensor over which a length is taken; 0: each unit of "
                                 "a dense layer has its own"};
constexpr OptionDef kMaxNormOptions[] = {
    {.name = "max_value",
     .type = OptionType::kFloat,
     .default_json = "2",
     .doc = "largest length",
     .min = 0},
    kAxis,
};
constexpr OptionDef kUnitNormOptions[] = {kAxis};
constexpr OptionDef kMinMaxNormOptions[] = {
    {.name = "min_value",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "smallest length",
     .min = 0},
    {.name = "max_value",
     .type = OptionType::kFloat,
     .default_json = "1",
     .doc = "largest length",
     .min = 0},
    {.name = "rate",
     .type = OptionType::kFloat,
     .default_json = "1",
     .doc = "share of the way to the range that each step goes",
     .min = 0,
     .max = 1},
    kAxis,
};

constexpr ComponentDef kMaxNorm{"max_norm", "Lengths of at most max_value.", kMaxNormOptions};
constexpr ComponentDef kUnitNorm{"unit_norm", "Lengths of 1.", kUnitNormOptions};
constexpr ComponentDef kMinMaxNorm{"min_max_norm", "Lengths between min_value and max_value.",
                                   kMinMaxNormOptions};
constexpr ComponentDef kNonNeg{"non_neg", "No element below 0.", {}, "non_negative"};
constexpr std::array<const ComponentDef*, 4> kConstraints = {&kMaxNorm, &kUnitNorm, &kMinMaxNorm,
                                                             &kNonNeg};

/// Increasing, each once; empty when one of them is out of range.
Ints axes_of(const Component& constraint, size_t rank) {
  Ints axes;
  for (int64_t axis : constraint.options.ints("axis")) {
    if (axis < 0) axis += static_cast<int64_t>(rank);
    if (axis < 0 || axis >= static_cast<int64_t>(rank)) return {};
    axes.push_back(axis);
  }
  std::sort(axes.begin(), axes.end());
  axes.erase(std::unique(axes.begin(), axes.end()), axes.end());
  return axes;
}

}  // namespace

std::span<const ComponentDef* const> constraint_components() {
  return kConstraints;
}

bool constraint_fits(const Component& constraint, size_t rank) {
  return constraint.def == &kNonNeg || !axes_of(constraint, rank).empty();
}

// w * wanted / (length + epsilon), as Keras.
Val build_constraint(const Component& constraint, Val w) {
  if (constraint.def == &kNonNeg) return maximum(w, 0.0);
  const Ints axes = axes_of(constraint, static_cast<size_t>(w.rank()));
  Ints others;
  for (int64_t axis = 0; axis < w.rank(); ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) others.push_back(axis);
  }
  constexpr double kEpsilon = 1e-7;
  const Val length = sqrt(reduce_sum(w * w, axes));
  const Val beside = length + kEpsilon;
  if (constraint.def == &kUnitNorm) return w / broadcast(beside, w.shape(), others);
  const Options& options = constraint.options;
  const double least = options.defines("min_value") ? options.number("min_value") : 0.0;
  Val wanted = minimum(maximum(length, least), options.number("max_value"));
  if (options.defines("rate")) {
    const double rate = options.number("rate");
    wanted = wanted * rate + length * (1.0 - rate);
  }
  return w * broadcast(wanted / beside, w.shape(), others);
}

}  // namespace gradc
