// Losses that a model's author writes: arithmetic over outputs ("formula"), or a function of the IR
// ("gir", frontend/function_loss.h). Which targets they need is known once all losses are read.
#pragma once

#include "frontend/formula_builder.h"
#include "frontend/model.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace gradc {

enum class OwnLoss : uint8_t { kNone, kFormula, kFunction };
OwnLoss own_loss(const Component& loss);
/// Whether it is of one output and one target, and has a value for each position.
bool is_loss_of_two(const ComponentDef& loss);

/// Finds out which targets losses of one's own need and what values they have, adds entries for the
/// targets that no loss has yet, and reports what does not fit.
void finish_own_losses(const Model& model, Training& training, DiagnosticSink& sink);

/// How many are added up; the others are there for their targets.
int64_t num_losses(const Training& training);

/// The values of a formula in a graph, which finish_own_losses has seen: `targets` are those of the
/// losses, empty where one has none, `output` gives the floats of an output.
Val build_formula_loss(const Model& model, const OutputLoss& loss, const std::vector<Val>& targets,
                       std::function<Val(size_t)> output);

}  // namespace gradc
