// Functions in the IR's text form (docs/ir.md) as parts of a model: layers and losses of one's own.
#pragma once

#include "frontend/options.h"
#include "ir/builder.h"
#include "ir/rows.h"
#include "support/result.h"

#include <functional>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

namespace gradc {

/// "file" and "sizes" of a function.
inline constexpr OptionDef kFunctionFile = {
    .name = "file",
    .type = OptionType::kFile,
    .doc = "a text of one graph, the path relative to this file"};
inline constexpr OptionDef kFunctionSizes = {.name = "sizes",
                                             .type = OptionType::kNamedInts,
                                             .default_json = "{}",
                                             .doc = "numbers of the names in it that no input says",
                                             .min = 1};

using Function = std::shared_ptr<Graph>;

/// The function for inputs of these types.
Result<Function> instantiate(const Options& options, std::vector<TensorType> inputs);

/// Names of "sizes" that are no extents of the text.
std::vector<std::string> unused_sizes(const Options& options,
                                      const std::vector<TensorType>& inputs);

/// Whether a function may have a node: no effects, random numbers or kernels.
bool is_usable(const Node& node);

Ints without_batch(const Shape& shape);
/// Whether a result's first axis, and no other, is the batch, where `larger` is that of one more.
bool follows_batch(const TensorType& type, const TensorType& larger, int64_t batch);

/// Where the rows of the batch are in the values of a function; `larger` is that of one more.
std::vector<RowPlace> rows_in(const Graph& larger, const Graph& graph);

/// The nodes of a function as nodes of another graph, but for updates; `input` gives what stands
/// for each input. Values of the function by index.
std::unordered_map<uint32_t, Val> copy_function(const Graph& function, Builder& builder,
                                                const std::function<Val(const GraphInput&)>& input);

}  // namespace gradc
