// Model + batch size + entry -> Graph: forward pass, loss and metrics. The backward pass and the
// update are made from it by the passes differentiate and apply_optimizer.
//
// Names (DESIGN 2.2): inputs "input/<name>", "target/<output>", "tail/weight", "seed"; parameters
// "<layer>/<parameter>"; outputs "output/<name>" (predict), "loss", "metric/<name>",
// "count/<output>" (where not every position counts), kMaskOutput (on request), and in training
// kLearningRateOutput.
#pragma once

#include "frontend/model.h"
#include "ir/graph.h"
#include "ir/optimizer_spec.h"
#include "support/result.h"

#include <memory>
#include <string>

namespace gradc {

/// Begins the name of the f32 number of a batch's positions that count in the scores of an output.
inline constexpr const char* kCountOutput = "count/";
/// Begins the name of bool[batch, steps]: which positions of an output count, where its layers say.
inline constexpr const char* kMaskOutput = "mask/";
/// f32[batch]: what each example weighs in the loss, where the training section says so.
inline constexpr const char* kSampleWeightInput = "target/sample_weight";
/// Begins the name of the state f32[classes] with the weights of classes that follow from the data.
inline constexpr const char* kClassWeightState = "optimizer/class_weight/";

enum class EntryKind : uint8_t {
  kPredict,   ///< outputs, inference mode
  kEvaluate,  ///< loss and metrics, inference mode
  kTrain,     ///< loss and metrics in training mode, learning rate, updates of moving averages
  kForward,   ///< outputs in training mode, updates of moving averages
  kUpdate,    ///< learning rate, and as each parameter's gradient an input of its name
  kRate,      ///< learning rate alone
  kMasks,     ///< kMaskOutput of every output that has a mask, inference mode
};

struct EntryRequest {
  EntryKind kind = EntryKind::kPredict;
  int64_t batch_size = 1;
  bool tail =
      false;  ///< means over the batch are weighted by the extra input "tail/weight" f32[batch]
};

struct EntryGraph {
  std::shared_ptr<Graph> graph;
  OptimizerSpec optimizer;  ///< kTrain only
};

/// Builds one entry. Errors: a batch size that makes a tensor too large, evaluate, train, update or
/// rate of a model without "training", an update of a parameter that is trained by rows. The graph
/// verifies.
Result<EntryGraph> build_entry_graph(const Model& model, const EntryRequest& request);

}  // namespace gradc
