// prune_loops - takes out of loops what nobody needs: outputs without a use, carries that only
// feed themselves, carries that never change, args that are not read or read twice, outputs that
// are yielded twice or exist outside already.
#include "ir/graph_copy.h"
#include "ir/replacement.h"
#include "passes/loops.h"
#include "passes/passes.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace gradc::passes {

namespace {

class Pruner {
 public:
  Pruner(Graph& graph, NodeId node) : graph_(graph), node_(node), loop_(graph, node) {}

  /// Whether something was taken out.
  bool run() {
    find_constant_carries();
    find_outputs();
    find_carries();
    if (!changes()) return false;
    rebuild();
    return true;
  }

 private:
  /// Carries that stay as they are: whole operands.
  void find_constant_carries() {
    for (size_t i = 0; i < loop_.num_carries(); ++i)
      constant_.push_back(loop_.next(i) == loop_.arg(i));
  }

  void find_outputs() {
    for (size_t i = 0; i < loop_.num_outputs(); ++i) {
      const ValueId value = loop_.yielded(i);
      const bool is_copy = loop_.is_slice(loop_.arg_index(value));
      if (is_copy || !graph_.has_uses(loop_.stacked(i))) continue;
      if (places_.emplace(value, outputs_.size()).second) outputs_.push_back(value);
    }
  }

  /// A carry is needed when its last value is used, or an output or a needed carry reads it.
  void find_carries() {
    needed_.assign(loop_.num_carries(), false);
    for (size_t i = 0; i < needed_.size(); ++i)
      needed_[i] = !constant_[i] && graph_.has_uses(loop_.last(i));
    for (bool again = true; again;) {
      again = false;
      std::vector<ValueId> roots = outputs_;
      for (size_t i = 0; i < needed_.size(); ++i) {
        if (needed_[i]) roots.push_back(loop_.next(i));
      }
      const auto visit = [&](ValueId v) {
        const size_t i = loop_.arg_index(v);
        if (i >= needed_.size() || constant_[i] || needed_[i]) return;
        needed_[i] = true;
        again = true;
      };
      read_.assign(loop_.num_operands(), false);
      nodes_behind(
          loop_.body(), roots, [](ValueId) { return false; },
          [&](ValueId v) {
            read_[loop_.arg_index(v)] = true;
            visit(v);
          });
    }
  }

  bool changes() const {
    if (outputs_.size() != loop_.num_outputs()) return true;
    if (std::find(needed_.begin(), needed_.end(), false) != needed_.end()) return true;
    std::set<ValueId> slices, wholes;
    for (size_t i = loop_.num_carries(); i < loop_.num_operands(); ++i) {
      if (!read_[i]) return true;
      if (!(loop_.is_slice(i) ? slices : wholes).insert(loop_.operand(i)).second) return true;
    }
    return false;
  }

  void rebuild() {
    Builder builder(graph_);
    builder.set_insertion_point(node_);
    builder.set_phase(graph_.node(node_).phase);
    builder.set_location(graph_.node(node_).loc);
    Replacement replacement(graph_, node_);
    LoopChange change;
    change.outputs = outputs_;
    for (size_t i = 0; i < needed_.size(); ++i) {
      if (needed_[i]) change.carries.push_back(i);
      if (constant_[i]) change.wholes[loop_.arg(i)] = builder.wrap(loop_.operand(i));
    }
    NewLoop made;
    if (!change.carries.empty() || !change.outputs.empty())
      made = rebuild_loop(builder, loop_, change);
    for (size_t i = 0; i < loop_.num_carries(); ++i) {
      if (constant_[i]) replacement.put(loop_.last(i), loop_.operand(i));
    }
    for (size_t i = 0; i < change.carries.size(); ++i)
      replacement.put(loop_.last(change.carries[i]), made.carries[i].id());
    for (size_t i = 0; i < loop_.num_outputs(); ++i) {
      if (!graph_.has_uses(loop_.stacked(i))) continue;
      const size_t arg = loop_.arg_index(loop_.yielded(i));
      if (loop_.is_slice(arg)) {
        replacement.put(loop_.stacked(i), loop_.operand(arg));
        continue;
      }
      replacement.put(loop_.stacked(i), made.outputs[places_.at(loop_.yielded(i))].id());
    }
    replacement.finish();
  }

  Graph& graph_;
  NodeId node_;
  LoopView loop_;
  std::vector<bool> constant_, needed_, read_;  ///< by carry; read_ by operand
  std::vector<ValueId> outputs_;                ///< what is still yielded
  std::map<ValueId, size_t> places_;            ///< in outputs_
};

}  // namespace

Result<bool> prune_loops(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : loops_of(graph)) {
    const Node& node = graph.node(id);
    const bool used = std::any_of(node.results.begin(), node.results.end(),
                                  [&](ValueId v) { return graph.has_uses(v); });
    if (!used || !context.may_rewrite()) continue;  // dce takes it all
    if (!Pruner(graph, id).run()) continue;
    context.count("loops pruned");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
