#include "ir/structural_hash.h"

#include "ir/op.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <type_traits>
#include <variant>

namespace gradc {

namespace {

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

/// What a walk meets, as one number.
class HashSink {
 public:
  void number(uint64_t v) {
    h_ ^= v + 0x9E3779B97F4A7C15ULL + (h_ << 6) + (h_ >> 2);
    h_ *= 0xFF51AFD7ED558CCDULL;
    h_ ^= h_ >> 32;
  }
  void text(std::string_view text) {
    for (char c : text)
      number(static_cast<unsigned char>(c));
    number(text.size());
  }
  void attrs(const AttrRef& attrs) { number(attrs.hash()); }
  uint64_t hash() const { return h_; }

 private:
  uint64_t h_ = 0x6772616463ULL;
};

/// All of it, in bytes.
class ContentSink {
 public:
  explicit ContentSink(ByteWriter& out) : out_(out) {}
  void number(uint64_t v) { out_.put(v); }
  void text(std::string_view text) { out_.put(text); }
  void attrs(const AttrRef& attrs) { put_content(out_, attrs); }

 private:
  ByteWriter& out_;
};

template <class Sink>
void walk(const TensorType& type, Sink& sink) {
  sink.number(static_cast<uint64_t>(type.dtype));
  sink.number(static_cast<uint64_t>(type.rank()));
  for (const int64_t extent : type.shape)
    sink.number(static_cast<uint64_t>(extent));
}

/// Everything that makes two graphs different: what Comparison compares.
template <class Sink>
void walk(const Graph& graph, bool is_body, Sink& sink) {
  if (!is_body) sink.text(graph.name());
  const std::vector<uint32_t> numbers = number_values(graph);
  sink.number(graph.inputs().size());
  for (const GraphInput& input : graph.inputs()) {
    sink.number(static_cast<uint64_t>(input.kind));
    sink.text(input.name);
    walk(graph.type(input.value), sink);
    sink.text(input.init.kind);
    sink.attrs(input.init.kind.empty() && input.init == InitSpec() ? AttrRef()
                                                                   : make_attrs(input.init));
  }
  sink.number(graph.num_nodes());
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    sink.number(static_cast<uint64_t>(node.op));
    sink.number(is_body ? 0 : static_cast<uint64_t>(node.phase));
    sink.attrs(node.attrs);
    sink.number(node.operands.size());
    for (const ValueId operand : node.operands)
      sink.number(numbers[operand.index]);
    sink.number(node.results.size());
    for (const ValueId result : node.results)
      walk(graph.type(result), sink);
    sink.number(node.body ? 1 : 0);
    if (node.body) walk(*node.body, /*is_body=*/true, sink);
  }
  sink.number(graph.outputs().size());
  for (const GraphOutput& output : graph.outputs()) {
    sink.text(output.name);
    sink.number(numbers[output.value.index]);
  }
}

uint64_t hash_graph(const Graph& graph, bool is_body) {
  HashSink sink;
  walk(graph, is_body, sink);
  return sink.hash();
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

void put_content(ByteWriter& out, const AttrRef& attrs) {
  const auto put_double = [&out](double value) {
    out.put(std::bit_cast<uint64_t>(std::isnan(value) ? std::nan("") : value));
  };
  if (attrs.empty()) return out.put(uint64_t{0});
  const std::vector<NamedAttr> fields = attrs.all_fields();
  out.put(uint64_t{fields.size() + 1});
  for (const auto& [name, value] : fields) {
    out.put(uint64_t{value.index()});
    std::visit(
        [&](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, double>) {
            put_double(v);
          } else if constexpr (std::is_same_v<T, std::string>) {
            out.put(v);
          } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
            out.put_array(std::span(v));
          } else if constexpr (std::is_same_v<T, Dense>) {
            out.put(uint64_t{v ? v->size() : 0});
            for (size_t i = 0; v && i < v->size(); ++i)
              put_double((*v)[i]);
          } else if constexpr (!std::is_same_v<T, NoValue>) {
            out.put(static_cast<uint64_t>(v));
          }
        },
        value);
  }
}

void put_content(ByteWriter& out, const Graph& graph) {
  ContentSink sink(out);
  walk(graph, /*is_body=*/false, sink);
}

uint64_t body_hash(const Graph& body) {
  return hash_graph(body, /*is_body=*/true);
}

}  // namespace gradc
