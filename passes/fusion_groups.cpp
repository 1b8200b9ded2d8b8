// Preparation, and what one group consists of. Merging is in fusion_merge.cpp.
#include "passes/fusion_groups.h"

#include "ir/op.h"
#include "passes/padded_reads.h"

#include <algorithm>
#include <utility>

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
      work_(graph, steps_),
      position_(graph.node_capacity(), 0),
      live_(graph.node_capacity(), 0),
      inline_(graph.node_capacity(), 0),
      inline_cost_(graph.node_capacity(), 0),
      inline_size_(graph.node_capacity(), 0),
      owner_(graph.node_capacity(), kNoGroup),
      mark_(graph.node_capacity(), 0),
      seen_(graph.node_capacity(), 0),
      weight_(graph.node_capacity(), 1),
      values_(graph.value_capacity()) {
  uint32_t position = 0;
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    position_[id.index] = position++;
    const Node& node = graph.node(id);
    if (node.op == Op::kConstant) weight_[id.index] = 0;
    if (const uint32_t size = steps_.size(node); size > 0) weight_[id.index] = size;
  }
  for (size_t i = 0; i < values_.size(); ++i) {
    const Value& value = graph.value(ValueId(i));
    values_[i].bytes = static_cast<double>(value.type.bytes());
    values_[i].maker = value.def;
  }
  find_live_nodes();
  choose_inline_nodes();
  make_first_groups();
}

void FusionGroups::find_live_nodes() {
  for (const GraphOutput& output : graph_.outputs())
    values_[output.value.index].kept = true;
  for (NodeId id = graph_.last_node(); id.valid(); id = graph_.node(id).prev) {
    const Node& node = graph_.node(id);
    bool live = node.op == Op::kUpdate;
    if (live) values_[node.operands[1].index].kept = true;
    for (ValueId result : node.results) {
      live = live || is_kept(result);
      const UseList& uses = graph_.value(result).uses;
      live = live || std::any_of(uses.begin(), uses.end(),
                                 [&](const Use& use) { return live_[use.node.index] != 0; });
    }
    live_[id.index] = live ? 1 : 0;
    if (live && def(node.op).has_open_body()) {  // a loop's operands are in memory
      for (ValueId operand : node.operands)
        values_[operand.index].kept = true;
    }
  }
}

void FusionGroups::choose_inline_nodes() {
  for (NodeId id = graph_.first_node(); id.valid(); id = graph_.node(id).next) {
    const Node& node = graph_.node(id);
    double cost = op_cost(node);
    uint32_t size = std::max(weight_[id.index], 1U);
    for (ValueId operand : node.operands) {
      const NodeId producer = maker(operand);
      if (!is_inline_producer(producer)) continue;
      cost += inline_cost_[producer.index];
      size += inline_size_[producer.index];
    }
    inline_cost_[id.index] = cost;
    inline_size_[id.index] = size;
    if (stays_a_node(node) || size > kMaxInlineNodes) continue;
    switch (def(node.op).lowering) {
      case Lowering::kView:
        inline_[id.index] =
            joins_what_is_made(id) || is_padding_for_convolutions(graph_, id) ? 0 : 1;
        break;
      case Lowering::kSource:
        inline_[id.index] = 1;
        break;
      case Lowering::kScalar:
        inline_[id.index] = cheap_to_repeat(id) ? 1 : 0;
        break;
      case Lowering::kGather:
        inline_[id.index] = looks_up_sums(id) ? 1 : 0;
        break;
      case Lowering::kReduce:
      case Lowering::kMatmul:
      case Lowering::kConv:
      case Lowering::kPool:
      case Lowering::kAttention:
      case Lowering::kStructure:
      case Lowering::kComposite:
        break;
    }
  }
}

/// The gradient of a large table, as a table of the few rows that are not zero (rules_rows.cpp):
/// whoever reads it looks them up.
bool FusionGroups::looks_up_sums(NodeId id) const {
  const Node& node = graph_.node(id);
  if (node.op != Op::kGather) return false;
  const NodeId sums = graph_.def(node.operands[0]);
  return sums.valid() && graph_.node(sums).op == Op::kScatterAdd &&
         graph_.type(node.operands[0]).bytes() < graph_.type(node.results[0]).bytes();
}

