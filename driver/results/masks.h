// Which positions of a model's outputs count, where layers say so: the graph of the masks alone,
// worked out by the interpreter. It is small: masks follow from inputs, seldom from parameters.
#pragma once

#include "frontend/model.h"
#include "ir/tensor.h"
#include "runtime/instance.h"
#include "support/result.h"

#include <map>
#include <memory>
#include <string>

namespace gradc {
class Graph;
}

namespace gradc::results {

class OutputMasks {
 public:
  static Result<OutputMasks> of(const Model& model, int64_t batch);

  /// The masks of the batch that is in the instance's inputs: bool[batch, steps] by output.
  Result<std::map<std::string, Tensor>> read(const rt::Instance& instance) const;

 private:
  std::shared_ptr<Graph> graph_;  ///< null: no output has one
};

}  // namespace gradc::results
