#include "ir/graph_json.h"

#include "ir/op.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace gradc {

namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxDense = 64;

Json number_json(double x) {
  if (std::isfinite(x)) return x;
  return print_attr(x);  // JSON has no infinities
}

Json dense_json(const Dense& dense) {
  const size_t count = dense ? dense->size() : 0;
  if (count > kMaxDense) return {{"elements", count}};
  Json list = Json::array();
  for (size_t i = 0; i < count; ++i)
    list.push_back(number_json((*dense)[i]));
  return list;
}

Json attr_json(const AttrValue& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Dense>) {
          return dense_json(v);
        } else if constexpr (std::is_same_v<T, DType>) {
          return dtype_name(v);
        } else if constexpr (std::is_same_v<T, double>) {
          return number_json(v);
        } else if constexpr (std::is_same_v<T, NoValue>) {
          return nullptr;
        } else {
          return v;
        }
      },
      value);
}

Json attrs_json(const std::vector<NamedAttr>& attrs) {
  Json object = Json::object();
  for (const auto& [name, value] : attrs)
    object[name] = attr_json(value);
  return object;
}

Json value_json(const Graph& graph, ValueId id) {
  const TensorType& type = graph.type(id);
  return {{"value", graph.value(id).name},
          {"dtype", dtype_name(type.dtype)},
          {"shape", type.shape.to_vector()}};
}

Json input_json(const Graph& graph, const GraphInput& input) {
  Json object = value_json(graph, input.value);
  object["kind"] = input_kind_name(input.kind);
  if (!input.name.empty()) object["name"] = input.name;
  if (!input.init.kind.empty()) {
    object["initializer"] = attrs_json(make_attrs(input.init).changed_fields());
    object["initializer"]["kind"] = input.init.kind;
  }
  if (input.loc.valid()) object["location"] = graph.location(input.loc);
  return object;
}

Json graph_json(const Graph& graph);

Json node_json(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  Json object;
  object["op"] = op_name(node.op);
  object["phase"] = phase_name(node.phase);
  object["operands"] = Json::array();
  for (ValueId operand : node.operands)
    object["operands"].push_back(graph.value(operand).name);
  object["results"] = Json::array();
  for (ValueId result : node.results)
    object["results"].push_back(value_json(graph, result));
  const std::vector<NamedAttr> attrs = node.attrs.all_fields();
  if (!attrs.empty()) object["attributes"] = attrs_json(attrs);
  if (node.loc.valid()) object["location"] = graph.location(node.loc);
  if (node.body) object["body"] = graph_json(*node.body);
  return object;
}

Json graph_json(const Graph& graph) {
  Json object;
  object["name"] = graph.name();
  object["inputs"] = Json::array();
  for (const GraphInput& input : graph.inputs())
    object["inputs"].push_back(input_json(graph, input));
  object["nodes"] = Json::array();
  for (NodeId id : graph.nodes())
    object["nodes"].push_back(node_json(graph, id));
  object["outputs"] = Json::array();
  for (const GraphOutput& output : graph.outputs()) {
    Json entry = {{"value", graph.value(output.value).name}};
    if (!output.name.empty()) entry["name"] = output.name;
    object["outputs"].push_back(std::move(entry));
  }
  return object;
}

/// One line an element.
std::string list_text(const Json& list) {
  std::string text = "[";
  for (const Json& element : list)
    text += (text.size() > 1 ? ",\n    " : "\n    ") +
            element.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text + (list.empty() ? "]" : "\n  ]");
}

}  // namespace

std::string graph_to_json(const Graph& graph) {
  const Json object = graph_json(graph);
  std::string text;
  for (const auto& [key, value] : object.items()) {
    text +=
        fmt::format("{}  \"{}\": {}", text.empty() ? "{\n" : ",\n", key,
                    value.is_array() ? list_text(value)
                                     : value.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
  return text + "\n}\n";
}

}  // namespace gradc