/// A concatenation of equal shapes that elementwise kernels make: they store it part by part where
/// it is in memory anyway, or a contraction or reduction would read it more than once.
bool FusionGroups::joins_what_is_made(NodeId id) const {
  const Node& node = graph_.node(id);
  if (joined_parts(graph_, node.results[0], {}).empty()) return false;
  const bool made = std::all_of(node.operands.begin(), node.operands.end(), [&](ValueId part) {
    const NodeId producer = maker(part);
    return producer.valid() && inline_[producer.index] == 0 &&
           def(graph_.node(producer).op).lowering == Lowering::kScalar;
  });
  if (!made) return false;
  const UseList& uses = graph_.value(node.results[0]).uses;
  return is_kept(node.results[0]) || std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
           const Lowering lowering = def(graph_.node(use.node).op).lowering;
           return lowering == Lowering::kMatmul || lowering == Lowering::kConv ||
                  lowering == Lowering::kReduce;
         });
}

/// A cast to a larger type that keeps every value: its operand is less to write and to read.
bool FusionGroups::widens(const Node& node) const {
  if (node.op != Op::kCast) return false;
  const DType from = graph_.type(node.operands[0]).dtype;
  const DType to = graph_.type(node.results[0]).dtype;
  return is_float(from) && holds_every_value(to, from) && dtype_bytes(from) < dtype_bytes(to);
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
    const NodeId producer = maker(operand);
    if (is_inline_producer(producer)) collect(producer, nodes);
  }
  nodes.push_back(id);
  std::vector<ValueId> large;
  bool random = false;
  bool from_inputs = true;
  bool from_nothing = true;
  for (NodeId n : nodes) {
    random = random || graph_.node(n).op == Op::kRandomUniform;
    for (ValueId operand : graph_.node(n).operands) {
      const NodeId producer = maker(operand);
      if (is_inline_producer(producer)) continue;
      const bool is_large =
          graph_.type(operand).num_elements() * 4 > type.num_elements() || type.num_elements() < 16;
      from_inputs = from_inputs && !producer.valid();
      from_nothing = false;
      if (is_large && std::find(large.begin(), large.end(), operand) == large.end())
        large.push_back(operand);
    }
  }
  const double cost = inline_cost_[id.index];
  if (widens(node)) return true;
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
  if (is_plain_reduction(graph_.node(maker(value)))) return false;
  const UseList& uses = graph_.value(value).uses;
  return std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
    const Lowering lowering = def(graph_.node(use.node).op).lowering;
    return def(graph_.node(use.node).op).has_open_body() || lowering == Lowering::kReduce ||
           lowering == Lowering::kMatmul || lowering == Lowering::kConv ||
           lowering == Lowering::kPool || lowering == Lowering::kGather ||
           lowering == Lowering::kAttention;
  });
}

/// Whether a node makes each element of the elements in its place: what it is for may be in one
/// kernel with it.
bool FusionGroups::is_element_wise(const Node& node) const {
  return def(node.op).lowering == Lowering::kScalar || node.op == Op::kOptimizerStep;
}

/// Whether the elementwise values of this node of an update are for one other group of it alone, at
/// whose points they are made: then every search would end with both in one kernel. (In other
/// phases it may be worth while to store something in between, for later.) Gives that group's last
/// node. What is stored all the same is stored by that kernel.
NodeId FusionGroups::only_reader(NodeId id) const {
  const Node& node = graph_.node(id);
  if (node.phase != Phase::kUpdate || inline_[id.index] != 0 || !is_element_wise(node)) return {};
  NodeId only;
  for (const ValueId result : node.results) {
    for (const Use& use : graph_.value(result).uses) {
      if (!counts(use)) continue;
      const Node& reader = graph_.node(use.node);
      if (inline_[use.node.index] != 0 || !is_element_wise(reader)) return {};
      const NodeId last(last_[use.node.index]);
      if (only.valid() && only != last) return {};
      only = last;
    }
  }
  if (!only.valid()) return {};
  const Node& last = graph_.node(only);
  const bool together = node.phase == last.phase &&
                        graph_.type(node.results[0]).shape == graph_.type(last.results[0]).shape &&
                        bytes(node.results[0]) >= bytes(last.results[0]);
  return together ? only : NodeId();
}

