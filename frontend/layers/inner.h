// Layers inside of other layers.
#pragma once

#include "frontend/layer_def.h"

#include <span>
#include <string>
#include <vector>

namespace gradc::layers {

/// What the inner layer infers, its parameters under a prefix; the first of `results` is its
/// output. `masked`: some of the steps that it sees do not count.
bool infer_inner(LayerInferArgs& a, Layer layer, std::span<const TensorSpec> inputs, int64_t batch,
                 bool masked, const std::string& prefix, std::vector<CallResult>& results);

/// `given` is put before the names of the inner layer's further results.
Val build_inner(const LayerBuildArgs& a, Layer layer, std::span<const Val> inputs, Val tail_weight,
                Val mask, const std::string& prefix, const std::string& given);

/// False after a report that the inner layer has several results.
bool has_one_result(LayerInferArgs& a, const Layer& layer, const std::vector<CallResult>& results);

}  // namespace gradc::layers
