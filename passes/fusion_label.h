// Readable names of fused kernels, made from what is in them: "dense_relu",
// "softmax_cross_entropy_grad", "dense_wgrad_adam".
#pragma once

#include "passes/fusion_groups.h"
#include "passes/pass.h"

#include <string>
#include <string_view>

namespace gradc {

/// The optimizer's rule, "step" where it is not known.
std::string_view step_label(const PassContext& context);

/// Whether a group stores what a parameter becomes.
bool makes_parameter(const Graph& graph, const FusionGroup& group);

/// `rule` is the optimizer's, for kernels that make new parameters. Follows from the group's ops,
/// phases, attributes and types, and from makes_parameter.
std::string kernel_label(const Graph& graph, const FusionGroup& group, std::string_view rule);

}  // namespace gradc
