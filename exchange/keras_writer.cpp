// Calls of the top level become layers of their names. A nested model becomes a block, so that its
// layers are called <model>/<layer>; a further call of it calls each of its layers once more.
#include "exchange/keras_writer.h"

#include "support/utf8.h"

#include "exchange/input_shapes.h"
#include "exchange/keras_names.h"

#include <algorithm>
#include <set>

namespace gradc::exchange {
namespace {

/// A name that the native document may have.
std::string native_name(const std::string& name) {
  std::string out = name.substr(0, kMaxNameBytes - 20);
  for (char& c : out) {
    const bool odd = static_cast<unsigned char>(c) <= ' ' || c == 0x7F ||
                     std::string_view("/\"%$").find(c) != std::string_view::npos;
    if (odd) c = '_';
  }
  return out.empty() || !is_all_printable(out) ? "layer" : out;
}

/// Names of the results of a layer behind the first.
std::string result_suffix(const NativeLayer& layer, int64_t tensor) {
  if (tensor == 0) return {};
  const std::string_view type = layer.def->base.type;
  std::vector<std::string> states = {"state_h"};
  std::string_view cell = type;
  if (type == "bidirectional") {
    const Json& inner = layer.piece.json.at("layer");
    const std::string inner_type = inner.value("type", "");
    states = {"forward_state_h", "backward_state_h"};
    if (inner_type == "lstm")
      states = {"forward_state_h", "forward_state_c", "backward_state_h", "backward_state_c"};
  } else if (cell == "lstm" || cell.starts_with("conv_lstm")) {
    states = {"state_h", "state_c"};
  } else if (type.find("attention") != std::string_view::npos) {
    states = {"scores"};
  }
  const auto index = static_cast<size_t>(tensor - 1);
  return index < states.size() ? "." + states[index] : fmt::format(".result_{}", tensor);
}

/// One model whose layers have names: the top level, or a nested model as it is called.
class Scope {
 public:
  Scope(const Context& context, const KerasModel& model) : context_(context), model_(model) {
    for (const KerasNode& node : model.layers)
      names_.emplace(&node, free_name(native_name(node.layer.name)));
    for (const KerasNode& node : model.layers) {
      for (size_t call = 1; call < node.calls.size(); ++call)
        calls_.emplace(std::pair(&node, call),
                       free_name(fmt::format("{}_call_{}", names_.at(&node), call)));
    }
  }

  const std::string& name(const KerasNode& node) const { return names_.at(&node); }
  const std::string& call_name(const KerasNode& node, size_t call) const {
    return call == 0 ? names_.at(&node) : calls_.at({&node, call});
  }
  std::string free_name(const std::string& wanted) {
    std::string name = wanted;
    for (int i = 1; !taken_.insert(name).second; ++i)
      name = fmt::format("{}_{}", wanted, i);
    return name;
  }
  const KerasModel& model() const { return model_; }

  /// The layer and call that a reference means; null after a report.
  const KerasNode* find(const TensorRef& ref, size_t& call) const {
    const KerasNode* node = model_.find(ref.layer);
    if (node == nullptr) {
      context_.sink.error(DiagKind::kUnknownReference, ref.at.place(), "no layer is named \"{}\"",
                          printable(ref.layer, 80));
      return nullptr;
    }
    const auto index = model_.call_index(*node, ref.node);
    if (!index) {
      context_.sink.error(DiagKind::kUnknownReference, ref.at.place(),
                          "layer \"{}\" has no call number {}", printable(ref.layer, 80), ref.node);
      return nullptr;
    }
    call = *index;
    return node;
  }

 private:
  const Context& context_;
  const KerasModel& model_;
  std::map<const KerasNode*, std::string> names_;
  std::map<std::pair<const KerasNode*, size_t>, std::string> calls_;
  std::set<std::string> taken_;
};

/// Writes the layers of a model into a list.
class ListWriter {
 public:
  ListWriter(const Context& context, Piece& blocks, std::set<std::string>& block_names)
      : context_(context), blocks_(blocks), block_names_(block_names) {}

  /// All calls of all layers.
  void write(Scope& scope, Piece& list) {
    for (const KerasNode& node : scope.model().layers) {
      if (node.is_input) continue;
      for (size_t call = 0; call < node.calls.size(); ++call)
        write_call(scope, node, call, list);
    }
  }

  /// What a reference is called in the scope's list.
  std::string reference(const Scope& scope, const TensorRef& ref) {
    size_t call = 0;
    const KerasNode* node = scope.find(ref, call);
    if (node == nullptr) return ref.layer;
    if (node->inner != nullptr && !node->is_input) return inner_result(scope, *node, call, ref);
    const std::string& name = scope.call_name(*node, call);
    if (node->is_input) return name;
    return name + result_suffix(node->native, ref.tensor) +
           (node->native.channels_first > 0 ? kChannelsFirst : "");
  }

