// Rows that do not count in the loss: not computed, whatever their number, and nothing else
// changes. The graph that is compacted computes what the graph as written does; fused, it does so
// although rows that are not specified are NaN; lowered and compiled too, with the same bits by any
// number of threads and on wide and narrow vectors.
#include "tests/unit/codegen/counted_nets.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace gradc {
namespace {

using namespace counted;

std::vector<Net> nets() {
  std::vector<Net> nets;
  for (const double share : {0.0, 0.02, 0.15, 0.6, 1.0}) {
    nets.push_back({.share = share});
    nets.push_back({.transform = true, .tied = true, .metric = true, .share = share});
  }
  nets.push_back({.bias = false, .all = true});
  nets.push_back({.transform = true, .metric = true, .all = true, .share = 0.3});
  nets.push_back({.batch = 1, .steps = 131, .width = 21, .classes = 203, .transform = true});
  nets.push_back({.batch = 37, .steps = 7, .width = 33, .classes = 101, .scores = true});
  nets.push_back({.transform = true, .constant = true});
  nets.push_back(
      {.batch = 64, .steps = 1, .width = 48, .classes = 130, .tied = true, .scores = true});
  for (const double share : {0.0, 0.4})
    nets.push_back({.batch = 40, .steps = 17, .width = 33, .classes = 101, .share = share});
  // Tables whose gradient is one of the rows that occur.
  nets.push_back({.width = 112, .classes = 600, .tied = true});
  nets.push_back({.width = 112, .classes = 600, .transform = true, .share = 0.5});
  return nets;
}

TEST(CountedRows, GraphsKeepTheirNumbers) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext plain, compact, fused;
    const auto reference = passed(*graph, kStep, plain);
    const auto compacted = passed(*graph, "compact_rows," + kStep, compact);
    EXPECT_GE(compact.statistics.get("compact_rows: masks whose rows alone are computed"), 1);
    const auto skipping =
        passed(*graph, "compact_rows," + kStep + ",fuse,skip_rows,schedule", fused);
    EXPECT_GE(fused.statistics.get("skip_rows: kernels that skip rows"), 3);
    const std::vector<Tensor> inputs = inputs_of(*graph, n, 7);
    const auto wanted = interpret(*reference, inputs);
    ASSERT_TRUE(wanted.ok()) << wanted.message();
    expect_equal_outputs(*interpret(*compacted, inputs), *wanted, 1e-12, "compacted");
    expect_equal_outputs(*interpret(*skipping, inputs), *wanted, 1e-12, "skipping");
  }
}

TEST(CountedRows, KernelsAgreeWithTheInterpreter) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext plain, context;
    const auto reference = passed(*graph, kStep, plain);
    const auto planned = passed(
        *graph, "compact_rows," + kStep + ",fuse,skip_rows,schedule,in_place,plan_memory", context);
    const test::LoweredRun run =
        test::expect_same(*reference, *planned, *context.plan, inputs_of(*graph, n, 8),
                          TargetInfo::generic_avx512(), {1e-9, 1e-9});
    ASSERT_TRUE(run.ok);
    EXPECT_GE(test::count_of(run.text, " m_below="), 2) << run.text;
    EXPECT_GE(test::count_of(run.text, " k_below="), 1) << run.text;
    EXPECT_GE(test::count_of(run.text, " below="), 1) << run.text;
  }
}

TEST(CountedRows, CompiledCodeHasTheSameBitsEverywhere) {
  for (const Net& n : nets()) {
    SCOPED_TRACE(text_of(n));
    const auto graph = forward(n);
    PassContext context, plain;
    const std::string last = ",schedule,in_place,plan_memory";
    const auto planned =
        passed(*graph, "compact_rows," + kStep + ",fuse,skip_rows" + last, context);
    std::vector<Tensor> inputs = inputs_of(*graph, n, 9);
    for (Tensor& t : inputs)
      t = test::from_bytes(t.type, test::to_bytes(t));
    const TargetInfo host = TargetInfo::host();
    const test::Memory wanted = compiled(*planned, *context.plan, inputs, host, 1);
    EXPECT_TRUE(compiled(*planned, *context.plan, inputs, host, 2) == wanted) << "2 threads";
    EXPECT_TRUE(compiled(*planned, *context.plan, inputs, host, 3) == wanted) << "3 threads";
    if (host.triple.substr(0, 6) == "x86_64" && host.has_fma) {
      EXPECT_TRUE(compiled(*planned, *context.plan, inputs, TargetInfo::generic_avx2(), 2) ==
                  wanted)
          << "AVX2";
    }
    TargetInfo small = host;  // sums that end early in several blocks of k, inside and outside
    small.l1_bytes = 8 * 1024;
    small.l2_bytes = 16 * 1024;
    EXPECT_TRUE(compiled(*planned, *context.plan, inputs, small, 2) == wanted) << "small caches";
    // The loss has the bits that it has where all rows are computed.
    const auto all = passed(*graph, kStep + ",fuse" + last, plain);
    const test::Memory whole = compiled(*all, *plain.plan, inputs, host, 1);
    EXPECT_TRUE(whole[inputs.size()] == wanted[inputs.size()]) << "loss";
    const auto expected = interpret(*all, inputs);
    ASSERT_TRUE(expected.ok()) << expected.message();
    for (size_t i = 0; i < expected->outputs.size(); ++i) {
      const Tensor& want = expected->outputs[i];
      EXPECT_EQ(testing::tensor_difference(test::from_bytes(want.type, wanted[inputs.size() + i]),
                                           want, {2e-5, 2e-5}),
                "")
          << graph->outputs().size() << " " << i;
    }
  }
}

TEST(CountedRows, WhatElseIsReadChangesNoBit) {
  Net n = {.transform = true, .tied = true, .share = 0.3};
  std::map<std::string, std::vector<std::byte>> first;
  for (const bool more : {false, true}) {
    n.metric = n.all = more;
    const auto graph = forward(n);
    PassContext context;
    const auto planned = passed(
        *graph, "compact_rows," + kStep + ",fuse,skip_rows,schedule,in_place,plan_memory", context);
    std::vector<Tensor> inputs = inputs_of(*graph, n, 5);
    const test::Memory memory = compiled(*planned, *context.plan, inputs, TargetInfo::host(), 2);
    for (size_t i = 0; i < planned->outputs().size(); ++i) {
      const auto [entry, fresh] =
          first.try_emplace(planned->outputs()[i].name, memory[inputs.size() + i]);
      if (fresh) continue;
      EXPECT_TRUE(entry->second == memory[inputs.size() + i]) << entry->first;
    }
  }
  EXPECT_GT(first.size(), 9U);
}

TEST(CountedRows, WhatIsSmallOrHasNoMaskStaysAsItIs) {
  PassContext context;
  const auto small = forward({.batch = 2, .steps = 4, .width = 8, .classes = 8});
  passed(*small, "compact_rows", context);
  EXPECT_EQ(context.statistics.get("compact_rows: masks whose rows alone are computed"), 0);
}

}  // namespace
}  // namespace gradc
