// Runs an entry graph of a model text on the reference interpreter, by names of tensors.
#pragma once

#include "frontend/graph_builder.h"
#include "ir/interpreter.h"
#include "ir/verifier.h"
#include "tests/unit/frontend/model_text.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace gradc {

using Named = std::map<std::string, std::vector<double>>;

struct RunResult {
  Named outputs;
  Named updates;
};

/// Builds and verifies one entry and evaluates it; inputs that are not given are zeros, except
/// moving variances and gammas: ones.
inline RunResult run_model(const std::string& text, const EntryRequest& request,
                           const Named& given) {
  RunResult result;
  const Result<Model> model = parse_model(text);
  EXPECT_TRUE(model.ok()) << problems_of(text);
  if (!model.ok()) return result;
  Result<EntryGraph> entry = build_entry_graph(model.value(), request);
  EXPECT_TRUE(entry.ok()) << entry.message();
  if (!entry.ok()) return result;
  const Graph& graph = *entry.value().graph;
  const auto violations = find_violations(graph);
  EXPECT_TRUE(violations.empty()) << print_violations(graph, violations);
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    Tensor tensor(graph.type(input.value));
    const bool ones = input.name.ends_with("moving_variance") || input.name.ends_with("gamma");
    if (ones) tensor.data.assign(tensor.data.size(), 1.0);
    if (const auto found = given.find(input.name); found != given.end()) {
      EXPECT_EQ(found->second.size(), tensor.data.size()) << input.name;
      tensor.data = found->second;
    }
    inputs.push_back(std::move(tensor));
  }
  const auto values = interpret(graph, inputs);
  EXPECT_TRUE(values.ok()) << values.message();
  if (!values.ok()) return result;
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    result.outputs[graph.outputs()[i].name] = values.value().outputs[i].data;
  }
  for (const auto& [name, tensor] : values.value().updates)
    result.updates[name] = tensor.data;
  return result;
}

inline void expect_near(const std::vector<double>& got, const std::vector<double>& want,
                        double tolerance = 1e-6) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    EXPECT_NEAR(got[i], want[i], tolerance) << "element " << i;
}

}  // namespace gradc
