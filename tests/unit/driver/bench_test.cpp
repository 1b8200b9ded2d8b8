// gradc bench: what it says of kernels and memory, and that plan says the same.
#include "tests/support/sanitized.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string>

namespace gradc::test {
namespace {

const std::string kModel = std::string(GRADC_SOURCE_DIR) + "/examples/fashion_mnist_mlp.json";

nlohmann::json bench(const std::string& options) {
  const Outcome outcome = gradc("bench " + kModel + " --seconds 0.01 --json " + options);
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  return nlohmann::json::parse(outcome.output, nullptr, false);
}

TEST(Bench, ProfileNamesEveryKernelWithItsLayer) {
  const nlohmann::json result = bench("--threads 2 --profile");
  ASSERT_TRUE(result.contains("profile")) << result;
  const nlohmann::json& profile = result["profile"];
  EXPECT_GE(profile["steps"], 5);
  EXPECT_EQ(profile["bandwidth"].size(), 4U);
  double share = 0.0, milliseconds = 0.0;
  int64_t flops = 0;
  bool found = false;
  for (const nlohmann::json& kernel : profile["kernels"]) {
    EXPECT_GE(kernel["calls"], 1);
    EXPECT_GT(kernel["bytes"], 0);
    share += kernel["share"].get<double>();
    milliseconds += kernel["ms"].get<double>();
    flops += kernel["flops"].get<int64_t>();
    found = found || (kernel["kernel"] == "dense_relu" && kernel["layer"] == "/layers/1");
  }
  EXPECT_TRUE(found) << profile;
  EXPECT_NEAR(share, 1.0, 1e-6);
  EXPECT_LE(milliseconds, profile["step_ms"].get<double>() * 2);  // of the slowest thread each
  // Three products of 64x784x128 and 64x128x10 but for the input's gradient.
  EXPECT_EQ(flops, 2 * 64 * (2 * 784 * 128 + 3 * 128 * 10));
}

TEST(Bench, TraceHasARowForEachThread) {
  const Scratch scratch;
  const std::string file = scratch / "trace.json";
  bench("--threads 2 --trace " + file);
  const nlohmann::json trace = nlohmann::json::parse(read_file(file), nullptr, false);
  ASSERT_TRUE(trace.contains("traceEvents")) << trace;
  int64_t calls[2] = {0, 0};
  for (const nlohmann::json& event : trace["traceEvents"]) {
    if (event["ph"] != "X") continue;
    EXPECT_GE(event["ts"].get<double>(), 0.0);
    EXPECT_GE(event["dur"].get<double>(), 0.0);
    ++calls[event["tid"].get<int>()];
  }
  // Three steps; thread 1 takes no part in what is serial.
  EXPECT_GT(calls[0], calls[1]);
  EXPECT_GT(calls[1], 0);
  EXPECT_EQ(calls[0] % 3, 0);
  const Outcome refused = gradc("bench " + kModel + " --trace /no/such/folder/t.json");
  EXPECT_EQ(refused.code, 1) << refused.output;
}

TEST(Bench, AGraphInAFileIsProfiledAndTracedToo) {
  const Scratch scratch;
  const std::string file = scratch / "fused.gir";
  ASSERT_EQ(gradc("inspect " + kModel + " --stage fused -o " + file).code, 0);
  const std::string options = " --seconds 0.01 --json --profile --trace " + (scratch / "t.json");
  const Outcome outcome = gradc("bench " + file + options);
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const nlohmann::json result = nlohmann::json::parse(outcome.output, nullptr, false);
  ASSERT_TRUE(result.contains("profile")) << result;
  const nlohmann::json of_model = bench("--profile");
  EXPECT_EQ(result["profile"]["kernels"].size(), of_model["profile"]["kernels"].size());
  for (const char* name : {"arena_bytes", "scratch_bytes"})
    EXPECT_EQ(result[name], of_model[name]) << name;
  EXPECT_GT(result["planned_bytes"], result["arena_bytes"]);
  const nlohmann::json trace = nlohmann::json::parse(read_file(scratch / "t.json"), nullptr, false);
  EXPECT_GT(trace["traceEvents"].size(), 3 * result["profile"]["kernels"].size());
}

TEST(Bench, ColdUnlessItIsToldToUseTheCache) {
  const Scratch scratch;
  const auto run = [&](const std::string& options) {
    const Outcome outcome = shell("GRADC_CACHE=" + (scratch / "cache") + " " + tool() + " bench " +
                                  kModel + " --seconds 0.01 --json " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return nlohmann::json::parse(outcome.output, nullptr, false);
  };
  const nlohmann::json first = run("--cache");
  EXPECT_GT(first["kernels"], 0);
  EXPECT_EQ(first["cached_kernels"], 0);
  const nlohmann::json again = run("--cache");
  EXPECT_EQ(again["cached_kernels"], first["kernels"]);
  EXPECT_EQ(again["compile_ms"]["stages"]["llvm_codegen"], 0.0) << again;
  EXPECT_EQ(run("")["cached_kernels"], 0);
}

TEST(Bench, EveryByteIsPlanned) {
  const nlohmann::json result = bench("--threads 1");
  const Outcome planned = gradc("plan " + kModel + " --json");
  const nlohmann::json plan = nlohmann::json::parse(planned.output, nullptr, false);
  for (const char* name : {"arena_bytes", "scratch_bytes", "parameter_bytes"})
    EXPECT_EQ(result[name], plan[name]) << name;
  EXPECT_GT(plan["scratch_bytes"], 0);
  EXPECT_EQ(result["table_bytes"], plan["table_bytes"]);
  EXPECT_GT(result["code_bytes"], 1000);
  const auto bytes = [&](const char* name) { return result[name].get<int64_t>(); };
  const int64_t sum = bytes("arena_bytes") + bytes("scratch_bytes") + bytes("parameter_bytes") +
                      bytes("state_bytes") + bytes("input_bytes") + bytes("output_bytes") +
                      bytes("table_bytes") + bytes("code_bytes");
  // Beside them: the instance itself, its table of pointers, and whole cache lines.
  EXPECT_GE(bytes("planned_bytes"), sum);
  EXPECT_LT(bytes("planned_bytes"), sum + 64 * 1024);
#if !GRADC_SANITIZED
  EXPECT_LT(bytes("resident_bytes") - bytes("planned_bytes"), 15'000'000);
#endif
}

}  // namespace
}  // namespace gradc::test
