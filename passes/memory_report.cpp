#include "passes/memory_report.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/graph_stats.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <numeric>
#include <span>

namespace gradc {
namespace {

std::string node_label(const Graph& graph, NodeId id) {
  const Node& node = graph.node(id);
  if (node.op == Op::kKernel) return node.attrs.as<KernelAttrs>().label;
  return std::string(op_name(node.op));
}

std::string_view kind_label(const Node& node) {
  if (node.op != Op::kKernel) return op_name(node.op);
  const KernelKind kind = node.attrs.as<KernelAttrs>().kind;
  return enum_names(kind)[static_cast<size_t>(kind)];
}

/// Live bytes at each step of the graph.
std::vector<int64_t> live_bytes(const Graph& graph, const MemoryPlan& plan) {
  std::vector<int64_t> live(graph.num_nodes(), 0);
  for (const PlannedBuffer& b : plan.buffers) {
    live[static_cast<size_t>(b.first)] += b.bytes;
    if (static_cast<size_t>(b.last) + 1 < live.size())
      live[static_cast<size_t>(b.last) + 1] -= b.bytes;
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  return live;
}

/// What writes a buffer: "dense_relu, /layers/1".
std::string writer_of(const Graph& graph, const std::vector<NodeId>& nodes,
                      const PlannedBuffer& buffer) {
  const NodeId id = nodes[static_cast<size_t>(buffer.first)];
  const std::string& location = graph.location(graph.node(id).loc);
  return node_label(graph, id) + (location.empty() ? "" : ", ") + location;
}

double percent(int64_t part, int64_t whole) {
  return whole == 0 ? 100.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::string MemoryPeak::live_text(size_t limit) const {
  std::string text;
  for (size_t i = 0; i < std::min(limit, live.size()); ++i)
    text += fmt::format("{}{} ({} bytes)", i == 0 ? "" : ", ", live[i].name, live[i].bytes);
  if (live.size() > limit) text += fmt::format(" and {} more", live.size() - limit);
  return text.empty() ? "nothing is live" : text;
}

MemoryPeak find_memory_peak(const Graph& graph, const MemoryPlan& plan) {
  MemoryPeak peak;
  const std::vector<int64_t> live = live_bytes(graph, plan);
  if (live.empty()) return peak;
  const auto most = std::max_element(live.begin(), live.end());
  peak.step = most - live.begin();
  peak.bytes = *most;
  peak.node = node_label(graph, graph.nodes()[static_cast<size_t>(peak.step)]);
  for (const PlannedBuffer& b : plan.buffers) {
    if (b.first <= peak.step && peak.step <= b.last) peak.live.push_back(b);
  }
  std::sort(peak.live.begin(), peak.live.end(), [](const PlannedBuffer& a, const PlannedBuffer& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.offset < b.offset;
  });
  return peak;
}

int64_t input_bytes(const Graph& graph, InputKind kind) {
  int64_t sum = 0;
  for (const GraphInput& input : graph.inputs()) {
    if (input.kind == kind) sum += graph.type(input.value).bytes();
  }
  return sum;
}

int64_t output_bytes(const Graph& graph) {
  int64_t sum = 0;
  for (const GraphOutput& output : graph.outputs())
    sum += graph.type(output.value).bytes();
  return sum;
}

std::string memory_report_text(const Graph& graph, const MemoryPlan& plan) {
  const WorkStats stats = graph_stats(graph);
  const MemoryPeak peak = find_memory_peak(graph, plan);
  std::string out = fmt::format("graph @{}: {} steps\n", graph.name(), graph.num_nodes());
  const auto line = [&](std::string_view what, int64_t bytes, std::string_view more = "") {
    out += fmt::format("  {:<14}{:>14} bytes{}\n", what, bytes, more);
  };
  line("arena", plan.arena_bytes,
       fmt::format("  ({:.1f} % of the lower bound)",
                   percent(plan.arena_bytes, plan.lower_bound_bytes)));
  line("lower bound", plan.lower_bound_bytes, "  (the most live at one step)");
  line("without reuse", plan.naive_bytes);
  if (!plan.recomputed.empty()) out += fmt::format("  {:<14}{}\n", "made again", plan.recomputed);
  if (plan.scratch_bytes) line("scratch", *plan.scratch_bytes, "  (of each thread)");
  if (plan.table_bytes) line("tables", *plan.table_bytes, "  (of the model and its steps)");
  line("parameters", input_bytes(graph, InputKind::kParam));
  line("state", input_bytes(graph, InputKind::kState));
  line("inputs", input_bytes(graph, InputKind::kInput));
  line("outputs", output_bytes(graph));
  line("moved", stats.bytes, "  (operands and results of all kernels)");
  out += fmt::format("  {:<14}{:>14}        ({} in contractions)\n", "flops", stats.flops,
                     stats.contraction_flops);
  out += fmt::format("peak at step {} ({}), {} bytes live:\n", peak.step, peak.node, peak.bytes);
  const std::vector<NodeId> nodes = graph.nodes();
  for (const PlannedBuffer& b : peak.live)
    out += fmt::format("  {:>12}  {:<24}  {}\n", b.bytes, b.name, writer_of(graph, nodes, b));
  out += "buffers:\n       offset        bytes  live      name                      written by\n";
  for (const PlannedBuffer& b : plan.buffers) {
    out += fmt::format("  {:>11}  {:>11}  {:<8}  {:<24}  {}\n", b.offset, b.bytes,
                       fmt::format("{}..{}", b.first, b.last), b.name, writer_of(graph, nodes, b));
  }
  return out;
}

nlohmann::json memory_report_json(const Graph& graph, const MemoryPlan& plan) {
  using nlohmann::json;
  const auto buffer_json = [](const PlannedBuffer& b) {
    return json{{"name", b.name},
                {"bytes", b.bytes},
                {"offset", b.offset},
                {"first", b.first},
                {"last", b.last}};
  };
  const WorkStats stats = graph_stats(graph);
  const MemoryPeak peak = find_memory_peak(graph, plan);
  json peak_live = json::array();
  for (const PlannedBuffer& b : peak.live)
    peak_live.push_back(b.name);
  json buffers = json::array();
  for (const PlannedBuffer& b : plan.buffers)
    buffers.push_back(buffer_json(b));
  const std::vector<int64_t> live = live_bytes(graph, plan);
  json steps = json::array();
  size_t step = 0;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    const WorkStats one = node_stats(graph, id);
    steps.push_back({{"label", node_label(graph, id)},
                     {"kind", kind_label(node)},
                     {"phase", phase_name(node.phase)},
                     {"location", graph.location(node.loc)},
                     {"flops", one.flops},
                     {"bytes", one.bytes},
                     {"live_bytes", live[step++]}});
  }
  return json{{"name", graph.name()},
              {"arena_bytes", plan.arena_bytes},
              {"scratch_bytes", plan.scratch_bytes ? json(*plan.scratch_bytes) : json()},
              {"table_bytes", plan.table_bytes ? json(*plan.table_bytes) : json()},
              {"lower_bound_bytes", plan.lower_bound_bytes},
              {"naive_bytes", plan.naive_bytes},
              {"parameter_bytes", input_bytes(graph, InputKind::kParam)},
              {"state_bytes", input_bytes(graph, InputKind::kState)},
              {"input_bytes", input_bytes(graph, InputKind::kInput)},
              {"output_bytes", output_bytes(graph)},
              {"flops", stats.flops},
              {"contraction_flops", stats.contraction_flops},
              {"bytes_moved", stats.bytes},
              {"peak",
               {{"step", peak.step},
                {"node", peak.node},
                {"bytes", peak.bytes},
                {"live", std::move(peak_live)}}},
              {"buffers", std::move(buffers)},
              {"steps", std::move(steps)}};
}

}  // namespace gradc
