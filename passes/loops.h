// Taking the op `scan` apart and putting it together again: what the passes on loops share.
#pragma once

#include "ir/builder.h"
#include "ir/graph.h"
#include "ir/op_attrs.h"

#include <map>
#include <memory>
#include <vector>

namespace gradc {

/// The parts of one loop, by position.
class LoopView {
 public:
  LoopView(const Graph& graph, NodeId node);

  const Graph& body() const { return *body_; }
  const ScanAttrs& attrs() const { return attrs_; }
  size_t num_carries() const { return carries_; }
  size_t num_operands() const { return operands_.size(); }
  size_t num_outputs() const { return results_.size() - carries_; }
  bool is_slice(size_t operand) const { return operand >= carries_ && operand < captures_; }
  bool is_capture(size_t operand) const { return operand >= captures_; }
  size_t first_capture() const { return captures_; }
  ValueId operand(size_t i) const { return operands_[i]; }
  ValueId arg(size_t i) const { return body_->inputs()[i].value; }
  /// Which operand an arg of the body is; SIZE_MAX for other values.
  size_t arg_index(ValueId v) const {
    return body_->is_input(v) ? body_->value(v).index : SIZE_MAX;
  }
  /// What a carry becomes, and its last value outside.
  ValueId next(size_t carry) const { return body_->outputs()[carry].value; }
  ValueId last(size_t carry) const { return results_[carry]; }
  /// What each step yields, and all of it outside.
  ValueId yielded(size_t output) const { return body_->outputs()[carries_ + output].value; }
  ValueId stacked(size_t output) const { return results_[carries_ + output]; }

 private:
  std::shared_ptr<Graph> body_;
  ScanAttrs attrs_;
  size_t carries_;
  size_t captures_;
  ValueList operands_;
  ValueList results_;
};

/// Another loop made of the body of one: what is kept of it, and values of the body that come from
/// outside instead.
struct LoopChange {
  std::vector<size_t> carries;    ///< that stay, by position
  std::vector<ValueId> outputs;   ///< what the steps yield, of the old body
  std::map<ValueId, Val> slices;  ///< values of the old body that are slices of these
  std::map<ValueId, Val> wholes;  ///< values of the old body that are these in every step
};

struct NewLoop {
  std::vector<Val> carries;  ///< in the order of LoopChange::carries
  std::vector<Val> outputs;
};

/// Adds the changed loop where the builder stands; its body holds what its results need, and only
/// args that are read, each operand once. The old loop is left as it is.
NewLoop rebuild_loop(Builder& builder, const LoopView& loop, const LoopChange& change);

/// Whether the node is a loop.
bool is_loop(const Graph& graph, NodeId node);
/// The loops of a graph, in order. A snapshot, as Graph::nodes is.
std::vector<NodeId> loops_of(const Graph& graph);

}  // namespace gradc
