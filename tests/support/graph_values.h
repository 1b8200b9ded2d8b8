// Running graphs in tests: random inputs, and comparing what two graphs compute.
#pragma once

#include "ir/interpreter.h"
#include "ir/printer.h"
#include "tests/support/op_samples.h"

#include <gtest/gtest.h>

#include <vector>

namespace gradc::test {

/// Random values for every input of a graph: floats in [low, high], integers below `limit`.
inline std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed, double low = -2.0,
                                         double high = 2.0, int64_t limit = 3) {
  Draw draw(seed);
  std::vector<Tensor> tensors;
  for (const GraphInput& input : graph.inputs()) {
    Tensor& t = tensors.emplace_back(graph.type(input.value));
    for (double& x : t.data) {
      if (is_float(t.type.dtype)) {
        x = draw.uniform(low, high);
      } else {
        x = static_cast<double>(draw.below(t.type.dtype == DType::kBool ? 2 : limit));
      }
    }
  }
  return tensors;
}

inline void expect_near(const Tensor& a, const Tensor& b, double tolerance,
                        const std::string& what) {
  ASSERT_EQ(a.type, b.type) << what;
  for (int64_t i = 0; i < a.size(); ++i)
    ASSERT_TRUE(near(a[i], b[i], tolerance))
        << what << "[" << i << "]: " << a[i] << " and " << b[i];
}

/// Both graphs take the same inputs and give the same outputs and updates.
inline void expect_same_values(const Graph& a, const Graph& b, std::span<const Tensor> inputs,
                               double tolerance) {
  const auto x = interpret(a, inputs);
  const auto y = interpret(b, inputs);
  ASSERT_TRUE(x.ok()) << x.message();
  ASSERT_TRUE(y.ok()) << y.message();
  ASSERT_EQ(x->outputs.size(), y->outputs.size());
  for (size_t i = 0; i < x->outputs.size(); ++i)
    expect_near(x->outputs[i], y->outputs[i], tolerance, "output " + a.outputs()[i].name);
  ASSERT_EQ(x->updates.size(), y->updates.size());
  for (size_t i = 0; i < x->updates.size(); ++i) {
    EXPECT_EQ(x->updates[i].first, y->updates[i].first);
    expect_near(x->updates[i].second, y->updates[i].second, tolerance,
                "update of " + x->updates[i].first);
  }
}

}  // namespace gradc::test
