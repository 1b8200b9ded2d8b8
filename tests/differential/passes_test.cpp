// Every pass on random graphs: the graph verifies (the pass manager's check) and computes the same
// numbers. A failure prints the smallest graph found on which it still happens.
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/support/same_numbers.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr uint64_t kGraphs = 200;

/// What goes wrong when the pipeline runs on the graph; empty: nothing.
std::string problem_of(const Graph& graph, const std::string& pipeline, uint64_t seed) {
  const auto after = graph.clone();
  PassContext context;
  const Status status = run_passes(*after, pipeline, context);
  if (!status.ok()) return status.message();
  return testing::numbers_difference(graph, *after, seed, {1e-7, 1e-9});
}

class PassOnRandomGraphs : public ::testing::TestWithParam<std::string> {};

TEST_P(PassOnRandomGraphs, KeepsTheNumbers) {
  for (uint64_t seed = 0; seed < kGraphs; ++seed) {
    testing::RandomGraphOptions options;
    options.num_nodes = 12 + static_cast<int>(seed % 13);
    const auto graph = testing::random_graph(seed, options);
    const std::string problem = problem_of(*graph, GetParam(), seed);
    if (problem.empty()) continue;
    const auto small = testing::shrink_graph(*graph, [&](const Graph& candidate) {
      return !problem_of(candidate, GetParam(), seed).empty();
    });
    FAIL() << "seed " << seed << ", " << GetParam() << ": " << problem << "\nshrunk:\n"
           << print_graph(*small) << problem_of(*small, GetParam(), seed);
  }
}

/// apply_optimizer needs a model's optimizer; it has its own tests.
std::vector<std::string> pipelines() {
  std::vector<std::string> result;
  for (const PassInfo& pass : all_passes()) {
    if (pass.name == "apply_optimizer") continue;
    std::string text(pass.name);
    if (pass.name == "fuse") text = "expand_composites,fuse";  // works on primitives
    if (pass.name == "plan_memory") text = "expand_composites,fuse,schedule,in_place,plan_memory";
    result.push_back(text);
  }
  result.emplace_back("differentiate,expand_composites,(cse,dce)*");
  return result;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name) {
    if ((c < 'a' || c > 'z') && c != '_') c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Passes, PassOnRandomGraphs, ::testing::ValuesIn(pipelines()), test_name);

}  // namespace
}  // namespace gradc
