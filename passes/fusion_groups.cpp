// Preparation, and what one group consists of. Merging is in fusion_merge.cpp.
#include "passes/fusion_groups.h"

#include "ir/op.h"

#include <algorithm>

namespace gradc {
namespace {

constexpr uint32_t kNoGroup = UINT32_MAX;

bool stays_a_node(const Node& node) {
  return node.op == Op::kUpdate || (node.op == Op::kConstant && !is_splat_constant(node));
}

}  // namespace

FusionGroups::FusionGroups(const Graph& graph, PassContext& context)
    : graph_(graph),
      context_(context),
      forms_(graph),
      position_(graph.node_capacity(), 0),
      live_(graph.node_capacity(), 0),
      inline_(graph.node_capacity(), 0),
      inline_cost_(graph.node_capacity(), 0),
      owner_(graph.node_capacity(), kNoGroup),
      mark_(graph.node_capacity(), 0),
      seen_(graph.node_capacity(), 0) {
  uint32_t position = 0;
  for (NodeId id : graph.nodes())
    position_[id.index] = position++;
  find_live_nodes();
  choose_inline_nodes();
  make_single_groups();
}

void FusionGroups::find_live_nodes() {
  const std::vector<NodeId> order = graph_.nodes();
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const Node& node = graph_.node(*it);
    bool live = node.op == Op::kUpdate;
    for (ValueId result : node.results) {
      live = live || graph_.is_output(result);
      for (const Use& use : graph_.value(result).uses)
        live = live || live_[use.node.index] != 0;
    }
    live_[it->index] = live ? 1 : 0;
  }
}

void FusionGroups::choose_inline_nodes() {
  for (NodeId id : graph_.nodes()) {
    const Node& node = graph_.node(id);
    double cost = op_cost(node);
    for (ValueId operand : node.operands) {
      const NodeId producer = graph_.def(operand);
      if (producer.valid() && inline_[producer.index] != 0) cost += inline_cost_[producer.index];
    }
    inline_cost_[id.index] = cost;
    if (stays_a_node(node)) continue;
    switch (def(node.op).lowering) {
      case Lowering::kView:
      case Lowering::kSource:
        inline_[id.index] = 1;
        break;
      case Lowering::kScalar:
        inline_[id.index] = cheap_to_repeat(id) ? 1 : 0;
        break;
      case Lowering::kReduce:
      case Lowering::kMatmul:
      case Lowering::kConv:
      case Lowering::kPool:
      case Lowering::kGather:
      case Lowering::kStructure:
      case Lowering::kComposite:
        break;
    }
  }
}

/// Whether each user had better compute this elementwise value again than read it from memory:
/// masks that are a test of one stored value, what needs only scalars and random bits, and a step
/// away from a value that is stored anyway.
bool FusionGroups::cheap_to_repeat(NodeId id) {
  const Node& node = graph_.node(id);
  const TensorType& type = graph_.type(node.results[0]);
  std::vector<NodeId> nodes;
  ++stamp_;
  for (ValueId operand : node.operands) {
    const NodeId producer = graph_.def(operand);
    if (producer.valid() && inline_[producer.index] != 0) collect(producer, nodes);
  }
  nodes.push_back(id);
  std::vector<ValueId> large;
  bool random = false;
  bool from_inputs = true;
  bool from_nothing = true;
  for (NodeId n : nodes) {
    random = random || graph_.node(n).op == Op::kRandomUniform;
    for (ValueId operand : graph_.node(n).operands) {
      const NodeId producer = graph_.def(operand);
      if (producer.valid() && inline_[producer.index] != 0) continue;
      const bool is_large =
          graph_.type(operand).num_elements() * 4 > type.num_elements() || type.num_elements() < 16;
      from_inputs = from_inputs && !producer.valid();
      from_nothing = false;
      if (is_large && std::find(large.begin(), large.end(), operand) == large.end())
        large.push_back(operand);
    }
  }
  const double cost = inline_cost_[id.index];
  if (type.rank() == 0) return from_nothing || (node.op == Op::kCast && from_inputs);
  if (random) return large.empty() && cost <= 20 + kMaxInlineCost;
  if (cost > kMaxInlineCost) return false;
  if (large.empty()) return true;
  if (large.size() > 1) return false;
  if (type.dtype == DType::kBool) return true;
  return cost <= kMaxRepeatCost && graph_.type(large[0]).bytes() <= type.bytes() &&
         surely_stored(large[0]);
}

/// Whether a value is in memory however its elementwise users are grouped: a reduction or the like
/// reads it, and something else made it.
bool FusionGroups::surely_stored(ValueId value) {
  if (graph_.is_input(value) || graph_.is_output(value)) return true;
  if (is_plain_reduction(graph_.node(graph_.def(value)))) return false;
  const std::vector<Use>& uses = graph_.value(value).uses;
  return std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
    const Lowering lowering = def(graph_.node(use.node).op).lowering;
    return lowering == Lowering::kReduce || lowering == Lowering::kMatmul ||
           lowering == Lowering::kConv || lowering == Lowering::kPool ||
           lowering == Lowering::kGather;
  });
}

