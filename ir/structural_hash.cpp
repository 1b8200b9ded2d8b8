#include "ir/structural_hash.h"

#include "ir/op.h"

#include <fmt/format.h>

#include <bit>

namespace gradc {

namespace {

uint64_t mix(uint64_t h, uint64_t v) {
  h ^= v + 0x9E3779B97F4A7C15ULL + (h << 6) + (h >> 2);
  h *= 0xFF51AFD7ED558CCDULL;
  return h ^ (h >> 32);
}

uint64_t mix(uint64_t h, std::string_view text) {
  for (char c : text)
    h = mix(h, static_cast<unsigned char>(c));
  return mix(h, text.size());
}

uint64_t mix(uint64_t h, const TensorType& type) {
  h = mix(h, static_cast<uint64_t>(type.dtype));
  for (int64_t extent : type.shape)
    h = mix(h, static_cast<uint64_t>(extent));
  return mix(h, static_cast<uint64_t>(type.rank()));
}

/// Values by order of definition: inputs, then results.
std::vector<uint32_t> number_values(const Graph& graph) {
  std::vector<uint32_t> numbers(graph.value_capacity(), UINT32_MAX);
  uint32_t next = 0;
  for (const GraphInput& input : graph.inputs())
    numbers[input.value.index] = next++;
  for (NodeId id : graph.nodes()) {
    for (ValueId result : graph.node(id).results)
      numbers[result.index] = next++;
  }
  return numbers;
}

uint64_t hash_graph(const Graph& graph, bool is_body) {
  uint64_t h = 0x6772616463ULL;
  if (!is_body) h = mix(h, graph.name());
  const std::vector<uint32_t> numbers = number_values(graph);
  for (const GraphInput& input : graph.inputs()) {
    h = mix(mix(mix(h, static_cast<uint64_t>(input.kind)), input.name), graph.type(input.value));
    h = mix(mix(h, input.init.kind), make_attrs(input.init).hash());
  }
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    h = mix(h, op_name(node.op));
    h = mix(h, is_body ? 0 : static_cast<uint64_t>(node.phase));
    if (!node.attrs.empty()) h = mix(h, node.attrs.hash());
    for (ValueId operand : node.operands)
      h = mix(h, numbers[operand.index]);
    for (ValueId result : node.results)
      h = mix(h, graph.type(result));
    if (node.body) h = mix(h, hash_graph(*node.body, /*is_body=*/true));
  }
  for (const GraphOutput& output : graph.outputs())
    h = mix(mix(h, output.name), numbers[output.value.index]);
  return h;
}

class Comparison {
 public:
  Comparison(const Graph& a, const Graph& b, bool is_body, const EqualityOptions& options)
      : a_(a), b_(b), is_body_(is_body), options_(options) {}

  std::string run() {
    if (!is_body_ && a_.name() != b_.name())
      return fmt::format("names @{} and @{}", a_.name(), b_.name());
    numbers_a_ = number_values(a_);
    numbers_b_ = number_values(b_);
    std::string difference = inputs();
    if (difference.empty()) difference = nodes();
    if (difference.empty()) difference = outputs();
    return difference;
  }

 private:
  bool same_value(ValueId x, ValueId y) const { return numbers_a_[x.index] == numbers_b_[y.index]; }
  std::string inputs() const;
  std::string nodes() const;
  std::string node(NodeId x, NodeId y) const;
  bool same_interface(const Node& x, const Node& y) const;
  std::string outputs() const;

  const Graph& a_;
  const Graph& b_;
  bool is_body_;
  const EqualityOptions& options_;
  std::vector<uint32_t> numbers_a_, numbers_b_;
};

std::string Comparison::inputs() const {
  if (a_.inputs().size() != b_.inputs().size())
    return fmt::format("{} and {} inputs", a_.inputs().size(), b_.inputs().size());
  for (size_t i = 0; i < a_.inputs().size(); ++i) {
    const GraphInput& x = a_.inputs()[i];
    const GraphInput& y = b_.inputs()[i];
    const bool same = x.kind == y.kind && x.name == y.name && x.init == y.init &&
                      a_.type(x.value) == b_.type(y.value);
    if (!same) return fmt::format("input {} ({} and {})", i, x.name, y.name);
    if (options_.value_names && a_.value(x.value).name != b_.value(y.value).name)
      return fmt::format("input names %{} and %{}", a_.value(x.value).name, b_.value(y.value).name);
    if (options_.locations && a_.location(x.loc) != b_.location(y.loc))
      return fmt::format("the location of input {}", i);
  }
  return {};
}

bool Comparison::same_interface(const Node& x, const Node& y) const {
  if (x.op != y.op || !(x.attrs == y.attrs) || (!is_body_ && x.phase != y.phase)) return false;
  if (x.operands.size() != y.operands.size() || x.results.size() != y.results.size()) return false;
  for (size_t i = 0; i < x.operands.size(); ++i) {
    if (!same_value(x.operands[i], y.operands[i])) return false;
  }
  for (size_t i = 0; i < x.results.size(); ++i) {
    if (a_.type(x.results[i]) != b_.type(y.results[i])) return false;
  }
  return (x.body == nullptr) == (y.body == nullptr);
}

std::string Comparison::node(NodeId id_a, NodeId id_b) const {
  const Node& x = a_.node(id_a);
  const Node& y = b_.node(id_b);
  if (!same_interface(x, y)) return "the op, operands, attributes, types or phase";
  for (size_t i = 0; options_.value_names && i < x.results.size(); ++i) {
    if (a_.value(x.results[i]).name != b_.value(y.results[i]).name) return "the names of results";
  }
  if (options_.locations && a_.location(x.loc) != b_.location(y.loc)) return "the locations";
  if (!x.body) return {};
  return Comparison(*x.body, *y.body, /*is_body=*/true, options_).run();
}

std::string Comparison::nodes() const {
  const std::vector<NodeId> nodes_a = a_.nodes();
  const std::vector<NodeId> nodes_b = b_.nodes();
  for (size_t i = 0; i < std::min(nodes_a.size(), nodes_b.size()); ++i) {
    const std::string difference = node(nodes_a[i], nodes_b[i]);
    if (!difference.empty()) return fmt::format("node {}: {}", i, difference);
  }
  if (nodes_a.size() == nodes_b.size()) return {};
  return fmt::format("{} and {} nodes", nodes_a.size(), nodes_b.size());
}

std::string Comparison::outputs() const {
  if (a_.outputs().size() != b_.outputs().size())
    return fmt::format("{} and {} outputs", a_.outputs().size(), b_.outputs().size());
  for (size_t i = 0; i < a_.outputs().size(); ++i) {
    const GraphOutput& x = a_.outputs()[i];
    const GraphOutput& y = b_.outputs()[i];
    if (x.name != y.name || !same_value(x.value, y.value)) return fmt::format("output {}", i);
  }
  return {};
}

}  // namespace

std::string first_difference(const Graph& a, const Graph& b, const EqualityOptions& options) {
  return Comparison(a, b, /*is_body=*/false, options).run();
}

bool structurally_equal(const Graph& a, const Graph& b, const EqualityOptions& options) {
  return first_difference(a, b, options).empty();
}

bool bodies_equal(const Graph& a, const Graph& b) {
  return Comparison(a, b, /*is_body=*/true, {}).run().empty();
}

uint64_t structural_hash(const Graph& graph) {
  return hash_graph(graph, /*is_body=*/false);
}

uint64_t body_hash(const Graph& body) {
  return hash_graph(body, /*is_body=*/true);
}

}  // namespace gradc
