// The gradient of a loop is a loop in the other direction over stacked cotangents.
//
// The body is differentiated once, on a copy (`joint_`): its args, then a seed for each cotangent.
// What the backward part reads of the forward part is either cheap to compute again or becomes one
// more stacked output of the forward loop. The gradient of a whole operand is a sum over the steps;
// where the entry of the op that makes it has a form for that (OpDef::sum_steps: a product, a sum),
// the loop yields what goes into it and one call behind the loop makes the sum.
#include "ir/differentiate.h"
#include "ir/graph.h"
#include "ir/graph_copy.h"
#include "ir/ops/scan_sums.h"

#include <algorithm>
#include <map>
#include <memory>
#include <numeric>
#include <set>

namespace gradc::ops {

namespace {

class ScanGradient {
 public:
  explicit ScanGradient(const GradArgs& g)
      : g_(g),
        attrs_(g.attr<ScanAttrs>()),
        carries_(static_cast<size_t>(attrs_.carries)),
        captures_(carries_ + static_cast<size_t>(attrs_.slices)),
        joint_(g.node.body->clone()),
        body_{joint_, carries_, captures_, g.operands.size(), {}} {}

  Grads run() {
    find_active_carries();
    if (!differentiate_body()) return Grads(num_args());
    plan_sums();
    choose_what_to_save();
    extend_forward_loop();
    build_loop();
    return collect_gradients();
  }

 private:
  size_t num_args() const { return g_.operands.size(); }
  ValueId arg(size_t i) const { return body_.arg(i); }
  /// Where it is a stack outside already: a slice, or the cotangent of a stacked output.
  Val given_stack(ValueId v) const;

  void find_active_carries();
  bool differentiate_body();
  void plan_sums();
  void choose_what_to_save();
  void extend_forward_loop();
  void yield_from_forward(const std::vector<ValueId>& values);
  Val shifted_stack(size_t carry, Val stack) const;
  void build_loop();
  Val stack_of(ValueId value) const;
  void make_total(ValueId value);
  Grads collect_gradients();

