// "inbound_nodes": [[[layer, node, tensor, {kwargs}], ...], ...] (Keras 1 and 2), [[layer, node,
// tensor, {kwargs}]] (TensorFlow 2.4 and later, of ops), or [{"args", "kwargs"}] (Keras 3).
#include "support/utf8.h"

#include "exchange/keras_model.h"
#include "exchange/keras_names.h"
#include "exchange/keras_options.h"

namespace gradc::exchange {
namespace {

constexpr int kMaxNesting = 16;

bool is_triple(const Json& value) {
  return value.is_array() && value.size() >= 3 && value[0].is_string() &&
         value[1].is_number_integer() && value[2].is_number_integer();
}

bool is_keras_tensor(const Json& value) {
  return string_member(value, "class_name") == "__keras_tensor__";
}

TensorRef from_triple(const JsonCursor& at) {
  const Json& value = at.value();
  return {value[0].get<std::string>(), value[1].get<int64_t>(), value[2].get<int64_t>(), at};
}

class CallReader {
 public:
  CallReader(const Context& context, const KerasLayer& layer) : context_(context), layer_(layer) {}

  KerasCall read_object(const JsonCursor& at) {
    KerasCall call{.inputs = {}, .named = {}, .flags = {}, .at = at};
    if (at.has("args")) collect(at.member("args"), call.inputs, 0);
    if (at.has("kwargs")) read_keywords(at.member("kwargs"), call);
    return call;
  }

  /// Forms 1 and 2.
  KerasCall read_list(const JsonCursor& at) {
    KerasCall call{.inputs = {}, .named = {}, .flags = {}, .at = at};
    if (is_triple(at.value())) {
      read_element(at, call);
      return call;
    }
    for (size_t i = 0; i < at.value().size(); ++i) {
      const JsonCursor element = at.element(i);
      if (is_triple(element.value())) {
        read_element(element, call);
      } else {
        report(element);
      }
    }
    return call;
  }

  void report(const JsonCursor& at) {
    report_wrong_type(context_.sink, at, "[layer, node, tensor]");
  }

 private:
  void read_element(const JsonCursor& at, KerasCall& call) {
    call.inputs.push_back(from_triple(at));
    if (at.value().size() > 3 && at.value()[3].is_object()) read_keywords(at.element(3), call);
  }

  /// All tensors in a value, in order.
  void collect(const JsonCursor& at, std::vector<TensorRef>& out, int depth) {
    const Json& value = at.value();
    if (depth > kMaxNesting) return report(at);
    if (is_keras_tensor(value)) {
      const bool sound = at.has("config") && at.member("config").has("keras_history") &&
                         is_triple(value["config"]["keras_history"]);
      if (!sound) return report(at);
      out.push_back(from_triple(at.member("config").member("keras_history")));
    } else if (is_triple(value)) {
      out.push_back(from_triple(at));
    } else if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i)
        collect(at.element(i), out, depth + 1);
    } else if (!value.is_null()) {
      context_.sink.error(DiagKind::kUnsupported, at.place(),
                          "layer \"{}\" is called with {}, but only tensors can be read",
                          layer_.name, json_text(value));
    }
  }

  void read_keywords(const JsonCursor& at, KerasCall& call) {
    if (!at.value().is_object()) return;
    for (const auto& [key, value] : at.value().items()) {
      const JsonCursor member = at.member(key, value);
      if (value.is_null() || value == false || key == "training") {
        if (key == "training" && value == true) refuse(member, key);
        continue;
      }
      if (is_flag_of_call(key)) {
        if (value == true) call.flags.push_back(key);
        continue;
      }
      std::vector<TensorRef> tensors;
      const bool is_tensor = value.is_array() || is_keras_tensor(value);
      if (is_tensor) collect(member, tensors, 0);
      if (key == "mask") continue;  // made by the layers before, as gradc makes it
      if (!is_tensor) {
        refuse(member, key);
      } else if (key == "initial_state" || key == "value" || key == "key") {
        take_further(key, tensors, call);
      } else {
        for (const TensorRef& tensor : tensors)
          call.named.emplace_back(key, tensor);
      }
    }
  }

  /// Inputs behind the first: in gradc's order query, value, key.
  void take_further(const std::string& key, const std::vector<TensorRef>& tensors,
                    KerasCall& call) {
    const bool before_key = key == "value" && call.inputs.size() > 1 && keys_ > 0;
    auto at = before_key ? call.inputs.end() - static_cast<ptrdiff_t>(keys_) : call.inputs.end();
    call.inputs.insert(at, tensors.begin(), tensors.end());
    if (key == "key") keys_ = tensors.size();
  }

  void refuse(const JsonCursor& at, const std::string& key) {
    context_.sink.error(DiagKind::kUnsupported, at.key_place(),
                        "layer \"{}\" is called with \"{}\": {}, which gradc does not have",
                        layer_.name, printable(key, 80), json_text(at.value()));
  }

  const Context& context_;
  const KerasLayer& layer_;
  size_t keys_ = 0;
};

}  // namespace

std::vector<KerasCall> read_calls(const Context& context, const JsonCursor& nodes,
                                  const KerasLayer& layer, bool& object_nodes) {
  std::vector<KerasCall> calls;
  if (!nodes.value().is_array()) {
    report_wrong_type(context.sink, nodes, "a list of calls");
    return calls;
  }
  // One flat call: its tensors stand in the list itself, [layer, node, tensor, {...}].
  const bool flat = is_triple(nodes.value());
  if (flat) {
    calls.push_back(CallReader(context, layer).read_list(nodes));
    return calls;
  }
  for (size_t i = 0; i < nodes.value().size(); ++i) {
    const JsonCursor node = nodes.element(i);
    CallReader reader(context, layer);
    if (node.value().is_object()) {
      object_nodes = true;
      calls.push_back(reader.read_object(node));
    } else if (node.value().is_array()) {
      calls.push_back(reader.read_list(node));
    } else {
      reader.report(node);
    }
  }
  return calls;
}

std::vector<TensorRef> read_tensors(const Context& context, const JsonCursor& at) {
  std::vector<TensorRef> tensors;
  const Json& value = at.value();
  if (is_triple(value)) {
    tensors.push_back(from_triple(at));
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      const JsonCursor element = at.element(i);
      if (is_triple(element.value())) {
        tensors.push_back(from_triple(element));
      } else {
        report_wrong_type(context.sink, element, "[layer, node, tensor]");
      }
    }
  } else if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      const JsonCursor member = at.member(key, inner);
      if (is_triple(inner)) {
        tensors.push_back(from_triple(member));
      } else {
        report_wrong_type(context.sink, member, "[layer, node, tensor]");
      }
    }
  } else {
    report_wrong_type(context.sink, at, "a list of [layer, node, tensor]");
  }
  return tensors;
}

}  // namespace gradc::exchange
