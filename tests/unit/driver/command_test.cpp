// The command's exit codes, and the diagnostics that need a machine that is not as it should be.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

namespace gradc::test {
namespace {

const std::string kModel = source("examples/regression_100.json");

TEST(Command, ExitCodes) {
  EXPECT_EQ(gradc("--help").code, 0);
  EXPECT_EQ(gradc("--version").code, 0);
  EXPECT_EQ(gradc("").code, 2);
  EXPECT_EQ(gradc("train").code, 2);
  EXPECT_EQ(gradc("inspect " + kModel + " --stage nonsense").code, 2);
  EXPECT_EQ(gradc("inspect /no/such/model.json").code, 1);
  for (const char* page : {"ops", "layers", "schema"})
    EXPECT_EQ(gradc(page).code, 0) << page;
}

TEST(Command, EveryStageOfAModelIsShown) {
  for (const char* stage : {"graph", "gradient", "optimized", "fused", "scheduled", "planned",
                            "kernels", "llvm", "asm"}) {
    const Outcome outcome = gradc("inspect " + kModel + " --stage " + stage);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_GT(outcome.output.size(), 500U) << stage;
  }
}

TEST(Command, GraphStagesReadBackEqual) {
  const Scratch scratch;
  for (const char* stage : {"graph", "gradient", "optimized", "fused", "scheduled"}) {
    const std::string file = scratch / (std::string(stage) + ".gir");
    ASSERT_EQ(gradc("inspect " + kModel + " --stage " + stage + " -o " + file).code, 0);
    const Outcome again = gradc("inspect " + file);
    ASSERT_EQ(again.code, 0) << again.output;
    EXPECT_EQ(again.output, read_file(file)) << stage;
  }
}

TEST(Command, ArenaEqualsItsLowerBound) {
  const Outcome outcome = gradc("plan " + source("examples/fashion_mnist_mlp.json"));
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.output.find("100.0 % of the lower bound"), std::string::npos) << outcome.output;
}

TEST(Command, FilesThatCannotBeWritten) {
  const Outcome outcome = gradc("inspect " + kModel + " -o /no/such/folder/out.gir");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("[file-unwritable]"), std::string::npos) << outcome.output;
}

TEST(Command, DataThatCannotBeUsed) {
  const Scratch scratch;
  write_text_file(scratch / "in.safetensors", "no tensors here");
  const Outcome outcome =
      gradc("run " + kModel + " --entry predict --in " + (scratch / "in.safetensors") + " --out " +
            (scratch / "out.safetensors"));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("[invalid-data]"), std::string::npos) << outcome.output;
  EXPECT_FALSE(std::filesystem::exists(scratch / "out.safetensors"));
}

TEST(Command, ToolsThatAreMissingOrFail) {
  const Scratch scratch;
  const std::string compile = tool() + " compile " + kModel + " -o " + (scratch / "binary");
  const Outcome missing = shell("env -u CC PATH=/no/such/folder " + compile);
  EXPECT_EQ(missing.code, 1);
  EXPECT_NE(missing.output.find("[tool-missing]"), std::string::npos) << missing.output;
  const Outcome failed = shell("env CC=false " + compile);
  EXPECT_EQ(failed.code, 1);
  EXPECT_NE(failed.output.find("[tool-failed]"), std::string::npos) << failed.output;
  EXPECT_FALSE(std::filesystem::exists(scratch / "binary"));
}

}  // namespace
}  // namespace gradc::test
