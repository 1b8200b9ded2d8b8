// What the positions of a batch make of losses and metrics: means or sums over those that count.
#pragma once

#include "frontend/model.h"
#include "ir/builder.h"

#include <functional>

namespace gradc {

struct MeanOfMetric {
  Val value;
  std::vector<Val> parts;  ///< means that it follows from; empty: it is a mean itself
};

/// The loss and the metrics of one output. A position (a row of the last axis) does not count where
/// the output's mask says so, where its target is the loss's "ignore_class", and in examples that
/// only fill up the last batch. The mean over none is 0.
class OutputScores {
 public:
  /// `mask` is bool[batch, steps], `tail` f32[batch] with 0 for examples that do not count; either
  /// may be empty.
  OutputScores(const Component& loss, Val output, Val target, Val mask, Val tail);

  /// `sample_weights` is f32[batch], `class_weights` f32[classes]; either may be empty. They
  /// multiply the values of positions; what a mean is divided by stays, as in Keras.
  Val loss(Val sample_weights, Val class_weights) const;
  /// The loss's values, [batch, ...], where it is not made of this output and target alone.
  void take(Val values) { values_ = values; }
  MeanOfMetric metric(const OutputMetric& metric) const;
  /// For metrics that are weighted: from then on their means are sums of weighted values, divided
  /// by the sum of the weights (as Keras's, 0 by 0 is 0), which is given. Both empty: all weigh 1.
  Val weigh(Val sample_weights, Val class_weights);
  /// How many positions count, f32; empty where all do but for the tail's.
  Val count() const { return count_; }

 private:
  /// Over all axes but the last `kept`.
  Val mean(Val values, int64_t kept = 0) const;
  Val weighted_mean(Val values, int64_t kept) const;
  Val sum(Val values) const;
  /// Of a loss of examples or batches as a whole.
  Val whole_values() const;
  Val batch_loss() const;
  /// The class of each position, i32.
  Val classes() const;

  const Component& loss_;
  Val output_;
  Val target_;  ///< classes that are ignored replaced by one that exists
  Val tail_;
  Val counted_;  ///< bool[batch, positions...]; empty: all
  Val steps_;    ///< the mask, where it is the loss's own matter
  Val count_;
  Val values_;      ///< empty: the loss says how they are made
  Val weights_;     ///< of each position that counts, f32[batch, positions...], else 0
  Val weight_sum_;  ///< f32
};

/// A penalty on the rows of a result that count, divided by the number of examples; a result may
/// have several rows for each example. Empty where `make` makes nothing.
Val mean_penalty(Val result, Val tail, int64_t examples, const std::function<Val(Val)>& make);

}  // namespace gradc
