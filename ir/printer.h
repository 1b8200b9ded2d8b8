// The text form of graphs: reads back with ir/parser.h to a structurally equal graph. The grammar
// is in docs/ir.md.
#pragma once

#include "ir/graph.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gradc {

/// A line of the text form that comments can be attached to.
struct TextLine {
  enum class Kind : uint8_t { kGraph, kInput, kNode, kOutputs };
  Kind kind = Kind::kGraph;
  NodeId node;       ///< kNode
  size_t input = 0;  ///< kInput: index in inputs()
  bool operator==(const TextLine&) const = default;
};

struct PrintOptions {
  size_t max_dense = SIZE_MAX;  ///< longer constants are cut short; such text does not read back
  bool locations = true;
  bool align = true;   ///< false: a line depends on its node alone, not on its neighbours' lengths
  bool bodies = true;  ///< false: kernels are one line each; such text does not read back
  std::string header;  ///< a comment on the graph's first line
  /// A comment on a node's line, also for nodes of bodies ("arena+16384, 1280 bytes"); empty: none.
  std::function<std::string(const Graph&, NodeId)> annotate;
  /// Whole lines below a line; for error messages.
  std::function<std::vector<std::string>(const Graph&, const TextLine&)> below;
};

/// The whole graph as text, one statement a line, phases under headings. Never fails, also not on
/// graphs that do not verify.
std::string print_graph(const Graph& graph, const PrintOptions& options = {});

/// One node on one line, without its location and body: "%h = relu %2 : f32[32x128]".
std::string print_node(const Graph& graph, NodeId node);

}  // namespace gradc
