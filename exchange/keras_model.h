// The graph of a Keras model of any version, as it stands in the file: layers, their calls, and
// which results go where. A Sequential model is a chain of calls.
#pragma once

#include "exchange/keras_layer.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gradc::exchange {

/// One result of one call of a layer.
struct TensorRef {
  std::string layer;
  int64_t node = 0;
  int64_t tensor = 0;
  JsonCursor at;
};

struct KerasCall {
  std::vector<TensorRef> inputs;
  std::vector<std::pair<std::string, TensorRef>> named;  ///< keyword arguments that are tensors
  std::vector<std::string> flags;                        ///< those of is_flag_of_call that are true
  JsonCursor at;
};

struct KerasModel;

struct KerasNode {
  KerasLayer layer;
  bool is_input = false;
  std::shared_ptr<KerasModel> inner;  ///< of a nested model
  NativeLayer native;                 ///< of any other layer
  std::vector<KerasCall> calls;
};

struct KerasModel {
  std::string name;
  JsonCursor at;
  std::vector<KerasNode> layers;
  std::vector<TensorRef> inputs;
  std::vector<TensorRef> outputs;
  bool sequential = false;
  bool object_nodes = false;  ///< Keras 3's form of calls
  std::map<std::string, size_t> by_name = {};

  const KerasNode* find(const std::string& name) const;
  /// The call that `node` counts; nothing when there is none.
  std::optional<size_t> call_index(const KerasNode& layer, int64_t node) const;
};

/// Reads {"class_name", "config"} of a model; null after a report. `depth` counts models in models.
std::shared_ptr<KerasModel> read_keras_model(const Context& context, const JsonCursor& at,
                                             int depth = 0);

/// The calls in "inbound_nodes": three forms, by version.
std::vector<KerasCall> read_calls(const Context& context, const JsonCursor& nodes,
                                  const KerasLayer& layer, bool& object_nodes);
/// A list of tensors, one tensor, or an object of them.
std::vector<TensorRef> read_tensors(const Context& context, const JsonCursor& at);

}  // namespace gradc::exchange
