// What the parser reads before names are resolved: one struct per statement, with byte ranges.
#pragma once

#include "ir/attrs.h"
#include "ir/graph.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

struct AstName {
  std::string text;
  TextRange range;
};

struct AstAttr {
  NamedAttr attr;
  TextRange range;
};

struct AstType {
  TensorType type;
  TextRange range;
};

struct AstInput {
  InputKind kind = InputKind::kInput;
  AstName value;
  AstType type;
  std::optional<std::string> name;
  InitSpec init;
  std::string location;
};

struct AstOperand {
  AstName value;
  AstName arg;  ///< the body's name for it
};

struct AstGraph;

struct AstNode {
  std::vector<AstName> results;
  AstName op;
  std::optional<std::string> label;
  std::vector<AstOperand> operands;
  std::vector<AstAttr> attrs;
  std::vector<AstType> types;  ///< empty: to be inferred
  std::unique_ptr<AstGraph> body;
  Phase phase = Phase::kForward;
  std::string location;
  TextRange range;
};

struct AstOutput {
  std::string name;
  AstName value;
};

struct AstGraph {
  std::string name;
  TextRange range;  ///< of the first line
  std::vector<AstInput> inputs;
  std::vector<AstNode> nodes;
  std::vector<AstOutput> outputs;
  TextRange outputs_range;
  bool has_outputs = false;
  std::vector<std::string> unreadable;  ///< values of statements with errors; uses are not reported
};

/// Names resolved, types inferred or taken from the text, the result verified. Errors go to the
/// sink; null when there was one.
std::shared_ptr<Graph> build_graph(const AstGraph& ast, const std::string& file_name,
                                   DiagnosticSink& sink);

}  // namespace gradc
