// Which layer of the model a node belongs to: the rows that a report groups its steps under.
#pragma once

#include "frontend/model.h"
#include "ir/graph.h"

#include <map>
#include <string>
#include <vector>

namespace gradc {

/// Layers are the calls of the model, in order; behind them stand what is of no call: the loss with
/// its metrics, and the optimizer.
class ReportLayers {
 public:
  explicit ReportLayers(const Model& model);

  size_t size() const { return num_calls_ + 2; }
  size_t loss() const { return num_calls_; }
  size_t optimizer() const { return num_calls_ + 1; }

  /// The layers that a node does work for, each once; the first is the one that it is shown under.
  /// `updated` are the external names of parameters and states that its results become.
  std::vector<size_t> of(const Graph& graph, const Node& node,
                         const std::vector<std::string>& updated) const;
  /// "dense_1/kernel", "optimizer/dense_1/kernel/m": the layer that holds it; the optimizer if
  /// there is none.
  size_t of_tensor(const std::string& name) const;

 private:
  size_t at(std::string_view location, Phase phase) const;

  size_t num_calls_;
  std::map<std::string, size_t, std::less<>> by_location_;
  std::map<std::string, size_t, std::less<>> by_layer_;  ///< the first call of a layer, by its name
};

}  // namespace gradc
