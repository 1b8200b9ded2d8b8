// What dropout lets through.
#pragma once

#include "frontend/layer_def.h"
#include "ir/op_attrs.h"

#include <utility>

namespace gradc::layers {

/// Factors for values of a shape: 0 for a share `rate` of them, 1 / (1 - rate) for the others;
/// empty where all stay as they are.
inline Val keep_mask(const LayerBuildArgs& a, double rate, Ints shape) {
  if (!a.training || rate == 0.0) return {};
  const double keep = 1.0 - rate;
  const Val kept = a.builder.add(
      Op::kBernoulli, {a.seed(), a.iteration()},
      make_attrs(BernoulliAttrs{
          .shape = std::move(shape), .stream = a.next_stream(), .probability = keep}));
  return cast(kept, a.in().dtype()) * (1.0 / keep);
}

}  // namespace gradc::layers
