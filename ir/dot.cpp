// Every value that is drawn has a Graphviz node: the node that computes it. Args of bodies stand
// for the node outside.
#include "ir/dot.h"

#include "ir/attrs.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/utf8.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace gradc {

namespace {

constexpr size_t kMaxAttrText = 48;

std::string_view phase_color(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "#dbe9f6";
    case Phase::kBackward:
      return "#f9e2d2";
    case Phase::kUpdate:
      return "#dcefdc";
  }
  GRADC_UNREACHABLE();
}

/// Where the edges of a value begin; empty: it is not drawn, and `constant` is written at its
/// users.
struct Source {
  std::string node;
  std::string constant;
};

class DotWriter {
 public:
  explicit DotWriter(const DotOptions& options) : options_(options) {}

  std::string run(const Graph& graph);

 private:
  void write_inputs(const Graph& graph, std::vector<Source>& sources);
  void write_node(const Graph& graph, NodeId id, std::vector<Source>& sources, int depth);
  void write_plain(const Graph& graph, NodeId id, std::vector<Source>& sources, int depth);
  void write_body(const Graph& graph, NodeId id, std::vector<Source>& sources, int depth);
  bool hide_constant(const Graph& graph, NodeId id, std::vector<Source>& sources) const;
  std::string new_name() { return fmt::format("n{}", count_++); }
  void line(int depth, const std::string& text) {
    out_ += std::string(static_cast<size_t>(depth) * 2, ' ') + text + "\n";
  }

  const DotOptions& options_;
  std::string out_;
  std::string edges_;
  int count_ = 0;
};

void DotWriter::write_inputs(const Graph& graph, std::vector<Source>& sources) {
  for (const GraphInput& input : graph.inputs()) {
    Source& source = sources[input.value.index];
    source.node = new_name();
    const bool is_kept = input.kind == InputKind::kParam || input.kind == InputKind::kState;
    line(1, fmt::format("{} [shape={}, fillcolor=white, label=\"{} %{}\\n{}\\n{}\"];", source.node,
                        is_kept ? "cylinder" : "ellipse", input_kind_name(input.kind),
                        graph.value(input.value).name, dot_escaped(input.name),
                        to_string(graph.type(input.value))));
  }
}

bool DotWriter::hide_constant(const Graph& graph, NodeId id, std::vector<Source>& sources) const {
  const Node& node = graph.node(id);
  if (options_.constants || node.op != Op::kConstant) return false;
  const Dense& value = node.attrs.as<ConstantAttrs>().value;
  if (!value || value->size() != 1) return false;
  sources[node.results[0].index].constant = print_attr(value->front());
  return true;
}

void DotWriter::write_plain(const Graph& graph, NodeId id, std::vector<Source>& sources,
                            int depth) {
  const Node& node = graph.node(id);
  const std::string name = new_name();
  std::string label = std::string(op_name(node.op));
  for (ValueId operand : node.operands) {
    const Source& source = sources[operand.index];
    if (source.node.empty()) {
      label += " " + source.constant;
    } else {
      edges_ += fmt::format("  {} -> {};\n", source.node, name);
    }
  }
  std::string attrs;
  for (const auto& [key, value] : node.attrs.changed_fields()) {
    if (key != "shape" && key != "dtype")
      attrs += fmt::format("{}{}={}", attrs.empty() ? "" : ", ", key, print_attr(value, 4));
  }
  if (attrs.size() > kMaxAttrText) attrs = attrs.substr(0, kMaxAttrText) + "...";
  if (!attrs.empty()) label += "\\n" + dot_escaped(attrs);
  for (ValueId result : node.results) {
    sources[result.index].node = name;
    label += fmt::format("\\n%{} {}", graph.value(result).name, to_string(graph.type(result)));
  }
  line(depth, fmt::format("{} [label=\"{}\", tooltip=\"{}\"];", name, label,
                          dot_escaped(graph.location(node.loc))));
}

