// A scan under construction: its body, and what the loop reads.
#pragma once

#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <memory>
#include <utility>
#include <vector>

namespace gradc::layers {

/// Args of the body are made in the order of a scan's operands: carries, slices, wholes.
class LoopBody {
 public:
  LoopBody(Builder& outer, int64_t steps, bool reverse) : outer_(outer) {
    attrs_.steps = steps;
    attrs_.reverse = reverse;
    builder_.set_location(outer.graph().location(outer.location()));
  }
  LoopBody(const LoopBody&) = delete;
  LoopBody& operator=(const LoopBody&) = delete;

  Val carry(Val first, std::string_view hint) {
    GRADC_CHECK(attrs_.slices == 0 && !wholes_, "carries come first");
    ++attrs_.carries;
    return arg(first, first.type(), hint);
  }
  /// One step of a stack.
  Val slice(Val stack, std::string_view hint) {
    GRADC_CHECK(!wholes_, "slices come before what every step sees whole");
    ++attrs_.slices;
    return arg(stack, stack.type().with(Shape(stack.shape().dims().subspan(1))), hint);
  }
  Val whole(Val value, std::string_view hint) {
    wholes_ = true;
    return arg(value, value.type(), hint);
  }
  /// What a step yields: the next value of each carry, then outputs.
  void yield(Val value) { graph_->add_output({}, value.id()); }
  /// The loop's results: last carries, stacked outputs.
  std::vector<Val> run() {
    return outer_.add_multi(Op::kScan, std::move(operands_), make_attrs(attrs_), {},
                            std::move(graph_));
  }

 private:
  Val arg(Val operand, const TensorType& type, std::string_view hint) {
    operands_.push_back(operand);
    return builder_.input(InputKind::kArg, type, {}, hint);
  }

  Builder& outer_;
  std::shared_ptr<Graph> graph_ = std::make_shared<Graph>("step");
  Builder builder_{*graph_};
  ScanAttrs attrs_;
  std::vector<Val> operands_;
  bool wholes_ = false;
};

}  // namespace gradc::layers
