#include "passes/fusion_label.h"

#include "ir/op.h"

#include <algorithm>
#include <array>
#include <bitset>

namespace gradc {
namespace {

class Labeller {
 public:
  Labeller(const Graph& graph, const FusionGroup& group, std::string_view rule)
      : graph_(graph), group_(group), rule_(rule) {
    for (NodeId id : group.nodes) {
      const Node& node = graph.node(id);
      ops_.set(static_cast<size_t>(node.op));
      last_phase_ = std::max(last_phase_, node.phase);
      if (node.phase == Phase::kBackward) has_backward_ = true;
      if (node.phase == Phase::kForward && op_cost(node) > 0) has_forward_ = true;
    }
  }

  std::string run() const {
    std::string label;
    switch (group_.form.kind) {
      case KernelKind::kElementwise:
        label = elementwise();
        break;
      case KernelKind::kRow:
        label = row();
        break;
      case KernelKind::kColumn:
        label = column();
        break;
      case KernelKind::kContraction:
      case KernelKind::kOpaque:
        label = anchored();
        break;
    }
    const std::string step = optimizer();
    if (step.empty()) return label;
    return label.empty() ? step : label + "_" + step;
  }

 private:
  bool has(Op op) const { return ops_[static_cast<size_t>(op)]; }

  /// The optimizer's rule; empty when the kernel makes no new parameter.
  std::string optimizer() const { return makes_parameter(graph_, group_) ? rule_ : std::string(); }

  /// The activation that an epilogue holds: the last costly function, or relu.
  std::string activation() const {
    if (has_backward_ && !has_forward_) return has(Op::kSelect) ? "_masked" : "";
    if (has(Op::kErf) || has(Op::kErfc)) return "_gelu";
    constexpr std::array kNamed = {Op::kSigmoid, Op::kTanh, Op::kExp, Op::kRelu};
    for (Op op : kNamed) {
      if (has(op)) return "_" + std::string(op_name(op));
    }
    return "";
  }

  std::string anchored() const {
    const Node& anchor = graph_.node(group_.form.anchor);
    const bool backward = anchor.phase != Phase::kForward;
    std::string base;
    if (anchor.op == Op::kMatmul) {
      const auto& attrs = anchor.attrs.as<MatmulAttrs>();
      base = "dense";
      if (backward) base = attrs.transpose_a && !attrs.transpose_b ? "dense_wgrad" : "dense_dinput";
    } else if (anchor.op == Op::kConvInputGrad) {
      base = "conv_dinput";
    } else if (anchor.op == Op::kConvFilterGrad) {
      base = "conv_wgrad";
    } else {
      base = std::string(op_name(anchor.op));
    }
    if (last_phase_ == Phase::kUpdate) return base;
    return base + activation();
  }

  std::string row() const {
    const std::string grad = has_backward_ ? "_grad" : "";
    if (has(Op::kReduceMax) && has(Op::kExp)) {
      if (has(Op::kLog) && has_backward_) return "softmax_cross_entropy_grad";
      return (has(Op::kLog) ? "log_softmax" : "softmax") + grad;
    }
    if (has(Op::kRsqrt) || has(Op::kSqrt)) return "norm" + grad;
    const std::string name(op_name(graph_.node(group_.form.anchor).op));
    return group_.form.rows() == 1 ? name + "_all" : name + "_rows";
  }

  std::string column() const {
    const Node& anchor = graph_.node(group_.form.anchor);
    if (anchor.op == Op::kReduceSum && anchor.phase == Phase::kBackward) return "bias_grad";
    return std::string(op_name(anchor.op)) + "_columns";
  }

  std::string elementwise() const {
    if (!optimizer().empty()) return "";
    std::vector<std::string> names;
    for (NodeId id : group_.nodes) {
      if (op_cost(graph_.node(id)) > 0) names.emplace_back(op_name(graph_.node(id).op));
    }
    if (names.empty()) {
      for (NodeId id : group_.owned)
        names.emplace_back(op_name(graph_.node(id).op));
    }
    const bool scalars = group_.form.full().rank() == 0;
    if (names.size() > 3) return (scalars ? "scalars_" : "elementwise_") + names.back();
    std::string label = scalars ? "scalar" : "";
    for (const std::string& name : names)
      label += (label.empty() ? "" : "_") + name;
    return label;
  }

  const Graph& graph_;
  const FusionGroup& group_;
  std::string rule_;
  std::bitset<kNumOps> ops_;
  Phase last_phase_ = Phase::kForward;
  bool has_forward_ = false;
  bool has_backward_ = false;
};

}  // namespace

bool makes_parameter(const Graph& graph, const FusionGroup& group) {
  return std::ranges::any_of(group.outputs, [&](ValueId output) {
    return std::ranges::any_of(graph.value(output).uses, [&](const Use& use) {
      const Node& user = graph.node(use.node);
      return user.op == Op::kUpdate && use.operand == 1 &&
             graph.input_of(user.operands[0]).kind == InputKind::kParam;
    });
  });
}

std::string_view step_label(const PassContext& context) {
  const std::optional<OptimizerSpec>& optimizer = context.options.optimizer;
  return optimizer ? optimizer->step.rule().name : "step";
}

std::string kernel_label(const Graph& graph, const FusionGroup& group, std::string_view rule) {
  return Labeller(graph, group, rule).run();
}

}  // namespace gradc
