// Moving averages of the parameters (the optimizer's "use_ema"): the state
// "optimizer/<layer>/<parameter>/average" of a parameter. Steps keep them; they stand for the
// weights where a training loop evaluates and in what it ends with.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

class Averages {
 public:
  /// Looks for them; nothing is allocated later.
  void find(const Instance& instance);
  /// Weights and averages change places.
  void swap(Instance& instance) const;
  /// The weights become the averages.
  void overwrite(Instance& instance) const;

 private:
  struct Pair {
    size_t weights;  // numbers of tensors
    size_t average;
  };
  Vec<Pair> pairs_;
};

}  // namespace gradc::rt
