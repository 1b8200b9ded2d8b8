#include "passes/loops.h"

#include "ir/graph_copy.h"
#include "ir/op.h"
#include "support/check.h"

#include <algorithm>
#include <utility>

namespace gradc {

LoopView::LoopView(const Graph& graph, NodeId id)
    : body_(graph.node(id).body),
      attrs_(graph.node(id).attrs.as<ScanAttrs>()),
      carries_(static_cast<size_t>(attrs_.carries)),
      captures_(carries_ + static_cast<size_t>(attrs_.slices)),
      operands_(graph.node(id).operands),
      results_(graph.node(id).results) {}

std::vector<NodeId> loops_of(const Graph& graph) {
  std::vector<NodeId> loops;
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    if (is_loop(graph, id)) loops.push_back(id);
  }
  return loops;
}

bool is_loop(const Graph& graph, NodeId node) {
  return graph.node(node).op == Op::kScan;
}

namespace {

class LoopBuilder {
 public:
  LoopBuilder(Builder& outer, const LoopView& loop, const LoopChange& change)
      : outer_(outer),
        loop_(loop),
        change_(change),
        body_(std::make_shared<Graph>(loop.body().name())),
        inner_(*body_),
        copier_(loop.body(), inner_) {}

  NewLoop run() {
    std::vector<ValueId> roots;
    for (size_t carry : change_.carries) {
      roots.push_back(loop_.next(carry));
      add_arg(loop_.arg(carry), outer_.wrap(loop_.operand(carry)));
    }
    roots.insert(roots.end(), change_.outputs.begin(), change_.outputs.end());
    std::vector<ValueId> read;
    const std::vector<NodeId> nodes = nodes_behind(
        loop_.body(), roots,
        [&](ValueId v) { return change_.slices.contains(v) || change_.wholes.contains(v); },
        [&](ValueId v) { read.push_back(v); });
    std::sort(read.begin(), read.end());
    ScanAttrs attrs = loop_.attrs();
    attrs.carries = static_cast<int64_t>(operands_.size());
    add_args(read, /*whole=*/false);
    attrs.slices = static_cast<int64_t>(operands_.size()) - attrs.carries;
    add_args(read, /*whole=*/true);
    for (NodeId id : nodes)
      copier_.copy(id);
    for (ValueId root : roots)
      body_->add_output({}, copier_[root].id());
    const std::vector<Val> results =
        outer_.add_multi(Op::kScan, std::move(operands_), make_attrs(attrs), {}, std::move(body_));
    const auto middle = results.begin() + static_cast<std::ptrdiff_t>(change_.carries.size());
    return {{results.begin(), middle}, {middle, results.end()}};
  }

 private:
  void add_arg(ValueId value, Val operand) {
    operands_.push_back(operand);
    copier_.map(value, inner_.input(InputKind::kArg, loop_.body().type(value), {},
                                    loop_.body().value(value).name));
  }

  /// What stands outside for a value that is read, and whether each step sees all of it.
  std::pair<Val, bool> outside(ValueId value) const {
    if (const auto it = change_.slices.find(value); it != change_.slices.end())
      return {it->second, false};
    if (const auto it = change_.wholes.find(value); it != change_.wholes.end())
      return {it->second, true};
    const size_t index = loop_.arg_index(value);
    return {outer_.wrap(loop_.operand(index)), loop_.is_capture(index)};
  }

  /// An operand that is read under several names becomes one arg.
  void add_args(const std::vector<ValueId>& read, bool whole) {
    std::map<ValueId, ValueId> made;  // operand to the value of the old body that has the arg
    for (ValueId value : read) {
      if (copier_[value].valid()) continue;
      const auto [operand, is_whole] = outside(value);
      if (is_whole != whole) continue;
      const auto [it, is_new] = made.emplace(operand.id(), value);
      if (is_new) {
        add_arg(value, operand);
      } else {
        copier_.map(value, copier_[it->second]);
      }
    }
  }

  Builder& outer_;
  const LoopView& loop_;
  const LoopChange& change_;
  std::shared_ptr<Graph> body_;
  Builder inner_;
  NodeCopier copier_;
  std::vector<Val> operands_;
};

}  // namespace

NewLoop rebuild_loop(Builder& builder, const LoopView& loop, const LoopChange& change) {
  return LoopBuilder(builder, loop, change).run();
}

}  // namespace gradc
