// Every model in examples/: compiles, passes its numerical gradient check, and trains until its
// loss has clearly fallen.
#include "driver/compiled_model.h"
#include "frontend/native_reader.h"
#include "gradc/session.h"
#include "passes/gradient_check.h"
#include "tests/unit/codegen/kernel_text.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>

namespace gradc::test {
namespace {

std::vector<std::string> example_models() {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(source("examples"))) {
    if (entry.path().extension() == ".json") result.push_back(entry.path().stem().string());
  }
  std::sort(result.begin(), result.end());
  return result;
}

class Example : public ::testing::TestWithParam<std::string> {};

TEST_P(Example, GradientsAgreeWithFiniteDifferences) {
  SourceSet sources;
  auto model = read_model_file(source("examples/" + GetParam() + ".json"), sources);
  ASSERT_TRUE(model.ok()) << model.message();
  int64_t parameters = model->num_trainable();
  if (parameters > 300000)
    GTEST_SKIP() << "the interpreter would take minutes on " << parameters
                 << " parameters; `gradc check` does it";
  auto entry = build_staged(*model, EntryPoint::kGradients, 2, PipelineStage::kGraph, {});
  ASSERT_TRUE(entry.ok()) << entry.message();
  const auto checks = check_gradients(*entry->graph, draw_inputs(*entry->graph, 1));
  ASSERT_TRUE(checks.ok()) << checks.message();
  for (const ParameterCheck& check : *checks)
    EXPECT_TRUE(check.passed) << check.name << " " << check.relative_error;
}

TEST_P(Example, KernelsReadBack) {
  SourceSet sources;
  const auto model = read_model_file(source("examples/" + GetParam() + ".json"), sources);
  ASSERT_TRUE(model.ok()) << model.message();
  std::vector<Diagnostic> warnings;
  const auto tables = make_tables(*model, 3, warnings);
  ASSERT_TRUE(tables.ok()) << tables.message();
  for (const TargetInfo& target : {TargetInfo::generic_sse(), TargetInfo::generic_avx512()}) {
    CompileOptions compile;
    compile.target = target;
    const auto program = lower_entries(*model, entries_of(*model), **tables, compile, nullptr);
    ASSERT_TRUE(program.ok()) << program.message();
    EXPECT_GT(program->kernels.size(), 0U);
    EXPECT_EQ(testing::reading_back_problem(program->kernels), "");
  }
}

/// Learns one batch by heart: inputs at random, integers below nine, float targets in [0, 1],
/// integer targets of 0 and 1.
TEST_P(Example, LossFalls) {
  SessionStatus status;
  const auto session =
      Session::load(source("examples/" + GetParam() + ".json"),
                    {.batch_size = 32, .threads = 1, .seed = 3, .has_seed = true}, &status);
  ASSERT_NE(session, nullptr) << status.message;
  std::mt19937 random(5);
  std::vector<std::vector<std::byte>> memory;
  std::vector<const void*> inputs, targets;
  for (const TensorInfo& tensor : session->tensors()) {
    if (tensor.kind != TensorKind::kInput && tensor.kind != TensorKind::kTarget) continue;
    std::vector<std::byte>& bytes = memory.emplace_back(static_cast<size_t>(tensor.bytes));
    for (size_t i = 0; i < bytes.size() / 4; ++i) {
      const float number = std::uniform_real_distribution<float>(0.0F, 1.0F)(random);
      const int32_t label =
          static_cast<int32_t>(random() % (tensor.kind == TensorKind::kInput ? 9 : 2));
      if (tensor.dtype == "f32") std::memcpy(&bytes[4 * i], &number, 4);
      if (tensor.dtype == "i32") std::memcpy(&bytes[4 * i], &label, 4);
    }
    (tensor.kind == TensorKind::kInput ? inputs : targets).push_back(bytes.data());
  }
  float first = 0.0F, loss = 0.0F;
  for (int step = 0; step < 20000 && (step < 50 || loss >= 0.9F * first); ++step) {
    const SessionStatus done = session->step(inputs, targets, &loss);
    ASSERT_TRUE(done.ok()) << done.message;
    if (step == 0) first = loss;
  }
  EXPECT_LT(loss, 0.9F * first);
}

INSTANTIATE_TEST_SUITE_P(All, Example, ::testing::ValuesIn(example_models()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gradc::test