/// A kernel says what it is by its label; other ops by their name and attributes.
std::string body_label(const Node& node) {
  const std::vector<NamedAttr> fields = node.attrs.all_fields();
  const bool labelled = !fields.empty() && fields[0].first == "label" &&
                        !std::get<std::string>(fields[0].second).empty();
  std::string label = labelled ? std::string() : std::string(op_name(node.op));
  const std::vector<NamedAttr> changed = node.attrs.changed_fields();
  for (const auto& [key, value] : fields) {
    const bool plain = key == "label" || key == "kind";
    const bool usual =
        std::none_of(changed.begin(), changed.end(),
                     [name = &key](const auto& field) { return field.first == *name; });
    if ((key == "label" && !labelled) || (labelled && !plain && usual)) continue;
    label += label.empty() ? "" : " ";
    label += plain ? print_attr(value) : key + "=" + print_attr(value);
  }
  return label;
}

void DotWriter::write_body(const Graph& graph, NodeId id, std::vector<Source>& sources, int depth) {
  const Node& node = graph.node(id);
  const Graph& body = *node.body;
  line(depth, fmt::format("subgraph cluster_k{} {{", count_++));
  const std::string label = body_label(node);
  line(depth + 1, fmt::format("label=\"{}\"; style=\"rounded,filled\"; fillcolor=\"#f5f5f5\";",
                              dot_escaped(label)));
  std::vector<Source> inner(body.value_capacity());
  for (size_t i = 0; i < node.operands.size() && i < body.inputs().size(); ++i)
    inner[body.inputs()[i].value.index] = sources[node.operands[i].index];
  for (NodeId nested : body.nodes())
    write_node(body, nested, inner, depth + 1);
  for (size_t i = 0; i < node.results.size() && i < body.outputs().size(); ++i)
    sources[node.results[i].index] = inner[body.outputs()[i].value.index];
  line(depth, "}");
}

void DotWriter::write_node(const Graph& graph, NodeId id, std::vector<Source>& sources, int depth) {
  if (hide_constant(graph, id, sources)) return;
  if (graph.node(id).body && options_.bodies) return write_body(graph, id, sources, depth);
  write_plain(graph, id, sources, depth);
}

std::string DotWriter::run(const Graph& graph) {
  out_ = fmt::format(
      "digraph \"{}\" {{\n  rankdir=TB;\n"
      "  node [shape=box, style=filled, fillcolor=white, fontname=\"sans-serif\", fontsize=10];\n",
      dot_escaped(graph.name()));
  std::vector<Source> sources(graph.value_capacity());
  write_inputs(graph, sources);
  // A phase may come in several runs once the graph is scheduled: one cluster per run, in order.
  std::optional<Phase> phase;
  int run = 0;
  for (NodeId id : graph.nodes()) {
    const Phase next = graph.node(id).phase;
    if (phase != next) {
      if (phase) line(1, "}");
      phase = next;
      line(1, fmt::format("subgraph cluster_phase{} {{", run++));
      line(2, fmt::format("label=\"{}\"; style=filled; color=\"{}\"; fillcolor=\"{}\";",
                          phase_name(next), phase_color(next), phase_color(next)));
    }
    write_node(graph, id, sources, 2);
  }
  if (phase) line(1, "}");
  for (const GraphOutput& output : graph.outputs()) {
    const std::string name = new_name();
    line(1,
         fmt::format("{} [shape=ellipse, label=\"return {}\"];", name, dot_escaped(output.name)));
    const Source& source = sources[output.value.index];
    if (!source.node.empty()) edges_ += fmt::format("  {} -> {};\n", source.node, name);
  }
  return out_ + edges_ + "}\n";
}

}  // namespace

std::string dot_escaped(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string to_dot(const Graph& graph, const DotOptions& options) {
  return DotWriter(options).run(graph);
}

}  // namespace gradc
