// Structural and type checks of a graph. Every pass leaves a graph that verifies.
#pragma once

#include "ir/graph.h"
#include "ir/printer.h"
#include "support/result.h"

#include <string>
#include <vector>

namespace gradc {

/// One violation and the line of the text form it belongs to; `graph` is the graph or nested body.
struct VerifierError {
  const Graph* graph = nullptr;
  TextLine line;
  Diagnostic diagnostic;
};

/// All violations, in the order of the text form; empty: the graph is well formed. Places are
/// empty.
std::vector<VerifierError> find_violations(const Graph& graph);

/// The same as plain diagnostics.
std::vector<Diagnostic> verify(const Graph& graph);

/// The whole graph with an arrow and the message under each bad line, and the number of errors.
std::string print_violations(const Graph& graph, const std::vector<VerifierError>& errors);

}  // namespace gradc