/// The groups to begin with: nodes, and before each of them those that are made for it alone, as
/// long as they surely are not too much for a kernel.
void FusionGroups::make_first_groups() {
  std::vector<NodeId> owned;
  for (NodeId id = graph_.first_node(); id.valid(); id = graph_.node(id).next) {
    if (live_[id.index] == 0 || stays_a_node(graph_.node(id))) continue;
    // An inline node may be needed in memory all the same, by an output or an update.
    if (inline_[id.index] != 0 && !is_kept(graph_.node(id).results[0])) continue;
    owned.push_back(id);
  }
  struct Size {
    size_t nodes = 0;
    size_t arguments = 0;
  };
  std::vector<Size> size(graph_.node_capacity());  // of the group that ends with a node
  last_.assign(graph_.node_capacity(), 0);
  for (size_t i = owned.size(); i-- > 0;) {
    const NodeId id = owned[i];
    const Node& node = graph_.node(id);
    last_[id.index] = id.index;
    Size& own = size[id.index];
    own = {inline_size_[id.index], node.results.size()};
    for (ValueId operand : node.operands) {
      const NodeId producer = maker(operand);
      own.arguments += is_inline_producer(producer) ? inline_size_[producer.index] : 1;
    }
    const NodeId last = only_reader(id);
    if (!last.valid()) continue;
    Size& group = size[last.index];
    size_t inside = 0;  // arguments that are values of both
    for (const ValueId result : node.results) {
      for (const Use& use : graph_.value(result).uses)
        inside += counts(use) ? 1 : 0;
      inside += is_kept(result) ? 0 : 1;
    }
    const Size both = {group.nodes + own.nodes, group.arguments + own.arguments - inside};
    if (both.nodes > kMaxBodyNodes || both.arguments > kMaxKernelOperands) continue;
    group = both;
    last_[id.index] = last.index;
  }
  for (const NodeId id : owned) {
    if (last_[id.index] != id.index) continue;
    owner_[id.index] = static_cast<uint32_t>(groups_.size());
    groups_.emplace_back();
  }
  for (const NodeId id : owned) {
    owner_[id.index] = owner_[last_[id.index]];
    groups_[owner_[id.index]].owned.push_back(id);
  }
  version_.assign(groups_.size(), 0);
  alive_.assign(groups_.size(), 1);
  for (FusionGroup& group : groups_)
    make_first_group(group);
  collect_readers();
  // What is read outside is known when all groups have their inputs.
  for (uint32_t group = 0; group < groups_.size(); ++group)
    finish_first_group(group);
  order_ = GroupOrder(groups_.size(), *this);
}

/// A node and the inline nodes it needs, each once; `seen_` has the stamp.
void FusionGroups::collect(NodeId node, std::vector<NodeId>& nodes) {
  if (seen_[node.index] == stamp_) return;
  seen_[node.index] = stamp_;
  for (ValueId operand : graph_.node(node).operands) {
    const NodeId producer = maker(operand);
    if (is_inline_producer(producer)) collect(producer, nodes);
  }
  nodes.push_back(node);
}

void FusionGroups::make_first_group(FusionGroup& group) {
  const NodeId last = group.owned.back();
  group.loop = def(graph_.node(last).op).has_open_body();
  if (group.loop) {
    group.nodes = {last};
  } else {
    ++stamp_;
    for (const NodeId id : group.owned)
      collect(id, group.nodes);
  }
  std::sort(group.nodes.begin(), group.nodes.end(),
            [&](NodeId a, NodeId b) { return position_[a.index] < position_[b.index]; });
  put_inputs_in_order(group);
  (graph_.node(last).phase == Phase::kForward ? group.forward : group.later) = true;
}

void FusionGroups::finish_first_group(uint32_t index) {
  FusionGroup& group = groups_[index];
  for (const NodeId id : group.owned) {
    for (ValueId result : graph_.node(id).results) {
      if (is_needed(result, index, index)) group.outputs.push_back(result);
    }
  }
  for (ValueId value : group.inputs)
    group.bytes += bytes(value);
  for (ValueId value : group.outputs)
    group.bytes += bytes(value);
  if (group.loop) return;
  GRADC_CHECK(find_form(group), "{} is no kernel: {}", op_name(graph_.node(group.owned[0]).op),
              forms_.reason());
}

