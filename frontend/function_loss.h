// "gir" as a loss: a function in the IR's text form of an output and its target.
#pragma once

#include "frontend/model.h"
#include "frontend/whole_losses.h"
#include "ir/builder.h"

namespace gradc {

/// What an input of the function is: by the names %output or %prediction, %target, %counts, or,
/// where it has others, in this order.
enum class FunctionInput : uint8_t { kOutput, kTarget, kCounts };
/// Of all its inputs; empty where they are none of the above, or more.
std::vector<FunctionInput> function_inputs(const Options& options);

/// Whether it gives one number of a batch: it takes %counts, f32[batch], 1 for the examples that
/// count and 0 for those that fill up the last batch.
bool function_of_batch(const Options& options);
/// Values [batch, ...]; the target may be empty.
Val build_function_loss(const Options& options, Val output, Val target);
/// A number.
Val build_function_of_batch(const WholeLossArgs& args);

/// Reports what is wrong with the function, and says what it gives and whether it has a target.
void check_function_loss(const Model& model, OutputLoss& loss, DiagnosticSink& sink);

}  // namespace gradc
