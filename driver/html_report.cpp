#include "driver/html_report.h"

#include "codegen/kernel/kernel_printer.h"
#include "driver/compiled_model.h"
#include "ir/op_attrs.h"
#include "ir/printer.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

namespace gradc {

namespace {

constexpr std::string_view kStyle = R"(<style>
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1180px;color:#1c2430;background:#fbfbfc}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:32px 0 8px;border-bottom:1px solid #d8dde4;padding-bottom:4px}
pre{background:#f1f3f6;padding:10px;overflow:auto;font:12px/1.4 ui-monospace,monospace;border-radius:4px;margin:6px 0}
table{border-collapse:collapse}td,th{padding:2px 12px 2px 0;text-align:left;vertical-align:top}th{color:#5b6675;font-weight:600}
summary{cursor:pointer;padding:3px 0}summary code{font-weight:600}code{font:12px ui-monospace,monospace}
.muted{color:#5b6675}.op{display:inline-block;background:#e4eaf3;border-radius:3px;padding:0 5px;margin:1px 3px 1px 0;font:12px ui-monospace,monospace}
.forward{border-left:4px solid #3b82c4}.backward{border-left:4px solid #c4683b}.update{border-left:4px solid #4a9d5f}
details{padding-left:8px;margin:3px 0}svg text{font:11px ui-monospace,monospace}svg rect:hover{stroke:#000;stroke-width:2}
</style>)";

/// Text of the model in an element or a quoted attribute; control characters become a mark.
std::string escape(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 && c != '\n' ? std::string("&#xFFFD;")
                                                                 : std::string(1, c);
    }
  }
  return out;
}

constexpr std::string_view phase_color(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "#3b82c4";
    case Phase::kBackward:
      return "#c4683b";
    case Phase::kUpdate:
      return "#4a9d5f";
  }
  return "#000000";
}

std::string bytes_text(int64_t bytes) {
  if (bytes >= 10 * 1024 * 1024)
    return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
  if (bytes >= 10 * 1024) return fmt::format("{:.1f} KiB", static_cast<double>(bytes) / 1024.0);
  return fmt::format("{} bytes", bytes);
}

std::string node_label(const Graph& graph, const Node& node) {
  if (node.op == Op::kKernel) return node.attrs.as<KernelAttrs>().label;
  if (node.op == Op::kUpdate) return fmt::format("update %{}", graph.value(node.operands[0]).name);
  return std::string(op_name(node.op));
}

std::string shortened(const std::string& text, size_t limit) {
  return text.size() > limit ? text.substr(0, limit - 3) + "..." : text;
}

/// The nodes as boxes in execution order, data flow as arcs to their left: what is far apart is
/// alive for long.
std::string graph_picture(const Graph& graph) {
  constexpr int kRow = 26, kLeft = 330, kWidth = 560;
  std::map<uint32_t, int> row_of;
  std::string boxes, arcs;
  int row = 0;
  for (NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    const int y = row * kRow + 4;
    std::string results;
    for (ValueId result : node.results)
      results += fmt::format("{}%{} : {}", results.empty() ? "" : ", ", graph.value(result).name,
                             to_string(graph.type(result)));
    boxes += fmt::format(
        "<rect x='{}' y='{}' width='{}' height='{}' rx='3' fill='#fff' "
        "stroke='{}'><title>{}</title></rect>",
        kLeft, y, kWidth, kRow - 6, phase_color(node.phase), escape(graph.location(node.loc)));
    boxes += fmt::format(
        "<text x='{}' y='{}'>{}<tspan fill='#5b6675'>  {}</tspan></text>\n", kLeft + 8, y + 14,
        escape(node_label(graph, node)),
        escape(shortened(results, 80 - std::min<size_t>(70, node_label(graph, node).size()))));
    for (ValueId operand : node.operands) {
      const NodeId def = graph.def(operand);
      if (!def.valid()) continue;
      const int y0 = row_of[def.index] * kRow + 14, y1 = y + 10;
      const int reach = std::min(300, 14 + (y1 - y0) / 4);
      arcs += fmt::format(
          "<path d='M {0} {1} C {2} {1} {2} {3} {0} {3}' fill='none' stroke='{4}' "
          "stroke-opacity='.55'><title>%{5} : {6}</title></path>\n",
          kLeft, y0, kLeft - reach, y1, phase_color(graph.node(def).phase),
          escape(graph.value(operand).name), to_string(graph.type(operand)));
    }
    row_of[id.index] = row++;
  }
  return fmt::format("<svg width='{}' height='{}'>\n{}{}</svg>", kLeft + kWidth + 10,
                     row * kRow + 10, arcs, boxes);
}

/// Offsets over steps: one rectangle per buffer.
std::string memory_picture(const MemoryPlan& plan, int64_t steps) {
  constexpr double kWidth = 1060, kHeight = 420;
  if (plan.buffers.empty() || plan.arena_bytes == 0)
    return "<p>No intermediate values: the arena is empty.</p>";
  const double per_step = kWidth / static_cast<double>(std::max<int64_t>(steps, 1));
  const double per_byte = kHeight / static_cast<double>(plan.arena_bytes);
  std::string svg = fmt::format(
      "<svg width='{}' height='{}'><rect x='70' y='4' width='{}' height='{}' fill='#f1f3f6' "
      "stroke='#b9c1cc'/>\n",
      kWidth + 90, kHeight + 40, kWidth, kHeight);
  constexpr std::array<std::string_view, 8> kColors = {"#8fb8de", "#e3a788", "#95c9a1", "#d3b3dd",
                                                       "#e0cf85", "#9fd0cf", "#d99ca8", "#b8c0cc"};
  for (size_t i = 0; i < plan.buffers.size(); ++i) {
    const PlannedBuffer& b = plan.buffers[i];
    const double x = 70 + per_step * static_cast<double>(b.first),
                 w = per_step * static_cast<double>(b.last - b.first + 1);
    const double h = std::max(1.0, per_byte * static_cast<double>(b.bytes));
    const double y = 4 + kHeight - per_byte * static_cast<double>(b.offset) - h;
    svg += fmt::format(
        "<rect x='{:.1f}' y='{:.1f}' width='{:.1f}' height='{:.1f}' fill='{}' "
        "stroke='#fff'><title>%{}: {} bytes at {}, steps {} to {}</title></rect>",
        x, y, w, h, kColors[i % kColors.size()], escape(b.name), b.bytes, b.offset, b.first,
        b.last);
    if (w > 34 && h > 13)
      svg += fmt::format("<text x='{:.1f}' y='{:.1f}'>%{}</text>", x + 4, y + std::min(h - 3, 14.0),
                         escape(b.name.substr(0, static_cast<size_t>(w / 8))));
    svg += "\n";
  }
  svg += fmt::format("<text x='0' y='14'>{}</text><text x='0' y='{}'>0</text>", plan.arena_bytes,
                     kHeight + 4);
  svg += fmt::format(
      "<text x='70' y='{}'>step 0</text><text x='{}' y='{}' text-anchor='end'>step {}</text></svg>",
      kHeight + 22, kWidth + 70, kHeight + 22, steps - 1);
  return svg;
}

std::string storage_text(const Graph& graph, const MemoryPlan& plan, ValueId value) {
  const Storage& storage = plan.storage[value.index];
  std::string text;
  switch (storage.kind) {
    case StorageKind::kNone:
      text = "not stored";
      break;
    case StorageKind::kConstant:
      text = "constant";
      break;
    case StorageKind::kInput:
      text = fmt::format("in the memory of %{}", graph.value(storage.base).name);
      break;
    case StorageKind::kOutput:
      text = fmt::format("output {}", graph.outputs()[storage.output].name);
      break;
    case StorageKind::kArena:
      text = fmt::format("arena+{}, {}", storage.offset, bytes_text(graph.type(value).bytes()));
      break;
  }
  if (storage.in_place_of.valid())
    text += fmt::format(", over %{}", graph.value(storage.in_place_of).name);
  return text;
}

/// Nodes that compute; what remains beside them are updates and constants.
size_t num_kernels(const Graph& graph) {
  size_t count = 0;
  for (NodeId id : graph.nodes()) {
    const Op op = graph.node(id).op;
    count += op != Op::kUpdate && op != Op::kConstant ? 1 : 0;
  }
  return count;
}

/// One node: its fused ops, where its results live, and its body as text.
std::string kernel_section(const Graph& graph, const MemoryPlan& plan, NodeId id, int64_t step) {
  const Node& node = graph.node(id);
  std::string ops, kind;
  if (node.body != nullptr) {
    kind = enum_names(KernelKind{})[static_cast<size_t>(node.attrs.as<KernelAttrs>().kind)];
    for (NodeId inner : node.body->nodes())
      ops += fmt::format("<span class='op'>{}</span>", op_name(node.body->node(inner).op));
  }
  std::string results;
  for (ValueId result : node.results) {
    results += fmt::format("<tr><td><code>%{}</code></td><td><code>{}</code></td><td>{}</td></tr>",
                           escape(graph.value(result).name), to_string(graph.type(result)),
                           escape(storage_text(graph, plan, result)));
  }
  if (const Workspace* workspace = plan.workspace_of(id))
    results += fmt::format("<tr><td>workspace</td><td></td><td>arena+{}, {}</td></tr>",
                           workspace->offset, bytes_text(workspace->bytes));
  const std::string body = node.body != nullptr ? print_graph(*node.body) : print_node(graph, id);
  return fmt::format(
      "<details class='{}'><summary>#{} <code>{}</code> <span class='muted'>{} {}</span> "
      "{}</summary><table>{}</table><pre>{}</pre></details>\n",
      phase_name(node.phase), step, escape(node_label(graph, node)), kind,
      escape(graph.location(node.loc)), ops, results, escape(body));
}

}  // namespace

Result<std::string> html_report(const Model& model, EntryPoint kind, int64_t batch,
                                const TargetInfo& target) {
  GRADC_TRY(const StagedEntry source, build_staged(model, kind, batch, PipelineStage::kGraph, {}));
  GRADC_TRY(const StagedEntry optimized,
            build_staged(model, kind, batch, PipelineStage::kOptimized, {}));
  kernel::ProgramLowering lowering(model.name, target);
  BuildOptions build;
  build.name_bodies = true;
  build.lowering = &lowering;
  GRADC_TRY(const StagedEntry planned,
            build_staged(model, kind, batch, PipelineStage::kPlanned, build));
  const kernel::Program program = lowering.take();
  const Graph& graph = *planned.graph;
  const MemoryPlan& plan = *planned.plan;

  std::string page = fmt::format(
      "<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{0}: "
      "{1}</title>{2}</head><body>\n<h1>{0}: {1}</h1>\n",
      escape(model.name), entry_name(kind), kStyle);
  const double ratio = plan.lower_bound_bytes > 0 ? static_cast<double>(plan.arena_bytes) /
                                                        static_cast<double>(plan.lower_bound_bytes)
                                                  : 1.0;
  page += fmt::format(
      "<p class='muted'>batch {}; {} nodes as the layers built them, {} as optimized primitives, "
      "fused into {} kernels, lowered to {} different loop nests; arena {} ({:.3f} of the lower "
      "bound, {} "
      "without reuse); target {} {}</p>\n",
      batch, source.graph->num_nodes(), optimized.graph->num_nodes(), num_kernels(graph),
      program.kernels.size(), bytes_text(plan.arena_bytes), ratio, bytes_text(plan.naive_bytes),
      escape(target.cpu), escape(target.triple));
  page +=
      "<h2>Kernels and updates in execution order</h2>\n<p><span "
      "style='color:#3b82c4'>forward</span> · <span "
      "style='color:#c4683b'>backward</span> · "
      "<span style='color:#4a9d5f'>update</span>; arcs are values, the longer the longer "
      "alive</p>\n" +
      graph_picture(graph);
  page +=
      "<h2>Memory plan</h2>\n<p class='muted'>bytes of the arena (upwards) over steps (to the "
      "right); point at a buffer for its numbers</p>\n" +
      memory_picture(plan, static_cast<int64_t>(graph.num_nodes()));
  page += "<h2>What is in each kernel</h2>\n";
  int64_t step = 0;
  for (NodeId id : graph.nodes())
    page += kernel_section(graph, plan, id, step++);
  page += "<h2>Loop nests</h2>\n";
  for (const kernel::Kernel& k : program.kernels)
    page += fmt::format("<details><summary><code>{}</code></summary><pre>{}</pre></details>\n",
                        escape(k.name), escape(kernel::to_string(k)));
  page += fmt::format(
      "<h2>The graph as the layers built "
      "it</h2>\n<details><summary>text</summary><pre>{}</pre></details>\n</body></html>\n",
      escape(print_graph(*source.graph)));
  return page;
}

}  // namespace gradc
