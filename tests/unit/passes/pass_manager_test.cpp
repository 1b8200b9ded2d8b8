// The pass manager: pipelines as text, what is printed, and that it catches passes that lie.
#include "passes/pass_manager.h"

#include "passes/pipeline.h"
#include "support/internal_error.h"
#include "support/text_diff.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace gradc {
namespace {

using testing::parsed;

constexpr const char* kText = R"(graph @small {
  input %x : f32[4] {name=input/x}
forward:
  %0 = exp %x : f32[4]
  %1 = neg %x : f32[4]
  %2 = exp %x : f32[4]
  %3 = add %0, %2 : f32[4]
  return y=%3
}
)";

TEST(Pipeline, ParsesNamesAndRepeatedGroups) {
  const auto steps = parse_pipeline("dce, (canonicalize,cse)*,dce");
  ASSERT_TRUE(steps.ok()) << steps.message();
  ASSERT_EQ(steps->size(), 3U);
  EXPECT_EQ((*steps)[0].pass->name, "dce");
  EXPECT_EQ((*steps)[1].pass, nullptr);
  ASSERT_EQ((*steps)[1].repeated.size(), 2U);
  EXPECT_EQ((*steps)[1].repeated[1].pass->name, "cse");
}

TEST(Pipeline, DiagnosesUnknownPassesAllAtOnce) {
  const auto steps = parse_pipeline("dse,canonicalise");
  ASSERT_FALSE(steps.ok());
  ASSERT_EQ(steps.diagnostics().size(), 2U);
  EXPECT_EQ(steps.diagnostics()[0].message, "unknown pass \"dse\"");
  EXPECT_EQ(steps.diagnostics()[1].help, "did you mean \"canonicalize\"?");
}

TEST(Pipeline, DiagnosesWrongSyntax) {
  for (const char* text : {"(dce", "(dce)", "dce)", "dce dce", "(dce)*dce"})
    EXPECT_FALSE(parse_pipeline(text).ok()) << text;
  EXPECT_TRUE(parse_pipeline("").ok());
}

TEST(Pipeline, StandardPipelinesNameKnownPassesUpToEachStage) {
  using enum PipelineStage;
  EXPECT_EQ(pipeline_text(PipelineKind::kForward, kGraph), "");
  for (PipelineKind kind :
       {PipelineKind::kForward, PipelineKind::kGradients, PipelineKind::kTrainStep}) {
    const auto steps = parse_pipeline(pipeline_text(kind, kOptimized));
    EXPECT_TRUE(steps.ok()) << steps.message();
    for (const PipelineEntry& entry : pipeline_entries(kind))
      EXPECT_FALSE(entry.reason.empty());
  }
}

TEST(DebugCounters, ParseARangeOrANumber) {
  const auto range = parse_debug_counter("cse:2-17");
  ASSERT_TRUE(range.ok());
  EXPECT_EQ(range->first, "cse");
  EXPECT_EQ(range->second.first, 2);
  EXPECT_EQ(range->second.last, 17);
  const auto one = parse_debug_counter("cse:3");
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->second.first, one->second.last);
  for (const char* wrong : {"cse", "cse:", "cse:a-b", "nothing:1", "cse:1-"})
    EXPECT_FALSE(parse_debug_counter(wrong).ok()) << wrong;
}

TEST(PassManager, RunsCountsAndTimes) {
  const auto graph = parsed(kText);
  ASSERT_NE(graph, nullptr);
  TimeReport times;
  PassManagerOptions options;
  options.times = &times;
  PassContext context;
  ASSERT_TRUE(run_passes(*graph, "(cse,dce)*", context, options).ok());
  EXPECT_EQ(graph->num_nodes(), 2U);
  EXPECT_EQ(context.statistics.get("cse: nodes merged"), 1);
  EXPECT_EQ(context.statistics.get("dce: nodes removed"), 1);
  ASSERT_EQ(times.entries().size(), 2U);
  EXPECT_EQ(times.entries()[0].count, 2);
}

TEST(PassManager, DebugCounterLetsOneRewriteThrough) {
  const auto graph = parsed(kText);
  ASSERT_NE(graph, nullptr);
  PassContext context;
  context.debug_counters["cse"] = {1, 5};
  ASSERT_TRUE(run_passes(*graph, "cse", context).ok());
  EXPECT_EQ(graph->num_nodes(), 4U);
}

TEST(PassManager, PrintsTheDifference) {
  const auto graph = parsed(kText);
  ASSERT_NE(graph, nullptr);
  std::string printed;
  PassManagerOptions options;
  options.print_changed = true;
  options.print = [&](std::string_view text) { printed += text; };
  PassContext context;
  ASSERT_TRUE(run_passes(*graph, "dce,dce", context, options).ok());
  EXPECT_EQ(printed,
            "// changed by dce\n"
            "-   %1 = neg %x : f32[4]\n"
            "\n"
            "// unchanged by dce\n");
}

TEST(PassManager, PrintsDumpsAndStops) {
  const auto graph = parsed(kText);
  ASSERT_NE(graph, nullptr);
  std::string printed;
  PassManagerOptions options;
  options.print_after = {"cse"};
  options.stop_after = "cse";
  std::map<std::string, std::string> dumped;
  options.dump = [&](const std::string& name, std::string_view text) {
    dumped[name] = text;
    return Ok{};
  };
  options.print = [&](std::string_view text) { printed += text; };
  PassContext context;
  ASSERT_TRUE(run_passes(*graph, "cse,dce", context, options).ok());
  EXPECT_EQ(graph->num_nodes(), 3U);  // dce did not run
  EXPECT_EQ(printed, "// after cse\n" + print_graph(*graph));
  ASSERT_EQ(dumped.size(), 1U);  // nothing of dce
  EXPECT_EQ(dumped["01-cse.gir"], print_graph(*graph));
}

// ---- passes that break the rules
// -------------------------------------------------------------------

Result<bool> says_nothing_changed(Graph& graph, PassContext&) {
  graph.remove_output(0);
  return false;
}
Result<bool> says_something_changed(Graph&, PassContext&) {
  return true;
}
Result<bool> breaks_the_order(Graph& graph, PassContext&) {
  graph.move_before(graph.last_node(), graph.first_node());
  return true;
}

void run_broken(PassFn run) {
  const PassInfo info{"broken", run, ""};
  const auto graph = parsed(kText);
  PassContext context;
  PassManager manager(std::vector<PipelineStep>{{&info, {}}});
  (void)manager.run(*graph, context);
}

/// What the manager throws when the pass is run.
std::string complaint(PassFn run) {
  try {
    run_broken(run);
  } catch (const InternalError& error) {
    return error.what();
  }
  return "";
}

TEST(PassManager, CatchesPassesThatLieOrBreakTheGraph) {
  EXPECT_NE(complaint(says_nothing_changed)
                .find("pass broken said that it did not change the graph, but it did"),
            std::string::npos);
  EXPECT_NE(complaint(says_something_changed)
                .find("pass broken said that it changed the graph, but it did not"),
            std::string::npos);
  EXPECT_NE(complaint(breaks_the_order).find("pass broken broke the graph"), std::string::npos);
}

TEST(LineDiff, ShowsRunsOfDifferences) {
  EXPECT_EQ(line_diff("a\nb\nc\nd\n", "a\nx\nc\n"), "- b\n+ x\n\n- d\n\n");
  EXPECT_EQ(line_diff("a\n", "a\n"), "");
  EXPECT_EQ(line_diff("", "a\nb\n"), "+ a\n+ b\n\n");
}

}  // namespace
}  // namespace gradc
