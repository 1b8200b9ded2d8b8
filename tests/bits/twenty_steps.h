// What the tests of bits train, in this process or, compiled for another machine, under its
// emulator: knows the runtime core alone.
#pragma once

#include "runtime/model_abi.h"

#include <cstdio>

namespace gradc::bits {

inline constexpr int kSteps = 20;

/// Initialises the model and trains kSteps steps on four batches in turn, made from nothing. Prints
/// a line for every tensor that lasts, at the start and after each step, and for loss and metrics,
/// of the step and of an evaluation before it: small ones in full, others by a digest. A model
/// without a training step has its one entry run. Returns 0, or 1 with a text of what went wrong.
int twenty_steps(const gradc_rt_model& model, int threads, std::FILE* out);

}  // namespace gradc::bits
