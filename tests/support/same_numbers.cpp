#include "tests/support/same_numbers.h"

#include "ir/interpreter.h"
#include "tests/support/random_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

namespace gradc::testing {

namespace {

struct Numbers {
  std::map<std::string, Tensor> named;
  std::string problem;
};

Numbers run(const Graph& graph, uint64_t seed) {
  Numbers numbers;
  auto result = interpret(graph, random_inputs(graph, seed));
  if (!result.ok()) {
    numbers.problem = result.message();
    return numbers;
  }
  for (size_t i = 0; i < result->outputs.size(); ++i) {
    const std::string& name = graph.outputs()[i].name;
    numbers.named[name.empty() ? fmt::format("output {}", i) : "output " + name] =
        std::move(result->outputs[i]);
  }
  for (auto& [name, value] : result->updates)
    numbers.named["update of " + name] = std::move(value);
  return numbers;
}

}  // namespace

std::string numbers_difference(const Graph& before, const Graph& after, uint64_t seed,
                               const Tolerance& tolerance) {
  const Numbers expected = run(before, seed);
  const Numbers actual = run(after, seed);
  if (!expected.problem.empty() || !actual.problem.empty())
    return expected.problem + actual.problem;
  for (const auto& [name, value] : expected.named) {
    const auto found = actual.named.find(name);
    const bool consumed =
        name.starts_with("output gradient/") || name.starts_with("output optimizer/");
    if (found == actual.named.end() && consumed) continue;  // by the optimizer
    if (found == actual.named.end()) return name + " is gone";
    const std::string difference = tensor_difference(found->second, value, tolerance);
    if (!difference.empty()) return name + ": " + difference;
  }
  return {};
}

int64_t largest_value(const Graph& graph) {
  int64_t largest = 0;
  for (const GraphInput& input : graph.inputs())
    largest = std::max(largest, graph.type(input.value).num_elements());
  for (NodeId id : graph.nodes()) {
    for (ValueId result : graph.node(id).results)
      largest = std::max(largest, graph.type(result).num_elements());
  }
  return largest;
}

}  // namespace gradc::testing
