// What the optimizer does otherwise for some parameters, and besides its step: outputs of a
// training graph that the pass apply_optimizer reads (ir/step_output.h).
#pragma once

#include "frontend/model.h"
#include "ir/builder.h"

namespace gradc {

void mark_steps(const Model& model, Builder& builder);

}  // namespace gradc