// ---- one group ---------------------------------------------------------------------------------

/// Whether a value has to be in memory when these two groups are one. Other groups have their own
/// copies of inline nodes: readers() knows that.
bool FusionGroups::is_needed(ValueId value, uint32_t a, uint32_t b) const {
  if (is_kept(value)) return true;
  return std::ranges::any_of(readers(value),
                             [&](uint32_t reader) { return reader != a && reader != b; });
}

// ---- readers -----------------------------------------------------------------------------------

/// Room for the readers of all values, who are never more than now, and the readers in order.
void FusionGroups::collect_readers() {
  size_t count = 0;
  for (const FusionGroup& group : groups_) {
    for (ValueId input : group.inputs)
      ++values_[input.index].num_readers;
    count += group.inputs.size();
  }
  readers_.resize(count);
  uint32_t next = 0;
  for (ValueState& value : values_) {
    value.first_reader = next;
    next += std::exchange(value.num_readers, 0);
  }
  for (uint32_t group = 0; group < groups_.size(); ++group) {
    for (ValueId input : groups_[group].inputs) {
      ValueState& value = values_[input.index];
      readers_[value.first_reader + value.num_readers++] = group;
    }
  }
}

void FusionGroups::remove_reader(ValueId value, uint32_t group) {
  ValueState& v = values_[value.index];
  uint32_t* const first = readers_.data() + v.first_reader;
  uint32_t* const last = first + v.num_readers;
  uint32_t* const at = std::lower_bound(first, last, group);
  std::copy(at + 1, last, at);
  --v.num_readers;
}

/// After one that is now part of it was removed.
void FusionGroups::add_reader(ValueId value, uint32_t group) {
  ValueState& v = values_[value.index];
  uint32_t* const first = readers_.data() + v.first_reader;
  uint32_t* const last = first + v.num_readers;
  uint32_t* const at = std::lower_bound(first, last, group);
  std::copy_backward(at, last, last + 1);
  *at = group;
  ++v.num_readers;
}

/// Values from outside, in order of first use.
void FusionGroups::put_inputs_in_order(FusionGroup& group) {
  mark(group.nodes);
  group.inputs.clear();
  for (NodeId id : group.nodes) {
    for (ValueId operand : graph_.node(id).operands) {
      if (!is_marked(maker(operand)) && see(operand)) group.inputs.push_back(operand);
    }
  }
}

/// Marks the nodes of a group, and nothing else.
void FusionGroups::mark(std::span<const NodeId> nodes) {
  ++stamp_;
  for (NodeId id : nodes)
    mark_[id.index] = stamp_;
}

/// The form and the work of a group whose nodes and values are known; false where it cannot be, or
/// had better not be, one kernel.
bool FusionGroups::find_form(FusionGroup& group) {
  const std::optional<KernelForm> form = forms_.find(group.nodes, group.outputs);
  if (!form) return false;
  // Other lookups than those that are inline stay kernels of their own.
  const bool own_lookup = std::any_of(group.owned.begin(), group.owned.end(), [&](NodeId id) {
    return graph_.node(id).op == Op::kGather && id != form->anchor;
  });
  if (own_lookup) return forms_.no("a lookup in a kernel that does more");
  // What is put must not be looked up where it is written over.
  if (group.owned.size() > 1 && form->anchor.valid() &&
      graph_.node(form->anchor).op == Op::kPutRows)
    return forms_.no("rows are put from memory");
  group.form = *form;
  if (group.owned.size() > 1 && !form_is_sensible(group)) return false;
  group.work = work_.measure(group.nodes, group.outputs, group.form, forms_);
  return true;
}

/// A few very long rows would leave the other threads idle while elements are written.
bool FusionGroups::form_is_sensible(const FusionGroup& group) const {
  const KernelForm& form = group.form;
  const int64_t elements = form.space().num_elements();
  const bool few_long_rows = form.kind == KernelKind::kRow && form.rows() < kMinParallelRows &&
                             elements > kMaxSerialElements;
  return !few_long_rows ||
         std::none_of(group.outputs.begin(), group.outputs.end(),
                      [&](ValueId output) { return graph_.type(output).shape == form.space(); });
}

}  // namespace gradc