 private:
  static constexpr const char* kChannelsFirst = "_channels_first";

  /// The result of a nested model: of its block, or of the layer that was called once more.
  std::string inner_result(const Scope& scope, const KerasNode& node, size_t call,
                           const TensorRef& ref) {
    const KerasModel& inner = *node.inner;
    const auto index = static_cast<size_t>(std::max<int64_t>(ref.tensor, 0));
    if (index >= inner.outputs.size()) {
      context_.sink.error(DiagKind::kUnknownReference, ref.at.place(),
                          "model \"{}\" has {} outputs, but number {} is asked for",
                          node.layer.name, inner.outputs.size(), ref.tensor);
      return scope.name(node);
    }
    if (call == 0 && index == 0) return scope.name(node);
    Scope inner_scope(context_, inner);
    const std::string result = reference(inner_scope, inner.outputs[index]);
    return call == 0 ? scope.name(node) + "/" + result
                     : called_again(scope.call_name(node, call), result);
  }

  /// "<call>_<layer>": the layer of a nested model's further call.
  static std::string called_again(const std::string& call, const std::string& layer) {
    std::string name = call + "_" + layer;
    std::replace(name.begin(), name.end(), '/', '_');
    return name;
  }

  void write_call(Scope& scope, const KerasNode& node, size_t call, Piece& list) {
    std::vector<std::string> inputs;
    for (const TensorRef& ref : node.calls[call].inputs)
      inputs.push_back(reference(scope, ref));
    if (node.inner != nullptr) {
      if (inputs.size() != node.inner->inputs.size()) {
        context_.sink.error(DiagKind::kWrongInputCount, node.calls[call].at.place(),
                            "model \"{}\" takes {} inputs, got {}", node.layer.name,
                            node.inner->inputs.size(), inputs.size());
        return;
      }
      if (call == 0) return write_block(scope, node, inputs, list);
      return repeat_model(*node.inner, scope.name(node) + "/", scope.call_name(node, call), inputs,
                          list);
    }
    const std::string own = scope.name(node);
    Piece entry = call == 0 ? node.native.piece : shared(own, node.calls[call].at);
    finish_entry(scope, node, call, scope.call_name(node, call), inputs, std::move(entry), list);
  }

  static Piece shared(const std::string& layer, const JsonCursor& at) {
    Piece entry;
    entry.places.emplace_back("", at.pointer());
    entry.json["type"] = "shared";
    entry.json["layer"] = layer;
    return entry;
  }

  /// Name, inputs and keyword tensors; permutations around a layer with channels first.
  void finish_entry(const Scope& scope, const KerasNode& node, size_t call, const std::string& name,
                    std::vector<std::string> inputs, Piece entry, Piece& list) {
    const KerasCall& how = node.calls[call];
    const int64_t spatial = node.native.channels_first;
    if (spatial > 0 && inputs.size() == 1) {
      Json dims = Json::array();
      for (int64_t i = 0; i < spatial; ++i)
        dims.push_back(i + 2);
      dims.push_back(1);
      inputs[0] = permute(name + "_channels_last", inputs[0], std::move(dims), how.at, list);
    }
    entry.json["name"] = name;
    entry.json["inputs"] = inputs;
    entry.places.emplace_back("/inputs", how.at.pointer());
    for (const std::string& flag : how.flags) {
      if (call == 0) entry.json[flag] = true;
    }
    for (const auto& [key, ref] : how.named)
      entry.put(key, reference(scope, ref), ref.at);
    list.push(std::move(entry));
    if (spatial > 0) back_to_first(node, name, spatial, how.at, list);
  }

  void back_to_first(const KerasNode& node, const std::string& name, int64_t spatial,
                     const JsonCursor& at, Piece& list) {
    const bool pooled = node.native.def->base.type.starts_with("global") &&
                        !node.native.piece.json.value("keepdims", false);
    Json dims = Json::array();
    if (!pooled) dims.push_back(spatial + 1);
    for (int64_t i = 0; i < (pooled ? 1 : spatial); ++i)
      dims.push_back(i + 1);
    permute(name + kChannelsFirst, name, std::move(dims), at, list);
  }

  static std::string permute(const std::string& name, const std::string& input, Json dims,
                             const JsonCursor& at, Piece& list) {
    Piece entry;
    entry.places.emplace_back("", at.pointer());
    entry.json = {{"type", "permute"}, {"name", name}, {"inputs", input}};
    entry.json["dims"] = std::move(dims);
    list.push(std::move(entry));
    return name;
  }

