// Reads the text form of graphs (grammar: docs/ir.md). What was read is verified.
#pragma once

#include "ir/graph.h"
#include "support/result.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// The one graph of a text. All errors are collected, with byte ranges into the text: kIrSyntax for
/// what cannot be read, kIrInvalid for what is no valid graph.
Result<std::shared_ptr<Graph>> parse_graph(std::string_view text, const std::string& file_name);

/// The same for a text of any number of graphs.
Result<std::vector<std::shared_ptr<Graph>>> parse_graphs(std::string_view text,
                                                         const std::string& file_name);

}  // namespace gradc
