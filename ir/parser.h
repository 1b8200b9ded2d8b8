// Reads the text form of graphs (grammar: docs/ir.md). What was read is verified.
#pragma once

#include "ir/graph.h"
#include "support/result.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// Names that stand for numbers in a text: extents of types (f32[BxD]) and integers of attributes.
struct ExtentNames {
  std::map<std::string, int64_t, std::less<>> values;
  /// Types that the graph's inputs will have: a name that is met first in the type of an input
  /// becomes the extent that stands there.
  std::vector<TensorType> inputs;
};

/// The one graph of a text. All errors are collected, with byte ranges into the text: kIrSyntax for
/// what cannot be read, kIrInvalid for what is no valid graph.
Result<std::shared_ptr<Graph>> parse_graph(std::string_view text, const std::string& file_name);
/// The same for a text with names of extents; those that are met become known.
Result<std::shared_ptr<Graph>> parse_graph(std::string_view text, const std::string& file_name,
                                           ExtentNames& names);

/// The same for a text of any number of graphs.
Result<std::vector<std::shared_ptr<Graph>>> parse_graphs(std::string_view text,
                                                         const std::string& file_name);

}  // namespace gradc
