// One step of a graph that reads a window of steps: what generate runs for each token. What a step
// needs of those before it is kept in states: keys and values of attention, the carries of loops,
// the last inputs of convolutions. Steps in order from a start with zeros give what the window's
// graph gives at their places.
#pragma once

#include "ir/graph.h"

#include <memory>
#include <string>

namespace gradc {

/// Names of a step graph's inputs and outputs. The position, from 0, is there where the numbers
/// depend on it; it must be less than the window's steps. States: kStepState with a number.
inline constexpr const char* kStepPrefix = "step/";
inline constexpr const char* kStepInput = "step/input";
inline constexpr const char* kStepOutput = "step/output";
inline constexpr const char* kStepPosition = "step/position";
inline constexpr const char* kStepState = "step/state";

struct StepGraph {
  std::shared_ptr<Graph> graph;  ///< null: not every step follows from those before it
  std::string problem;           ///< then why: "reduce_sum joins steps"
  std::string location;          ///< and where in the model
};

/// `window` is a forward graph for one example: one data input, whose axis 1 is the steps, and one
/// output, either of every step along axis 1 or of the last.
StepGraph make_step_graph(const Graph& window);

}  // namespace gradc
