// The values of a window's graph as one step sees them, and the rules by which ops make them
// (passes/step_graph.h).
#pragma once

#include "ir/builder.h"
#include "ir/op_attrs.h"

#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace gradc::steps {

/// A value of the window as one step has it.
struct Val1 {
  enum class Kind : uint8_t {
    kFixed,     ///< the same in every step; copied when it is asked for
    kStepwise,  ///< `axis` is the steps: one of them, an extent of 1
    kNow,       ///< what the window comes to if it ends at this step
  };
  Kind kind = Kind::kFixed;
  int axis = 0;
  Val val;
  bool fixed() const { return kind == Kind::kFixed; }
  bool stepwise() const { return kind == Kind::kStepwise; }
  bool now() const { return kind == Kind::kNow; }
};

class StepValues {
 public:
  explicit StepValues(const Graph& window);

  /// The input whose axis 1 is the steps.
  void begin(const GraphInput& data);
  Builder& builder() { return builder_; }
  const Val1& of(ValueId id) const { return known_[id.index]; }
  /// Whether an operand of a node is not fixed.
  bool moves(NodeId id) const;
  /// Builds one step of a node that moves; null, or why there is none.
  const char* step(NodeId id);
  std::shared_ptr<Graph> take() { return std::move(graph_); }

 private:
  using Rule = const char* (StepValues::*)(const Node&);
  static Rule rule_of(Op op);

  // ---- rules: null, or what is wrong (step_rules.cpp, step_loops.cpp)
  const char* elementwise(const Node& node);
  const char* broadcast(const Node& node);
  const char* reshape(const Node& node);
  const char* transpose(const Node& node);
  const char* slice(const Node& node);
  const char* pad(const Node& node);
  const char* concat(const Node& node);
  const char* reverse(const Node& node);
  const char* reduce(const Node& node);
  const char* argmax(const Node& node);
  const char* along_axis(const Node& node);  ///< softmax, log_softmax
  const char* layer_norm(const Node& node);
  const char* matmul(const Node& node);
  const char* gather(const Node& node);
  const char* one_hot(const Node& node);
  const char* conv(const Node& node);
  const char* pool(const Node& node);
  const char* attention(const Node& node);
  const char* scan(const Node& node);
  /// The queries' step has its own batch: time is a batch axis of all operands.
  const char* attention_of_batches(const Node& node, int axis);
  /// What is added to the scores of this step, or tells the keys seen; all keys so far.
  const char* seen_so_far(const Node& node, Val& mask);
  Val slopes_so_far(Val slopes, int rank);

  const Shape& shape(ValueId id) const { return window_.type(id).shape; }
  /// A fixed value, copied.
  Val fixed(ValueId id);
  /// This step of a fixed value along an axis that stands for steps.
  Val at(ValueId id, int axis);
  Val row_at(ValueId id, int axis);
  /// The operand at one step: its own, or that of a fixed one along `axis`. Empty: neither.
  Val operand_at(ValueId id, int axis);
  /// The axis of all operands that move; -1: they differ, or one is "now".
  int common_axis(const Node& node) const;
  bool all_fixed_but(const Node& node, size_t operand) const;

  /// The steps up to this one, the others zeros or what was there: kept in a state, of which a step
  /// writes its own row.
  Val cached(Val step, int axis);
  /// What the steps before have left, zeros at first; `next` by keep().
  Val state(const TensorType& type);
  void keep(Val state, Val next);
  Val position();

  void set(const Node& node, int axis, Val val);
  void set_now(ValueId id, Val val) { known_[id.index] = {Val1::Kind::kNow, 0, val}; }
  Val add(const Node& node, std::vector<Val> operands, AttrRef attrs);

  const Graph& window_;
  std::shared_ptr<Graph> graph_;
  Builder builder_;
  int64_t steps_ = 0;
  std::vector<Val1> known_;  ///< by ValueId of the window
  std::map<std::pair<uint32_t, int>, Val> at_;
  Val position_;
  int states_ = 0;
};

/// The axis of `to` that is an axis of `from`, reshaped; -1 where it is split or joined.
int reshaped_axis(const Shape& from, int axis, const Shape& to);
Shape with_extent(Shape shape, int axis, int64_t extent);

}  // namespace gradc::steps