  const GradArgs& g_;
  const ScanAttrs& attrs_;
  const size_t carries_;   ///< operands before are carries
  const size_t captures_;  ///< operands before are carries and slices
  std::shared_ptr<Graph> joint_;
  JointBody body_;
  std::vector<bool> active_;           ///< by carry: its cotangent goes from step to step
  std::vector<ValueId> gradients_;     ///< by operand: in the joint body, or invalid
  StepSums sums_;                      ///< of the gradients of captures
  std::vector<bool> saved_;            ///< by value of the joint body: read from a stack
  std::map<ValueId, Val> stacks_;      ///< outside: a value for all steps
  std::map<ValueId, Val> totals_;      ///< outside: its sum over all steps
  std::vector<Val> first_cotangents_;  ///< by carry, outside
};

Val ScanGradient::given_stack(ValueId v) const {
  const size_t index = body_.arg_index(v);
  if (index >= carries_ && index < captures_) return g_.in(index);
  for (size_t i = carries_; i < body_.seeds.size(); ++i) {
    if (body_.seeds[i] == v) return g_.dout(i);
  }
  return {};
}

/// A carry's cotangent matters when the loss depends on it and it on something wanted.
void ScanGradient::find_active_carries() {
  const Graph& body = *joint_;
  const auto flows = [&](ValueId v) { return is_float(body.type(v).dtype); };
  const std::vector<NodeId> order = body.nodes();
  std::vector<bool> wanted(carries_), seen(carries_);
  for (size_t i = 0; i < carries_; ++i) {
    wanted[i] = g_.needs(i);
    seen[i] = g_.dout(i).valid();
  }
  for (bool again = true; again;) {
    again = false;
    std::vector<char> from_wanted(body.value_capacity(), 0);
    for (size_t i = 0; i < num_args(); ++i)
      from_wanted[arg(i).index] = i < carries_ ? wanted[i] : g_.needs(i);
    for (NodeId id : order) {
      const Node& node = body.node(id);
      const bool any = std::any_of(node.operands.begin(), node.operands.end(),
                                   [&](ValueId v) { return from_wanted[v.index] != 0; });
      for (ValueId result : node.results)
        from_wanted[result.index] = any && flows(result);
    }
    std::vector<char> reaches(body.value_capacity(), 0);
    for (size_t i = 0; i < body.outputs().size(); ++i) {
      if (i < carries_ ? seen[i] : g_.dout(i).valid()) reaches[body.outputs()[i].value.index] = 1;
    }
    for (auto id = order.rbegin(); id != order.rend(); ++id) {
      const Node& node = body.node(*id);
      const bool any = std::any_of(node.results.begin(), node.results.end(),
                                   [&](ValueId v) { return reaches[v.index] != 0 && flows(v); });
      for (ValueId operand : node.operands)
        if (any) reaches[operand.index] = 1;
    }
    for (size_t i = 0; i < carries_; ++i) {
      const bool more_wanted = !wanted[i] && from_wanted[body.outputs()[i].value.index] != 0;
      const bool more_seen = !seen[i] && reaches[arg(i).index] != 0;
      wanted[i] = wanted[i] || more_wanted;
      seen[i] = seen[i] || more_seen;
      again = again || more_wanted || more_seen;
    }
  }
  for (size_t i = 0; i < carries_; ++i)
    active_.push_back(wanted[i] && seen[i] && flows(arg(i)));
}

bool ScanGradient::differentiate_body() {
  Graph& body = *joint_;
  for (NodeId id : body.nodes())
    body.set_phase(id, Phase::kForward);
  std::vector<ValueId> outputs, seeds, wrt;
  body_.seeds.resize(body.outputs().size());
  for (size_t i = 0; i < body_.seeds.size(); ++i) {
    if (i < carries_ ? !active_[i] : !g_.dout(i).valid()) continue;
    const ValueId output = body.outputs()[i].value;
    body_.seeds[i] =
        body.add_input(InputKind::kArg, body.type(output), {}, "d" + body.value(output).name);
    outputs.push_back(output);
    seeds.push_back(body_.seeds[i]);
  }
  std::vector<size_t> operands;
  for (size_t i = 0; i < num_args(); ++i) {
    if (i < carries_ ? !active_[i] : !g_.needs(i)) continue;
    operands.push_back(i);
    wrt.push_back(arg(i));
  }
  auto found = add_gradients(body, outputs, seeds, wrt, g_.file);
  if (!found.ok()) {
    g_.sink.append(found.diagnostics());
    return false;
  }
  gradients_.resize(num_args());
  for (size_t i = 0; i < operands.size(); ++i)
    gradients_[operands[i]] = (*found)[i];
  return true;
}

/// Gradients of whole operands are sums; those of slices are wanted for all steps.
void ScanGradient::plan_sums() {
  std::vector<ValueId> totals;
  for (size_t i = captures_; i < num_args(); ++i) {
    if (gradients_[i].valid()) totals.push_back(gradients_[i]);
  }
  sums_ = plan_step_sums(body_, totals);
  for (size_t i = carries_; i < captures_; ++i) {
    if (gradients_[i].valid()) sums_.stacked.insert(gradients_[i]);
  }
}

bool is_cheap(const OpDef& entry) {
  constexpr double kMaxCost = 8.0;  // a division
  return entry.lowering == Lowering::kView || entry.lowering == Lowering::kSource ||
         (entry.lowering == Lowering::kScalar && scalar_op_cost(entry.scalar) <= kMaxCost);
}

/// Of the forward values that the backward part reads: computed again where that is cheap and asks
/// for fewer bytes than the value itself has, else saved.
void ScanGradient::choose_what_to_save() {
  std::vector<ValueId> roots(sums_.stacked.begin(), sums_.stacked.end());
  roots.insert(roots.end(), sums_.in_loop.begin(), sums_.in_loop.end());
  for (size_t i = 0; i < carries_; ++i) {
    if (gradients_[i].valid()) roots.push_back(gradients_[i]);
  }
  std::vector<char> read(joint_->value_capacity(), 0);
  std::vector<ValueId> todo;
  nodes_behind(
      *joint_, roots, [&](ValueId v) { return body_.is_forward(v); },
      [&](ValueId v) {
        if (!body_.is_forward(v)) return;
        read[v.index] = 1;
        todo.push_back(v);
      });

  // Bytes to be saved for a value that is not read itself, and what saving its operands takes.
  std::vector<int64_t> bytes(joint_->value_capacity(), 0);
  std::vector<int64_t> operand_bytes(joint_->value_capacity(), 0);
  for (size_t i = 0; i < carries_; ++i)
    bytes[arg(i).index] = joint_->type(arg(i)).bytes();
  for (NodeId id : joint_->nodes()) {
    const Node& node = joint_->node(id);
    if (node.phase != Phase::kForward) continue;
    const int64_t sum = std::accumulate(
        node.operands.begin(), node.operands.end(), int64_t{0},
        [&](int64_t n, ValueId v) { return n + (read[v.index] != 0 ? 0 : bytes[v.index]); });
    for (ValueId result : node.results) {
      const int64_t own = joint_->type(result).bytes();
      operand_bytes[result.index] = is_cheap(def(node.op)) ? sum : own;
      bytes[result.index] = std::min(own, operand_bytes[result.index]);
    }
  }

  saved_.assign(joint_->value_capacity(), false);
  std::vector<char> seen(joint_->value_capacity(), 0);
  while (!todo.empty()) {
    const ValueId value = todo.back();
    todo.pop_back();
    if (seen[value.index]++ != 0) continue;
    const NodeId def = joint_->def(value);
    if (!def.valid()) {
      saved_[value.index] = body_.arg_index(value) < carries_;
    } else if (operand_bytes[value.index] < joint_->type(value).bytes()) {
      const ValueList& operands = joint_->node(def).operands;
      todo.insert(todo.end(), operands.begin(), operands.end());
    } else {
      saved_[value.index] = true;
    }
  }
}

/// The carry before each step, from the carry behind each step.
Val ScanGradient::shifted_stack(size_t carry, Val stack) const {
  const Val first = reshape(g_.in(carry), stacked_shape(1, g_.in(carry).shape()));
  if (attrs_.steps == 1) return first;
  std::vector<int64_t> start(static_cast<size_t>(stack.rank()), 0);
  std::vector<int64_t> limit = stack.shape().to_vector();
  if (attrs_.reverse) {
    start[0] = 1;
    return concat({slice(stack, std::move(start), std::move(limit)), first}, 0);
  }
  --limit[0];
  return concat({first, slice(stack, std::move(start), std::move(limit))}, 0);
}

/// Stacks of what is saved: outputs that the loop has, the same one step later, or new outputs.
void ScanGradient::extend_forward_loop() {
  const std::vector<GraphOutput>& outputs = joint_->outputs();
  for (size_t i = carries_; i < outputs.size(); ++i) {
    if (!stacks_.contains(outputs[i].value)) stacks_[outputs[i].value] = g_.out(i);
  }
  const auto next_is_stacked = [&](ValueId v) {
    const size_t i = body_.arg_index(v);
    if (i >= carries_) return false;
    const ValueId next = outputs[i].value;
    return stacks_.contains(next) || (saved_[next.index] && body_.arg_index(next) >= carries_);
  };
  std::vector<ValueId> added, shifted;
  for (size_t index = 0; index < saved_.size(); ++index) {
    const ValueId value(index);
    if (!saved_[index] || stacks_.contains(value)) continue;
    (next_is_stacked(value) ? shifted : added).push_back(value);
  }
  if (!added.empty()) yield_from_forward(added);
  for (ValueId value : shifted)
    stacks_[value] =
        shifted_stack(body_.arg_index(value), stacks_.at(outputs[body_.arg_index(value)].value));
}

void ScanGradient::yield_from_forward(const std::vector<ValueId>& values) {
  auto body = std::make_shared<Graph>(g_.node.body->name());
  Builder builder(*body);
  NodeCopier copier(*joint_, builder);
  for (size_t i = 0; i < num_args(); ++i) {
    copier.map(arg(i), builder.input(InputKind::kArg, joint_->type(arg(i)), {},
                                     joint_->value(arg(i)).name));
  }
  std::vector<ValueId> yielded;
  for (const GraphOutput& output : joint_->outputs())
    yielded.push_back(output.value);
  yielded.insert(yielded.end(), values.begin(), values.end());
  for (NodeId id : nodes_behind(*joint_, yielded, [](ValueId) { return false; }, {}))
    copier.copy(id);
  for (ValueId value : yielded)
    body->add_output({}, copier[value].id());
  Graph& graph = g_.builder.graph();
  const NodeId loop = graph.def(g_.out(0).id());
  graph.set_body(loop, std::move(body));
  for (ValueId value : values) {
    const TensorType& type = joint_->type(value);
    stacks_[value] = g_.builder.wrap(graph.append_result(
        loop, type.with(stacked_shape(attrs_.steps, type.shape)), joint_->value(value).name));
  }
}

void ScanGradient::build_loop() {
  auto body = std::make_shared<Graph>(g_.node.body->name());
  Builder builder(*body);
  NodeCopier copier(*joint_, builder);
  std::vector<Val> operands;
  ScanAttrs attrs{.steps = attrs_.steps, .reverse = !attrs_.reverse};
  const auto add_arg = [&](ValueId value, Val operand) {
    operands.push_back(operand);
    const Val made =
        builder.input(InputKind::kArg, joint_->type(value), {}, joint_->value(value).name);
    copier.map(value, made);
    return made;
  };
  const auto zeros = [&](ValueId value) { return g_.builder.splat(0.0, joint_->type(value)); };

  std::vector<ValueId> yielded;  // stacked values that are nowhere yet
  for (ValueId value : sums_.stacked) {
    if (!given_stack(value).valid() && !saved_[value.index]) yielded.push_back(value);
  }
  std::vector<ValueId> roots = yielded;
  roots.insert(roots.end(), sums_.in_loop.begin(), sums_.in_loop.end());
  for (size_t i = 0; i < carries_; ++i) {
    if (!active_[i]) continue;
    add_arg(body_.seeds[i], g_.dout(i).valid() ? g_.dout(i) : zeros(body_.seeds[i]));
    if (gradients_[i].valid()) roots.push_back(gradients_[i]);
  }
  std::vector<Val> sums;
  for (ValueId value : sums_.in_loop) {
    operands.push_back(zeros(value));
    sums.push_back(builder.input(InputKind::kArg, joint_->type(value), {},
                                 "sum_" + joint_->value(value).name));
  }
  attrs.carries = static_cast<int64_t>(operands.size());
  std::vector<ValueId> whole;
  const std::vector<NodeId> nodes = nodes_behind(
      *joint_, roots, [&](ValueId v) { return saved_[v.index]; },
      [&](ValueId v) {
        if (copier[v].valid()) return;
        const Val stack = saved_[v.index] ? stacks_.at(v) : given_stack(v);
        if (stack.valid()) {
          add_arg(v, stack);
        } else {
          whole.push_back(v);
        }
      });
  attrs.slices = static_cast<int64_t>(operands.size()) - attrs.carries;
  for (ValueId value : whole)
    add_arg(value, g_.in(body_.arg_index(value)));
  for (NodeId id : nodes)
    copier.copy(id);

  builder.set_location(LocId());
  for (size_t i = 0; i < carries_; ++i) {
    if (!active_[i]) continue;
    const Val next = gradients_[i].valid() ? copier[gradients_[i]]
                                           : builder.splat(0.0, joint_->type(body_.seeds[i]));
    body->add_output({}, next.id());
  }
  for (size_t i = 0; i < sums.size(); ++i)
    body->add_output({}, (sums[i] + copier[sums_.in_loop[i]]).id());
  for (ValueId value : yielded)
    body->add_output({}, copier[value].id());
  if (body->outputs().empty()) return;
  const std::vector<Val> results =
      g_.builder.add_multi(Op::kScan, std::move(operands), make_attrs(attrs), {}, std::move(body));
  auto result = results.begin();
  first_cotangents_.resize(carries_);
  for (size_t i = 0; i < carries_; ++i) {
    if (active_[i]) first_cotangents_[i] = *result++;
  }
  for (ValueId value : sums_.in_loop)
    totals_[value] = *result++;
  for (ValueId value : yielded)
    stacks_[value] = *result++;
}

Val ScanGradient::stack_of(ValueId value) const {
  const Val given = given_stack(value);
  return given.valid() ? given : stacks_.at(value);
}

void ScanGradient::make_total(ValueId value) {
  const StepSum kind = sums_.kinds.at(value);
  if (kind == StepSum::kInLoop) return;
  if (kind == StepSum::kStacked) {
    totals_[value] = reduce_sum(stack_of(value), {0});
    return;
  }
  const Node& node = joint_->node(joint_->def(value));
  std::vector<Val> operands;
  for (ValueId operand : node.operands)
    operands.push_back(kind == StepSum::kCall ? stack_of(operand) : totals_.at(operand));
  if (kind == StepSum::kCall) {
    totals_[value] =
        def(node.op).sum_steps({g_.builder, node.attrs, operands,
                                std::vector<bool>(operands.size(), true), attrs_.steps})[0];
  } else {
    totals_[value] = g_.builder.add(node.op, std::move(operands), node.attrs);
  }
}

Grads ScanGradient::collect_gradients() {
  for (const auto& [value, kind] : sums_.kinds)
    make_total(value);
  Grads grads(num_args());
  for (size_t i = 0; i < num_args(); ++i) {
    if (!g_.needs(i)) continue;
    if (i < carries_) {
      if (active_[i]) grads[i] = first_cotangents_[i];
    } else if (gradients_[i].valid()) {
      grads[i] = i < captures_ ? stack_of(gradients_[i]) : totals_.at(gradients_[i]);
    }
  }
  return grads;
}

}  // namespace

Grads scan_grad(const GradArgs& g) {
  return ScanGradient(g).run();
}

}  // namespace gradc::ops
