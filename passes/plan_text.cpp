#include "passes/plan_text.h"

#include "ir/printer.h"

#include <fmt/format.h>

namespace gradc {

namespace {

/// "arena+16384, 1280 bytes" for each result of a planned node.
PrintOptions plan_annotations(const MemoryPlan& plan) {
  PrintOptions options;
  options.header =
      fmt::format("arena {} bytes, lower bound {} bytes", plan.arena_bytes, plan.lower_bound_bytes);
  options.annotate = [&plan](const Graph& graph, NodeId node) {
    std::string text;
    for (ValueId result : graph.node(node).results) {
      if (result.index >= plan.storage.size()) continue;
      const Storage& storage = plan.storage[result.index];
      std::string place;
      switch (storage.kind) {
        case StorageKind::kNone:
          continue;
        case StorageKind::kConstant:
          place = "constant";
          break;
        case StorageKind::kInput:
          place = fmt::format("in %{}", graph.value(storage.base).name);
          break;
        case StorageKind::kOutput:
          place = fmt::format("output {}", graph.outputs()[storage.output].name);
          break;
        case StorageKind::kArena:
          place = fmt::format("arena+{}, {} bytes", storage.offset, graph.type(result).bytes());
          break;
      }
      if (storage.in_place_of.valid())
        place += fmt::format(" over %{}", graph.value(storage.in_place_of).name);
      text += (text.empty() ? "" : "; ") + place;
    }
    if (const Workspace* workspace = plan.workspace_of(node))
      text += fmt::format("{}workspace arena+{}, {} bytes", text.empty() ? "" : "; ",
                          workspace->offset, workspace->bytes);
    return text;
  };
  return options;
}

}  // namespace

std::string print_planned(const Graph& graph, const MemoryPlan& plan) {
  PrintOptions options = plan_annotations(plan);
  // Bodies are annotated with the places of the outer graph's values, so only the outer level gets
  // a callback.
  const auto inner = options.annotate;
  options.annotate = [inner, &graph](const Graph& g, NodeId node) {
    return &g == &graph ? inner(g, node) : std::string();
  };
  return print_graph(graph, options);
}

}  // namespace gradc
