#include "ir/graph.h"

#include "ir/element.h"
#include "ir/op.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>

namespace gradc {

std::string_view phase_name(Phase phase) {
  switch (phase) {
    case Phase::kForward:
      return "forward";
    case Phase::kBackward:
      return "backward";
    case Phase::kUpdate:
      return "update";
  }
  GRADC_UNREACHABLE();
}

std::string_view input_kind_name(InputKind kind) {
  switch (kind) {
    case InputKind::kInput:
      return "input";
    case InputKind::kParam:
      return "param";
    case InputKind::kState:
      return "state";
    case InputKind::kArg:
      return "arg";
  }
  GRADC_UNREACHABLE();
}

std::shared_ptr<Graph> Graph::clone() const {
  auto copy = std::make_shared<Graph>(name_);
  copy->nodes_ = nodes_;
  std::unordered_map<const Graph*, std::shared_ptr<Graph>> bodies;  // nodes that share one still do
  for (Node& n : copy->nodes_) {
    if (!n.body) continue;
    std::shared_ptr<Graph>& body = bodies[n.body.get()];
    if (!body) body = n.body->clone();
    n.body = body;
  }
  copy->values_ = values_;
  copy->inputs_ = inputs_;
  copy->outputs_ = outputs_;
  copy->locations_ = locations_;
  copy->location_ids_ = location_ids_;
  copy->names_ = names_;
  copy->first_ = first_;
  copy->last_ = last_;
  copy->num_live_ = num_live_;
  return copy;
}

namespace {

/// Room for one more, and for many where there are many: large lists are moved seldom.
template <class T>
void make_room(std::vector<T>& list) {
  if (list.size() == list.capacity())
    list.reserve(list.size() < 64 ? 2 * list.size() + 4 : 4 * list.size());
}

}  // namespace

ValueId Graph::new_value(const TensorType& type, std::string_view hint, NodeId def,
                         uint32_t index) {
  const ValueId id(values_.size());
  Value value{type, names_.take(hint), def, index, {}};  // the type may be another value's
  make_room(values_);
  values_.push_back(std::move(value));
  return id;
}

ValueId Graph::add_input(InputKind kind, const TensorType& type, std::string name,
                         std::string_view hint, InitSpec init, LocId loc) {
  const ValueId id = new_value(type, hint, NodeId(), static_cast<uint32_t>(inputs_.size()));
  inputs_.push_back({id, kind, std::move(name), std::move(init), loc});
  return id;
}

NodeId Graph::add_node(Op op, ValueList operands, AttrRef attrs,
                       std::span<const TensorType> result_types, Phase phase, LocId loc,
                       std::string_view hint, std::shared_ptr<Graph> body) {
  return insert_node(NodeId(), op, std::move(operands), std::move(attrs), result_types, phase, loc,
                     hint, std::move(body));
}

NodeId Graph::insert_node(NodeId before, Op op, ValueList operands, AttrRef attrs,
                          std::span<const TensorType> result_types, Phase phase, LocId loc,
                          std::string_view hint, std::shared_ptr<Graph> body) {
  const NodeId id(nodes_.size());
  Node node;
  node.op = op;
  node.phase = phase;
  node.attrs = op == Op::kConstant ? with_own_elements(std::move(attrs)) : std::move(attrs);
  node.operands = std::move(operands);
  node.loc = loc;
  node.body = std::move(body);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    GRADC_CHECK(node.operands[i].valid(), "operand {} of {} is invalid", i, op_name(op));
    values_[node.operands[i].index].uses.push_back({id, static_cast<uint32_t>(i)});
  }
  node.results.reserve(result_types.size());
  for (size_t i = 0; i < result_types.size(); ++i) {
    node.results.push_back(new_value(result_types[i], hint, id, static_cast<uint32_t>(i)));
  }
  make_room(nodes_);
  nodes_.push_back(std::move(node));
  link_before(id, before);
  ++num_live_;
  return id;
}

void Graph::link_before(NodeId id, NodeId before) {
  Node& n = nodes_[id.index];
  n.next = before;
  n.prev = before.valid() ? nodes_[before.index].prev : last_;
  (n.prev.valid() ? nodes_[n.prev.index].next : first_) = id;
  (before.valid() ? nodes_[before.index].prev : last_) = id;
}

void Graph::unlink(NodeId id) {
  Node& n = nodes_[id.index];
  (n.prev.valid() ? nodes_[n.prev.index].next : first_) = n.next;
  (n.next.valid() ? nodes_[n.next.index].prev : last_) = n.prev;
  n.prev = n.next = NodeId();
}

namespace {

/// Mostly the first or the last: uses are replaced from the front, nodes erased from the back.
void remove_use(UseList& uses, const Use& use) {
  if (uses.back() == use) return uses.pop_back();
  uses.erase(std::find(uses.begin(), uses.end(), use));
}

}  // namespace

void Graph::set_operand(NodeId node, size_t operand, ValueId value) {
  ValueId& slot = nodes_[node.index].operands[operand];
  if (slot == value) return;
  remove_use(values_[slot.index].uses, {node, static_cast<uint32_t>(operand)});
  slot = value;
  values_[value.index].uses.push_back({node, static_cast<uint32_t>(operand)});
}

void Graph::append_operand(NodeId node, ValueId value) {
  ValueList& operands = nodes_[node.index].operands;
  values_[value.index].uses.push_back({node, static_cast<uint32_t>(operands.size())});
  operands.push_back(value);
}