void FusionGroups::make_single_groups() {
  for (NodeId id : graph_.nodes()) {
    const Node& node = graph_.node(id);
    if (live_[id.index] == 0 || stays_a_node(node)) continue;
    if (inline_[id.index] != 0) {
      // Needed in memory all the same by an output or an update?
      const ValueId result = node.results[0];
      bool stored = graph_.is_output(result);
      for (const Use& use : graph_.value(result).uses)
        stored = stored || graph_.node(use.node).op == Op::kUpdate;
      if (!stored) continue;
    }
    const auto group = static_cast<uint32_t>(groups_.size());
    owner_[id.index] = group;
    groups_.emplace_back();
    groups_.back().owned = {id};
    version_.push_back(0);
    alive_.push_back(1);
    rank_.push_back(group);
    by_rank_.push_back(group);
  }
  for (FusionGroup& group : groups_)
    group = make_group(std::move(group.owned));
}

/// A node and the inline nodes it needs, each once; `seen_` has the stamp.
void FusionGroups::collect(NodeId node, std::vector<NodeId>& nodes) {
  if (seen_[node.index] == stamp_) return;
  seen_[node.index] = stamp_;
  for (ValueId operand : graph_.node(node).operands) {
    const NodeId producer = graph_.def(operand);
    if (producer.valid() && inline_[producer.index] != 0) collect(producer, nodes);
  }
  nodes.push_back(node);
}

/// Whether a value is read by something that is not in the marked group.
bool FusionGroups::used_outside(ValueId value) {
  for (const Use& use : graph_.value(value).uses) {
    const NodeId user = use.node;
    if (live_[user.index] == 0) continue;
    if (graph_.node(user).op == Op::kUpdate) {
      if (value == graph_.node(user).operands[1]) return true;
      continue;
    }
    const bool has_group = owner_[user.index] != kNoGroup;
    if (has_group && mark_[user.index] != stamp_) return true;
    if (inline_[user.index] == 0) continue;
    for (ValueId result : graph_.node(user).results) {
      if (used_outside(result)) return true;
    }
  }
  return false;
}

bool FusionGroups::needed_outside(ValueId value, NodeId def) {
  if (graph_.is_output(value)) return true;
  if (inline_[def.index] == 0) return used_outside(value);
  // Other groups have their own copies of an inline node.
  const std::vector<Use>& uses = graph_.value(value).uses;
  return std::any_of(uses.begin(), uses.end(),
                     [&](const Use& use) { return graph_.node(use.node).op == Op::kUpdate; });
}

/// Everything about a group of these nodes; its form's `full` is empty and `outputs` too when they
/// cannot be one kernel.
FusionGroup FusionGroups::make_group(std::vector<NodeId> owned) {
  FusionGroup group;
  group.owned = std::move(owned);
  ++stamp_;
  for (NodeId id : group.owned)
    mark_[id.index] = stamp_;
  for (NodeId id : group.owned)
    collect(id, group.nodes);
  const auto by_position = [&](NodeId a, NodeId b) {
    return position_[a.index] < position_[b.index];
  };
  std::sort(group.nodes.begin(), group.nodes.end(), by_position);
  for (NodeId id : group.nodes) {
    for (ValueId operand : graph_.node(id).operands) {
      const NodeId producer = graph_.def(operand);
      if (producer.valid() && seen_[producer.index] == stamp_) continue;
      if (std::find(group.inputs.begin(), group.inputs.end(), operand) == group.inputs.end())
        group.inputs.push_back(operand);
    }
  }
  for (NodeId id : group.owned) {
    for (ValueId result : graph_.node(id).results) {
      if (needed_outside(result, id)) group.outputs.push_back(result);
    }
  }
  const std::optional<KernelForm> form = forms_.find(group.nodes, group.outputs);
  if (!form) {
    group.outputs.clear();
    return group;
  }
  group.form = *form;
  if (!form_is_sensible(group) && group.owned.size() > 1) {
    group.outputs.clear();
    return group;
  }
  group.work = kernel_work(graph_, group.nodes, group.outputs, group.form, forms_);
  for (ValueId value : group.inputs)
    group.bytes += static_cast<double>(graph_.type(value).bytes());
  for (ValueId value : group.outputs)
    group.bytes += static_cast<double>(graph_.type(value).bytes());
  return group;
}

/// A few very long rows would leave the other threads idle while elements are written. And row
/// kernels go over a row several times, so that they cannot write a new parameter over the old one.
bool FusionGroups::form_is_sensible(const FusionGroup& group) const {
  if (group.form.kind != KernelKind::kRow) return true;
  const bool long_rows =
      group.form.rows() < kMinParallelRows && group.form.space.num_elements() > kMaxSerialElements;
  return std::none_of(group.outputs.begin(), group.outputs.end(), [&](ValueId output) {
    if (graph_.type(output).shape != group.form.space || group.form.space.num_elements() == 1)
      return false;
    const std::vector<Use>& uses = graph_.value(output).uses;
    return long_rows || std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
             return graph_.node(use.node).op == Op::kUpdate;
           });
  });
}

}  // namespace gradc
