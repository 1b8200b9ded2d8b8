#include "passes/step_values.h"

#include "passes/step_graph.h"
#include "support/check.h"

#include <algorithm>
#include <string>

namespace gradc::steps {

int reshaped_axis(const Shape& from, int axis, const Shape& to) {
  int64_t before = 1;
  for (int i = 0; i < axis; ++i)
    before *= from[i];
  int64_t passed = 1;
  for (int i = 0; i < to.rank(); ++i) {
    if (passed == before && to[i] == from[axis]) return i;
    passed *= to[i];
  }
  return -1;
}

Shape with_extent(Shape shape, int axis, int64_t extent) {
  shape[axis] = extent;
  return shape;
}

StepValues::StepValues(const Graph& window)
    : window_(window),
      graph_(std::make_shared<Graph>(window.name())),
      builder_(*graph_),
      known_(window.value_capacity()) {}

void StepValues::begin(const GraphInput& data) {
  const TensorType& type = window_.type(data.value);
  steps_ = type.shape[1];
  const Val one = builder_.input(InputKind::kInput, type.with(with_extent(type.shape, 1, 1)),
                                 kStepInput, window_.value(data.value).name);
  known_[data.value.index] = {Val1::Kind::kStepwise, 1, one};
}

bool StepValues::moves(NodeId id) const {
  const Node& node = window_.node(id);
  return std::any_of(node.operands.begin(), node.operands.end(),
                     [&](ValueId operand) { return !of(operand).fixed(); });
}

const char* StepValues::step(NodeId id) {
  const Node& node = window_.node(id);
  const bool of_now = std::none_of(node.operands.begin(), node.operands.end(),
                                   [&](ValueId operand) { return of(operand).stepwise(); });
  if (!of_now) {
    const Rule rule =
        def(node.op).has(kTraitElementwise) ? &StepValues::elementwise : rule_of(node.op);
    return rule == nullptr ? "it joins steps" : (this->*rule)(node);
  }
  std::vector<Val> operands;
  for (const ValueId operand : node.operands)
    operands.push_back(of(operand).fixed() ? fixed(operand) : of(operand).val);
  const std::vector<Val> results = builder_.add_multi(node.op, std::move(operands), node.attrs, {},
                                                      node.body ? node.body->clone() : nullptr);
  for (size_t i = 0; i < results.size(); ++i)
    set_now(node.results[i], results[i]);
  return nullptr;
}

// ---- fixed values -------------------------------------------------------------------------------

Val StepValues::fixed(ValueId id) {
  Val1& known = known_[id.index];
  GRADC_CHECK(known.fixed(), "%{} moves", window_.value(id).name);
  if (known.val.valid()) return known.val;
  if (window_.is_input(id)) {
    const GraphInput& input = window_.input_of(id);
    known.val = builder_.input(input.kind, window_.type(id), input.name, window_.value(id).name,
                               input.init);
    return known.val;
  }
  const Node& node = window_.node(window_.def(id));
  std::vector<Val> operands;
  for (const ValueId operand : node.operands)
    operands.push_back(fixed(operand));
  const std::vector<Val> results = builder_.add_multi(node.op, std::move(operands), node.attrs, {},
                                                      node.body ? node.body->clone() : nullptr);
  for (size_t i = 0; i < results.size(); ++i)
    known_[node.results[i].index].val = results[i];
  return known_[id.index].val;
}

Val StepValues::at(ValueId id, int axis) {
  if (axis >= shape(id).rank() || shape(id)[axis] != steps_) return {};
  Val& memo = at_[{id.index, axis}];
  if (!memo.valid()) memo = row_at(id, axis);
  return memo;
}

/// Views and elementwise work are done on one step alone; of the rest, the step's row is read.
Val StepValues::row_at(ValueId id, int axis) {
  const NodeId def_node = window_.def(id);
  const Node* node = def_node.valid() ? &window_.node(def_node) : nullptr;
  const Shape row = with_extent(shape(id), axis, 1);
  if (node != nullptr && node->op == Op::kBroadcast) {
    const auto& dims = node->attrs.as<BroadcastAttrs>().dims;
    const auto from = std::find(dims.begin(), dims.end(), axis);
    const ValueId operand = node->operands[0];
    const Val x =
        from == dims.end() ? fixed(operand) : at(operand, static_cast<int>(from - dims.begin()));
    return gradc::broadcast(x, row, dims);
  }
  if (node != nullptr && node->op == Op::kTranspose) {
    const auto& perm = node->attrs.as<TransposeAttrs>().perm;
    return gradc::transpose(
        at(node->operands[0], static_cast<int>(perm[static_cast<size_t>(axis)])), perm);
  }
  if (node != nullptr && node->op == Op::kIota) {
    const auto& attrs = node->attrs.as<IotaAttrs>();
    if (attrs.axis != axis) return iota(builder_, {attrs.dtype, row}, attrs.axis);
    return gradc::broadcast(cast(position(), attrs.dtype), row, {});
  }
  if (node != nullptr && node->op == Op::kReshape) {
    const int from = reshaped_axis(shape(id), axis, shape(node->operands[0]));
    if (from >= 0) return gradc::reshape(at(node->operands[0], from), row);
  }
  if (node != nullptr && def(node->op).has(kTraitElementwise)) {
    std::vector<Val> operands;
    for (const ValueId operand : node->operands)
      operands.push_back(at(operand, axis));
    return builder_.add(node->op, std::move(operands), node->attrs);
  }
  const Val all = fixed(id);
  std::vector<int64_t> front = {axis};
  for (int64_t i = 0; i < all.rank(); ++i) {
    if (i != axis) front.push_back(i);
  }
  std::vector<int64_t> back(front.size());
  for (size_t i = 0; i < front.size(); ++i)
    back[static_cast<size_t>(front[i])] = static_cast<int64_t>(i);
  const Val index = gradc::reshape(position(), Shape{1});
  return gradc::transpose(builder_.add(Op::kGather, {gradc::transpose(all, front), index}), back);
}

Val StepValues::operand_at(ValueId id, int axis) {
  const Val1& value = of(id);
  if (value.stepwise()) return value.axis == axis ? value.val : Val();
  return value.fixed() ? at(id, axis) : Val();
}

int StepValues::common_axis(const Node& node) const {
  int axis = -1;
  for (const ValueId operand : node.operands) {
    const Val1& value = of(operand);
    if (value.fixed()) continue;
    if (value.now() || (axis >= 0 && value.axis != axis)) return -1;
    axis = value.axis;
  }
  return axis;
}

bool StepValues::all_fixed_but(const Node& node, size_t operand) const {
  for (size_t i = 0; i < node.operands.size(); ++i) {
    if (i != operand && !of(node.operands[i]).fixed()) return false;
  }
  return true;
}

// ---- states -------------------------------------------------------------------------------------

Val StepValues::position() {
  if (!position_.valid())
    position_ = builder_.input(InputKind::kInput, {DType::kI32, {}}, kStepPosition, "position");
  return position_;
}

Val StepValues::state(const TensorType& type) {
  InitSpec zeros;
  zeros.kind = "zeros";
  return builder_.input(InputKind::kState, type, kStepState + std::to_string(states_++), "kept",
                        zeros);
}

void StepValues::keep(Val state, Val next) {
  builder_.set_phase(Phase::kUpdate);
  builder_.update(state, next);
  builder_.set_phase(Phase::kForward);
}

Val StepValues::cached(Val step, int axis) {
  // Steps come first in the state, so that this one is a row of it and the others stay where they
  // are.
  std::vector<int64_t> first = {axis}, back;
  for (int64_t i = 0; i < step.rank(); ++i) {
    if (i != axis) first.push_back(i);
    back.push_back(i < axis ? i + 1 : i == axis ? 0 : i);
  }
  const Val row = gradc::transpose(step, first);
  const Val before = state(step.type().with(with_extent(row.shape(), 0, steps_)));
  const Val index = gradc::reshape(position(), Shape{1});
  const Val next = builder_.add(Op::kPutRows, {before, index, row});
  keep(before, next);
  return gradc::transpose(next, back);
}

// ---- results ------------------------------------------------------------------------------------

void StepValues::set(const Node& node, int axis, Val val) {
  known_[node.results[0].index] = {Val1::Kind::kStepwise, axis, val};
}

Val StepValues::add(const Node& node, std::vector<Val> operands, AttrRef attrs) {
  return builder_.add(node.op, std::move(operands), std::move(attrs));
}

}  // namespace gradc::steps
