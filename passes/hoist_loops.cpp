// hoist_loops - moves work out of loops, to where it is done once or for all steps at once:
//
//   what every step computes alike                             -> before the loop
//   a contraction of slices, and the elementwise work on it    -> before the loop, all steps at
//   once a contraction that no later step needs, and what follows   -> behind the loop, all steps
//   at once
//
// One large product is far faster than many small ones. Other work on slices stays: its result
// would have to be kept for all steps. The forms for all steps are the ops' own (OpDef::stack).
#include "ir/graph_copy.h"
#include "ir/op.h"
#include "ir/replacement.h"
#include "passes/loops.h"
#include "passes/passes.h"
#include "support/check.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace gradc::passes {

namespace {

/// What a value of a body depends on, at most.
enum class Depends : uint8_t { kWhole, kSlice, kCarry };

bool is_contraction(const Node& node) {
  const Lowering lowering = def(node.op).lowering;
  return lowering == Lowering::kMatmul || lowering == Lowering::kConv;
}

/// Worth a value that lives through the loop: not a view, which is done while reading.
bool is_work(const Node& node) {
  const Lowering lowering = def(node.op).lowering;
  return lowering != Lowering::kView && (lowering != Lowering::kSource || !node.operands.empty());
}

class Hoister {
 public:
  Hoister(Graph& graph, NodeId node)
      : graph_(graph), node_(node), loop_(graph, node), body_(loop_.body()), builder_(graph) {
    builder_.set_insertion_point(node);
    builder_.set_phase(graph.node(node).phase);
    classify();
  }

  /// Whether anything moved.
  bool run() {
    choose_whole();
    choose_before();
    choose_behind();
    if (before_.empty() && behind_roots_.empty()) return false;
    move();
    return true;
  }

 private:
  bool is_stacked(ValueId v) const { return depends_[v.index] != Depends::kWhole; }
  bool moves(NodeId id) const { return moved_[id.index] != 0; }
  bool is_behind(ValueId v) const {
    const NodeId producer = body_.def(v);
    return producer.valid() && behind_[producer.index] != 0;
  }

  void classify() {
    depends_.assign(body_.value_capacity(), Depends::kWhole);
    moved_.assign(body_.node_capacity(), 0);
    behind_.assign(body_.node_capacity(), 0);
    for (size_t i = 0; i < loop_.num_operands(); ++i) {
      if (loop_.is_slice(i)) depends_[loop_.arg(i).index] = Depends::kSlice;
      if (i < loop_.num_carries()) depends_[loop_.arg(i).index] = Depends::kCarry;
    }
    for (NodeId id : body_.nodes()) {
      const Node& node = body_.node(id);
      Depends most = Depends::kWhole;
      for (ValueId operand : node.operands)
        most = std::max(most, depends_[operand.index]);
      for (ValueId result : node.results)
        depends_[result.index] = most;
    }
  }

  void choose_whole();
  void choose_before();
  void choose_behind();
  bool has_stack_form(const Node& node) const;
  bool hoist_with_operands(NodeId id);
  bool extends_moved_work(const Node& node) const;
  std::vector<ValueId> values_at_edge() const;
  void move();
  void lift_all(const std::vector<NodeId>& nodes, std::map<ValueId, Val>& lifted);
  Val lift(ValueId value, std::map<ValueId, Val>& lifted);

