#include "ir/ops/scan_sums.h"

#include <algorithm>

namespace gradc::ops {

bool JointBody::is_forward(ValueId v) const {
  const NodeId node = graph->def(v);
  return node.valid() ? graph->node(node).phase == Phase::kForward : arg_index(v) < operands;
}

bool JointBody::is_stack(ValueId v) const {
  const size_t index = arg_index(v);
  if (index >= carries && index < captures) return true;
  return std::find(seeds.begin() + static_cast<std::ptrdiff_t>(carries), seeds.end(), v) !=
         seeds.end();
}

namespace {

class SumPlanner {
 public:
  explicit SumPlanner(const JointBody& joint) : joint_(joint), graph_(*joint.graph) {}

  StepSums run(const std::vector<ValueId>& totals);

 private:
  bool is_contraction(const Node& node) const;
  bool is_linear(const Node& node) const;
  std::vector<ValueId> reach_contractions(const std::vector<ValueId>& totals);
  StepSum plan_of(ValueId value) const;
  void use(const std::vector<ValueId>& totals);

  const JointBody& joint_;
  const Graph& graph_;
  StepSums sums_;
};

/// A sum of products: worth stacking its operands for.
bool SumPlanner::is_contraction(const Node& node) const {
  if (def(node.op).sum_steps == nullptr || node.operands.size() < 2) return false;
  return std::none_of(node.operands.begin(), node.operands.end(), [&](ValueId v) {
    return joint_.is_whole(v) ||
           (graph_.def(v).valid() && graph_.node(graph_.def(v)).operands.empty());
  });
}

bool SumPlanner::is_linear(const Node& node) const {
  const bool pads = node.op == Op::kPad && node.attrs.as<PadAttrs>().value != 0.0;
  return def(node.op).has(kTraitLinear) && node.operands.size() == 1 && !pads;
}

/// From the gradients of captures down through additions and linear ops; what contractions read is
/// stacked. Returns all values met, operands first.
std::vector<ValueId> SumPlanner::reach_contractions(const std::vector<ValueId>& totals) {
  std::set<ValueId> seen(totals.begin(), totals.end());
  std::vector<ValueId> todo = totals;
  while (!todo.empty()) {
    const ValueId value = todo.back();
    todo.pop_back();
    if (joint_.is_forward(value) || !graph_.def(value).valid()) continue;
    const Node& node = graph_.node(graph_.def(value));
    if (is_contraction(node)) {
      sums_.stacked.insert(node.operands.begin(), node.operands.end());
    } else if (node.op == Op::kAdd || is_linear(node)) {
      for (ValueId operand : node.operands) {
        if (seen.insert(operand).second) todo.push_back(operand);
      }
    }
  }
  return {seen.begin(), seen.end()};  // backward nodes were added in order
}

StepSum SumPlanner::plan_of(ValueId value) const {
  if (sums_.stacked.contains(value) || joint_.is_stack(value)) return StepSum::kStacked;
  if (joint_.is_forward(value) || !graph_.def(value).valid()) return StepSum::kInLoop;
  const Node& node = graph_.node(graph_.def(value));
  const auto outside = [&](ValueId operand) {
    const auto found = sums_.kinds.find(operand);
    return found != sums_.kinds.end() && found->second != StepSum::kInLoop;
  };
  if (is_contraction(node)) return StepSum::kCall;
  if (node.op == Op::kAdd && (outside(node.operands[0]) || outside(node.operands[1])))
    return StepSum::kTwoSums;
  if (!is_linear(node) || !outside(node.operands[0])) return StepSum::kInLoop;
  const bool of_stack = sums_.kinds.at(node.operands[0]) == StepSum::kStacked;
  return of_stack && def(node.op).sum_steps != nullptr ? StepSum::kCall : StepSum::kLinear;
}

StepSums SumPlanner::run(const std::vector<ValueId>& totals) {
  for (ValueId value : reach_contractions(totals))
    sums_.kinds[value] = plan_of(value);
  use(totals);
  return std::move(sums_);
}

/// Keeps of the kinds what the totals are made of, and lists what that asks of the loop.
void SumPlanner::use(const std::vector<ValueId>& totals) {
  std::set<ValueId> used(totals.begin(), totals.end());
  sums_.stacked.clear();
  for (auto it = sums_.kinds.rbegin(); it != sums_.kinds.rend(); ++it) {
    const auto [value, kind] = *it;
    if (!used.contains(value)) continue;
    if (kind == StepSum::kInLoop) sums_.in_loop.push_back(value);
    if (kind == StepSum::kStacked) sums_.stacked.insert(value);
    if (kind == StepSum::kInLoop || kind == StepSum::kStacked) continue;
    const ValueList& operands = graph_.node(graph_.def(value)).operands;
    (kind == StepSum::kCall ? sums_.stacked : used).insert(operands.begin(), operands.end());
  }
  std::erase_if(sums_.kinds, [&](const auto& sum) { return !used.contains(sum.first); });
  std::reverse(sums_.in_loop.begin(), sums_.in_loop.end());
}

}  // namespace

StepSums plan_step_sums(const JointBody& joint, const std::vector<ValueId>& totals) {
  return SumPlanner(joint).run(totals);
}

}  // namespace gradc::ops