  void write_block(const Scope& scope, const KerasNode& node,
                   const std::vector<std::string>& inputs, Piece& list) {
    const KerasModel& inner = *node.inner;
    Scope inside(context_, inner);
    Piece block;
    block.places.emplace_back("", node.layer.at.pointer());
    Json names = Json::array();
    for (const TensorRef& input : inner.inputs) {
      const KerasNode* input_node = inner.find(input.layer);
      if (input_node != nullptr) names.push_back(inside.name(*input_node));
    }
    block.json["inputs"] = std::move(names);
    Piece layers(Json::array(), node.layer.at);
    write(inside, layers);
    block.put("layers", std::move(layers));
    if (!inner.outputs.empty()) block.json["output"] = reference(inside, inner.outputs.front());
    std::string block_name = scope.name(node);
    for (int i = 1; !block_names_.insert(block_name).second; ++i)
      block_name = fmt::format("{}_{}", scope.name(node), i);
    blocks_.put(block_name, std::move(block));
    Piece use;
    use.places.emplace_back("", node.layer.at.pointer());
    use.json = {{"type", "block"}, {"block", block_name}, {"name", scope.name(node)}};
    use.json["inputs"] = inputs;
    list.push(std::move(use));
  }

  /// Every layer of a nested model once more, on other inputs. `path` is where its layers are.
  void repeat_model(const KerasModel& model, const std::string& path, const std::string& call,
                    const std::vector<std::string>& inputs, Piece& list) {
    Scope inside(context_, model);
    const auto meant = [&](const TensorRef& ref) {
      for (size_t i = 0; i < model.inputs.size(); ++i) {
        if (model.inputs[i].layer == ref.layer) return inputs[i];
      }
      return called_again(call, reference(inside, ref));
    };
    for (const KerasNode& node : model.layers) {
      if (node.is_input) continue;
      for (size_t i = 0; i < node.calls.size(); ++i) {
        std::vector<std::string> given;
        for (const TensorRef& ref : node.calls[i].inputs)
          given.push_back(meant(ref));
        const std::string name = called_again(call, inside.call_name(node, i));
        const std::string own = path + inside.name(node);
        if (node.inner != nullptr) {
          repeat_model(*node.inner, own + "/", name, given, list);
        } else {
          finish_entry(inside, node, i, name, given, shared(own, node.calls[i].at), list);
        }
      }
    }
  }

  const Context& context_;
  Piece& blocks_;
  std::set<std::string>& block_names_;
};

/// Whether something of the model goes on from an output.
bool is_used_on(const KerasModel& model, const TensorRef& output) {
  for (const KerasNode& node : model.layers) {
    for (const KerasCall& call : node.calls) {
      for (const TensorRef& input : call.inputs) {
        if (input.layer == output.layer) return true;
      }
    }
  }
  return false;
}

void write_inputs(const Context& context, const KerasModel& model, const Scope& scope,
                  const InputShapes& shapes, NativeNetwork& out) {
  std::set<std::string> names;
  for (const TensorRef& ref : model.inputs) {
    const KerasNode* node = model.find(ref.layer);
    if (node == nullptr) continue;
    const std::string& name = scope.name(*node);
    names.insert(name);
    const auto info = find_input(model, *node);
    const auto shape = close_shape(context, name, info, shapes, node->layer.at);
    if (!shape) continue;
    Piece input;
    input.places.emplace_back("", node->layer.at.pointer());
    input.json["name"] = name;
    input.put("shape", *shape, info ? *info->at : node->layer.at);
    const bool indices = wants_indices(model, node->layer.name);
    if (indices || (info && !info->dtype.empty()))
      input.json["dtype"] = indices ? "int32" : info->dtype;
    if (info && info->batch) out.batch = info->batch;
    out.inputs.push(std::move(input));
  }
  for (const auto& [name, shape] : shapes) {
    if (names.count(name) != 0) continue;
    context.sink.error(DiagKind::kUnknownReference, {.file = model.at.file()},
                       "a shape of \"{}\" was given, but no input of the model has this name",
                       printable(name, 80));
  }
}

}  // namespace

NativeNetwork write_network(const Context& context, const KerasModel& model,
                            const InputShapes& shapes) {
  NativeNetwork out{.inputs = Piece(Json::array(), model.at),
                    .layers = Piece(Json::array(), model.at),
                    .blocks = {},
                    .outputs = Piece(Json::array(), model.at),
                    .output_list = {},
                    .batch = {}};
  std::set<std::string> block_names;
  ListWriter writer(context, out.blocks, block_names);
  Scope scope(context, model);
  write_inputs(context, model, scope, shapes, out);
  writer.write(scope, out.layers);
  for (const TensorRef& ref : model.outputs) {
    NativeOutput output{.keras_name = ref.layer,
                        .name = writer.reference(scope, ref),
                        .used_on = is_used_on(model, ref),
                        .model = &model,
                        .node = model.find(ref.layer)};
    out.outputs.push(Piece(output.name, ref.at));
    out.output_list.push_back(std::move(output));
  }
  return out;
}

}  // namespace gradc::exchange
