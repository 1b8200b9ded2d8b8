// When the rate falls: PyTorch 1.13's ReduceLROnPlateau on the same values, whose patience and
// cooldown are one less than Keras's for the same epochs (threshold_mode "abs").
#include "runtime/monitor.h"

#include <gtest/gtest.h>

#include <vector>

namespace gradc::rt {
namespace {

struct Case {
  ReduceOnPlateau options;
  std::vector<double> values;
  std::vector<int> falls;  ///< epochs, from 1
  double last;             ///< factor
};

const std::vector<Case> kCases = {
    {{true, nullptr, 0.5, 2, 0, -1, 0, 0},
     {0.93,  0.93,  0.824, 0.897, 0.897, 0.897, 0.897, 0.822, 0.876, 0.876, 0.821, 0.855,
      0.855, 0.862, 0.862, 0.862, 0.938, 0.938, 1.009, 1.074, 1.061, 1.067, 1.067, 1.067},
     {5, 7, 10, 13, 15, 17, 19, 21, 23},
     0.001953125},
    {{true, nullptr, 0.1, 3, 0.05, -1, 2, 0},
     {0.89,  0.829, 0.829, 0.829, 0.829, 0.829, 0.784, 0.731, 0.731, 0.731, 0.772, 0.772,
      0.689, 0.578, 0.646, 0.681, 0.681, 0.764, 0.73,  0.74,  0.74,  0.74,  0.7,   0.7},
     {5, 11, 17, 21},
     0.0001},
    {{true, nullptr, 0.5, 2, 0.01, 1, 1, 0.1},
     {0.919, 0.994, 0.994, 1.11,  1.11,  1.11,  1.11,  1.029, 0.991, 0.927, 0.999, 1.116,
      1.077, 0.995, 0.957, 1.042, 1.042, 1.042, 1.001, 1.001, 1.106, 1.224, 1.323, 1.399},
     {6, 8, 10, 12},
     0.1},
    {{true, nullptr, 0.3, 2, 0.0001, -1, 4, 0.02},
     {0.984, 0.908, 0.977, 0.928, 0.976, 1.027, 1.044, 0.981, 0.981, 1.065, 1.065, 1.065,
      1.148, 1.148, 1.161, 1.198, 1.198, 1.198, 1.198, 1.248, 1.312, 1.312, 1.312, 1.379},
     {4, 9, 14, 19},
     0.02},
};

TEST(Plateau, RatesFallWhenPyTorchsDo) {
  for (const Case& c : kCases) {
    PlateauState state;
    std::vector<int> falls;
    double factor = 1.0;
    for (size_t epoch = 0; epoch < c.values.size(); ++epoch) {
      if (!passes_plateau(c.options, c.values[epoch], &state)) continue;
      const double reduced = reduced_factor(c.options, factor);
      if (reduced < factor) falls.push_back(static_cast<int>(epoch) + 1);
      factor = reduced;
    }
    EXPECT_EQ(falls, c.falls);
    EXPECT_NEAR(factor, c.last, 1e-9);
  }
}

TEST(Plateau, WhatIsBelowTheLeastStays) {
  ReduceOnPlateau options;
  options.factor = 0.5;
  options.least = 0.3;
  EXPECT_EQ(reduced_factor(options, 1.0), 0.5);
  EXPECT_EQ(reduced_factor(options, 0.5), 0.3);
  EXPECT_EQ(reduced_factor(options, 0.3), 0.3);
  EXPECT_EQ(reduced_factor(options, 0.2), 0.2);  // another run's
}

}  // namespace
}  // namespace gradc::rt
