// Random graphs, unfused and fused: the kernel program computes what the graph interpreter does.
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "passes/passes.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

void run_pass(Graph& graph, std::string_view name) {
  PassContext context;
  context.begin_pass(name);
  auto changed = find_pass(name)->run(graph, context);
  ASSERT_TRUE(changed.ok()) << changed.message();
}

void lower_random(uint64_t first, uint64_t last, bool fused) {
  for (uint64_t seed = first; seed < last; ++seed) {
    SCOPED_TRACE(seed);
    const auto graph = testing::random_graph(seed);
    run_pass(*graph, "expand_composites");
    if (fused) {
      run_pass(*graph, "canonicalize");
      run_pass(*graph, "fuse");
    }
    const test::LoweredRun run = test::expect_same(*graph, testing::random_inputs(*graph, seed),
                                                   TargetInfo::generic_avx512(), {1e-6, 1e-6});
    if (!run.ok) {
      ADD_FAILURE() << print_graph(*graph);
      return;
    }
  }
}

TEST(LowerRandom, UnfusedGraphsAgree) {
  lower_random(0, 30, false);
}

TEST(LowerRandom, FusedGraphsAgree) {
  lower_random(100, 160, true);
}

}  // namespace
}  // namespace gradc