  Graph& graph_;
  NodeId node_;
  LoopView loop_;
  const Graph& body_;
  Builder builder_;
  std::vector<Depends> depends_;       ///< by ValueId of the body
  std::vector<char> moved_;            ///< by NodeId of the body: before the loop
  std::vector<char> behind_;           ///< by NodeId of the body: behind the loop
  std::vector<NodeId> before_;         ///< those of moved_
  std::vector<ValueId> behind_roots_;  ///< what is yielded and computed behind
};

/// The op's form for all steps, tried on a graph of its own.
bool Hoister::has_stack_form(const Node& node) const {
  const OpDef& entry = def(node.op);
  if (node.results.size() != 1 || node.body != nullptr) return false;
  if (entry.has(kTraitElementwise)) return true;
  if (entry.stack == nullptr) return false;
  Graph scratch;
  Builder builder(scratch);
  std::vector<Val> operands;
  std::vector<bool> stacked;
  for (ValueId operand : node.operands) {
    TensorType type = body_.type(operand);
    stacked.push_back(is_stacked(operand));
    if (stacked.back()) {
      if (type.rank() == Shape::kMaxRank) return false;
      Shape shape = {loop_.attrs().steps};
      for (int64_t extent : type.shape)
        shape.push_back(extent);
      type.shape = shape;
    }
    operands.push_back(builder.input(InputKind::kArg, type, {}, {}));
  }
  return !entry.stack({builder, node.attrs, operands, stacked, loop_.attrs().steps}).empty();
}

/// Work on what every step sees whole.
void Hoister::choose_whole() {
  for (NodeId id : body_.nodes()) {
    const Node& node = body_.node(id);
    const bool whole = std::none_of(node.results.begin(), node.results.end(),
                                    [&](ValueId v) { return is_stacked(v); });
    if (!whole || !is_work(node)) continue;
    moved_[id.index] = 1;
    before_.push_back(id);
  }
}

/// Marks a node of slices with all nodes behind it, if all have a form for all steps.
bool Hoister::hoist_with_operands(NodeId id) {
  const std::vector<NodeId> nodes =
      nodes_behind(body_, body_.node(id).results,
                   [&](ValueId v) { return !is_stacked(v) || moves(body_.def(v)); }, {});
  const bool possible = std::all_of(nodes.begin(), nodes.end(),
                                    [&](NodeId n) { return has_stack_form(body_.node(n)); });
  if (!possible) return false;
  for (NodeId n : nodes)
    moved_[n.index] = 1;
  before_.insert(before_.end(), nodes.begin(), nodes.end());
  return true;
}

/// Elementwise work and reductions on what moves, where the result is no larger.
bool Hoister::extends_moved_work(const Node& node) const {
  const OpDef& entry = def(node.op);
  if (node.results.size() != 1 ||
      (!entry.has(kTraitElementwise) && entry.lowering != Lowering::kReduce))
    return false;
  int64_t bytes = 0;
  for (ValueId operand : node.operands) {
    if (!is_stacked(operand)) continue;
    const NodeId producer = body_.def(operand);
    if (producer.valid() && !moves(producer)) return false;
    if (producer.valid()) bytes = std::max(bytes, body_.type(operand).bytes());
  }
  return body_.type(node.results[0]).bytes() <= bytes;
}

void Hoister::choose_before() {
  for (NodeId id : body_.nodes()) {
    const Node& node = body_.node(id);
    if (node.results.size() != 1 || depends_[node.results[0].index] != Depends::kSlice) continue;
    if (moves(id)) continue;
    if (is_contraction(node)) {
      hoist_with_operands(id);
    } else if (extends_moved_work(node) && has_stack_form(node)) {
      moved_[id.index] = 1;
      before_.push_back(id);
    }
  }
}

/// Values that stay in the loop and are read by what moves behind it: they must be yielded.
std::vector<ValueId> Hoister::values_at_edge() const {
  std::vector<ValueId> edge;
  nodes_behind(
      body_, behind_roots_, [&](ValueId v) { return is_stacked(v) && !is_behind(v); },
      [&](ValueId v) {
        if (is_stacked(v) && !loop_.is_slice(loop_.arg_index(v))) edge.push_back(v);
      });
  return edge;
}

/// Contractions that feed no carry, with everything that reads them. What must be kept for all
/// steps then may not be much larger than what they make.
void Hoister::choose_behind() {
  std::vector<ValueId> next;
  for (size_t i = 0; i < loop_.num_carries(); ++i)
    next.push_back(loop_.next(i));
  std::vector<char> stays(body_.node_capacity(), 0);
  for (NodeId id : nodes_behind(body_, next, [](ValueId) { return false; }, {}))
    stays[id.index] = 1;
  int64_t bytes = 0;
  bool possible = true;
  for (NodeId id : body_.nodes()) {
    const Node& node = body_.node(id);
    if (stays[id.index] != 0 || moves(id) || node.results.empty()) continue;
    const bool follows = std::any_of(node.operands.begin(), node.operands.end(),
                                     [&](ValueId v) { return is_behind(v); });
    const bool starts = is_contraction(node) && depends_[node.results[0].index] == Depends::kCarry;
    if (!follows && !starts) continue;
    possible = possible && has_stack_form(node);
    if (starts) bytes += 2 * body_.type(node.results[0]).bytes();
    behind_[id.index] = 1;
  }
  std::set<ValueId> yielded;
  for (size_t i = 0; i < loop_.num_outputs(); ++i) {
    yielded.insert(loop_.yielded(i));
    if (is_behind(loop_.yielded(i))) behind_roots_.push_back(loop_.yielded(i));
  }
  for (ValueId v : values_at_edge()) {
    if (!yielded.contains(v)) bytes -= body_.type(v).bytes();
  }
  if (possible && bytes >= 0) return;
  behind_roots_.clear();
  behind_.assign(body_.node_capacity(), 0);
}

/// What stands outside for a value of the body: of all steps where they differ.
Val Hoister::lift(ValueId value, std::map<ValueId, Val>& lifted) {
  const auto found = lifted.find(value);
  if (found != lifted.end()) return found->second;
  const size_t index = loop_.arg_index(value);
  GRADC_CHECK(index < loop_.num_operands() && index >= loop_.num_carries(),
              "%{} is needed outside of its loop", body_.value(value).name);
  return lifted[value] = builder_.wrap(loop_.operand(index));
}

/// Adds the forms for all steps of nodes in order, with the views of whole values that they read.
void Hoister::lift_all(const std::vector<NodeId>& nodes, std::map<ValueId, Val>& lifted) {
  for (NodeId id : nodes) {
    const Node& node = body_.node(id);
    std::vector<Val> operands;
    std::vector<bool> stacked;
    for (ValueId operand : node.operands) {
      operands.push_back(lift(operand, lifted));
      stacked.push_back(is_stacked(operand));
    }
    builder_.set_location(body_.location(node.loc));
    const bool any = std::find(stacked.begin(), stacked.end(), true) != stacked.end();
    const StackArgs args{builder_, node.attrs, operands, stacked, loop_.attrs().steps};
    std::vector<Val> results;
    if (!any) {
      results = builder_.add_multi(node.op, operands, node.attrs, {},
                                   node.body ? node.body->clone() : nullptr);
    } else if (def(node.op).stack != nullptr) {
      results = def(node.op).stack(args);
    } else {
      std::vector<Val> all;
      for (size_t i = 0; i < operands.size(); ++i)
        all.push_back(args.all_steps(i));
      results = builder_.add_multi(node.op, std::move(all), node.attrs);
    }
    for (size_t i = 0; i < results.size(); ++i) {
      graph_.set_name_hint(results[i].id(), body_.value(node.results[i]).name);
      lifted[node.results[i]] = results[i];
    }
  }
}

void Hoister::move() {
  Replacement replacement(graph_, node_);
  std::map<ValueId, Val> lifted;
  std::vector<ValueId> results;
  LoopChange change;
  for (NodeId id : before_)
    results.insert(results.end(), body_.node(id).results.begin(), body_.node(id).results.end());
  lift_all(nodes_behind(body_, results, [](ValueId) { return false; }, {}), lifted);
  for (ValueId result : results)
    (is_stacked(result) ? change.slices : change.wholes)[result] = lifted.at(result);
  for (size_t i = 0; i < loop_.num_carries(); ++i)
    change.carries.push_back(i);
  for (size_t i = 0; i < loop_.num_outputs(); ++i) {
    if (!is_behind(loop_.yielded(i))) change.outputs.push_back(loop_.yielded(i));
  }
  const size_t kept = change.outputs.size();
  for (ValueId v : values_at_edge()) {
    if (!lifted.contains(v)) change.outputs.push_back(v);
  }
  builder_.set_location(graph_.node(node_).loc);
  NewLoop made;
  if (!change.carries.empty() || !change.outputs.empty())
    made = rebuild_loop(builder_, loop_, change);
  for (size_t i = kept; i < change.outputs.size(); ++i)
    lifted[change.outputs[i]] = made.outputs[i];
  lift_all(nodes_behind(body_, behind_roots_, [&](ValueId v) { return lifted.contains(v); }, {}),
           lifted);

  for (size_t i = 0; i < loop_.num_carries(); ++i)
    replacement.put(loop_.last(i), made.carries[i].id());
  for (size_t i = 0, next = 0; i < loop_.num_outputs(); ++i) {
    const ValueId yielded = loop_.yielded(i);
    const Val now = is_behind(yielded) ? lifted.at(yielded) : made.outputs[next++];
    replacement.put(loop_.stacked(i), now.id());
  }
  replacement.finish();
}

}  // namespace

Result<bool> hoist_loops(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : loops_of(graph)) {
    if (!context.may_rewrite()) continue;
    if (!Hoister(graph, id).run()) continue;
    context.count("loops relieved");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
