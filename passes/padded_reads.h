// Which convolutions read a padded copy of their first operand, and how far it has to reach.
#pragma once

#include "ir/graph.h"
#include "ir/op_attrs.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace gradc {

/// Zeros before and behind each axis.
struct Padding {
  Ints low, high;

  void include(const Padding& other);
  bool operator==(const Padding&) const = default;
};

/// The padding with which a convolution or a gradient of one reads its first operand, if that is
/// worth a copy in memory: a small or thin one tests its bounds instead. All zero: it reads none.
std::optional<Padding> padded_read(const Graph& graph, const Node& node);

/// Whether a node is a padding that convolutions read and that had better be stored: also through
/// slices of it.
bool is_padding_for_convolutions(const Graph& graph, NodeId node);

}  // namespace gradc
