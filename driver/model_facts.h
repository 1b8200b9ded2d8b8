// What a model is, as short texts: which a checkpoint keeps, so that resuming with another model is
// refused by saying what differs.
#pragma once

#include "frontend/model.h"

#include <string>
#include <vector>

namespace gradc {

/// gradc_rt_fact. The value lists "option=value" separated by "; ", so that two values can be
/// compared piece by piece.
struct ModelFact {
  std::string name;  ///< "layer hidden", "optimizer", "loss of logits"
  std::string value;
};

/// Layers with all options and where their inputs come from, losses, metrics, optimizer, data
/// rules: everything that the numbers of a training step follow from, besides batch size and seed.
std::vector<ModelFact> model_facts(const Model& model);

}  // namespace gradc
