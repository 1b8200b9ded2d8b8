// Fine-tuning: the weights of another model, of which what fits is taken.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// What fits by name and shape, from the weights of another model; what was taken, what starts anew
/// and what the model does not have is added to `report`, a line each. Nothing that fits is an
/// error. Statistics and meanings are taken of inputs, not of targets: those are the new data's.
Status load_fitting(Instance& instance, const char* path, Str* report);

}  // namespace gradc::rt