ValueId Graph::append_result(NodeId node, const TensorType& type, std::string_view hint) {
  const size_t index = nodes_[node.index].results.size();
  const ValueId id = new_value(type, hint, node, static_cast<uint32_t>(index));
  nodes_[node.index].results.push_back(id);
  return id;
}

void Graph::replace_all_uses(ValueId from, ValueId to) {
  GRADC_CHECK(type(from) == type(to), "replacing %{} : {} by %{} : {}", value(from).name,
              to_string(type(from)), value(to).name, to_string(type(to)));
  if (from == to) return;
  const UseList uses = std::exchange(values_[from.index].uses, {});
  for (const Use& use : uses)
    nodes_[use.node.index].operands[use.operand] = to;
  values_[to.index].uses.append(uses);
  for (GraphOutput& output : outputs_) {
    if (output.value == from) output.value = to;
  }
}

void Graph::erase(NodeId id) {
  Node& n = nodes_[id.index];
  GRADC_CHECK(!n.erased, "a node is erased twice");
  for (ValueId result : n.results) {
    GRADC_CHECK(!has_uses(result), "erasing {} whose result %{} is used", op_name(n.op),
                value(result).name);
    names_.release(value(result).name);
  }
  for (size_t i = n.operands.size(); i-- > 0;)
    remove_use(values_[n.operands[i].index].uses, {id, static_cast<uint32_t>(i)});
  unlink(id);
  n.operands.clear();
  n.body = nullptr;
  n.erased = true;
  --num_live_;
}

void Graph::move_before(NodeId node, NodeId before) {
  if (node == before) return;
  unlink(node);
  link_before(node, before);
}

void Graph::set_order(std::span<const NodeId> order) {
  GRADC_CHECK(order.size() == num_live_, "an order of {} nodes for a graph of {}", order.size(),
              num_live_);
  first_ = last_ = NodeId();
  for (NodeId id : order) {
    nodes_[id.index].prev = nodes_[id.index].next = NodeId();
  }
  for (NodeId id : order)
    link_before(id, NodeId());
}

void Graph::add_output(std::string name, ValueId value) {
  outputs_.push_back({value, std::move(name)});
}

void Graph::set_output(size_t index, ValueId value) {
  outputs_[index].value = value;
}

void Graph::remove_output(size_t index) {
  outputs_.erase(outputs_.begin() + static_cast<std::ptrdiff_t>(index));
}

void Graph::remove_input(size_t index) {
  GRADC_CHECK(!has_uses(inputs_[index].value), "removing an input that is used");
  names_.release(value(inputs_[index].value).name);
  inputs_.erase(inputs_.begin() + static_cast<std::ptrdiff_t>(index));
  for (size_t i = index; i < inputs_.size(); ++i)
    values_[inputs_[i].value.index].index = static_cast<uint32_t>(i);
}

void Graph::set_name_hint(ValueId id, std::string_view hint) {
  names_.release(values_[id.index].name);
  values_[id.index].name = names_.take(hint);
}

void Graph::rename_values(std::span<const std::pair<ValueId, std::string>> names) {
  for (const auto& [id, name] : names)
    names_.release(values_[id.index].name);
  for (const auto& [id, name] : names)
    values_[id.index].name = names_.take(name);
}

LocId Graph::add_location(std::string text) {
  if (text.empty()) return LocId();
  const auto [it, inserted] = location_ids_.emplace(text, LocId(locations_.size()));
  if (inserted) locations_.push_back({std::move(text)});
  return it->second;
}

void Graph::take_locations(Graph& other) {
  GRADC_CHECK(locations_.empty(), "a graph with locations takes those of another");
  locations_ = std::exchange(other.locations_, {});
  location_ids_ = std::exchange(other.location_ids_, {});
}

void Graph::become(Graph&& other) {
  name_ = std::exchange(other.name_, {});
  nodes_ = std::exchange(other.nodes_, {});
  values_ = std::exchange(other.values_, {});
  inputs_ = std::exchange(other.inputs_, {});
  outputs_ = std::exchange(other.outputs_, {});
  locations_ = std::exchange(other.locations_, {});
  location_ids_ = std::exchange(other.location_ids_, {});
  names_ = std::exchange(other.names_, {});
  first_ = std::exchange(other.first_, NodeId());
  last_ = std::exchange(other.last_, NodeId());
  num_live_ = std::exchange(other.num_live_, 0);
}

std::optional<ValueId> Graph::find_input(std::string_view name) const {
  for (const GraphInput& input : inputs_) {
    if (input.name == name) return input.value;
  }
  return std::nullopt;
}

std::optional<ValueId> Graph::find_output(std::string_view name) const {
  for (const GraphOutput& output : outputs_) {
    if (output.name == name) return output.value;
  }
  return std::nullopt;
}

bool Graph::is_output(ValueId id) const {
  return std::any_of(outputs_.begin(), outputs_.end(),
                     [&](const GraphOutput& o) { return o.value == id; });
}

const std::string& Graph::location(LocId id) const {
  static const std::string kEmpty;
  return id.valid() ? locations_[id.index].text : kEmpty;
}

std::vector<NodeId> Graph::nodes() const {
  std::vector<NodeId> result;
  result.reserve(num_live_);
  for (NodeId id = first_; id.valid(); id = nodes_[id.index].next)
    result.push_back(id);
  return result;
}

}  // namespace gradc
