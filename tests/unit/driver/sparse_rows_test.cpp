// "sparse": true in compiled code: the same bits with any number of threads, and of rows that every
// step looks up those of a table that is trained as a whole.
#include "driver/exact_run.h"
#include "runtime/dtype.h"
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <map>
#include <vector>

namespace gradc::test {
namespace {

constexpr int64_t kBatch = 16, kSteps = 32;

std::string model(bool sparse, const std::string& optimizer) {
  return R"({"name": "m", "inputs": [{"name": "x", "shape": [32], "dtype": "int32"}], "layers": [
    {"type": "embedding", "name": "e", "input_dim": 700, "output_dim": 64, "sparse": )" +
         std::string(sparse ? "true" : "false") +
         R"(}, {"type": "flatten"}, {"type": "dense", "name": "y", "units": 3}],
    "training": {"loss": "mse", "optimizer": ")" +
         optimizer + R"(", "batch_size": 16}})";
}

/// All weights and slots after three steps on a batch that names some rows more than once.
std::map<std::string, std::vector<uint8_t>> trained(const std::string& text, int threads) {
  const Scratch scratch;
  std::vector<int32_t> x;
  std::vector<float> y(static_cast<size_t>(kBatch) * 3, 0.25F);
  for (int32_t i = 0; i < static_cast<int32_t>(kBatch * kSteps); ++i)
    x.push_back(i * i * 31 % 700);
  const int64_t x_dims[] = {kBatch, kSteps}, y_dims[] = {kBatch, 3};
  rt::Vec<rt::TensorView> inputs;
  inputs.push({"input/x", rt::Dtype::kI32, {x_dims, 2}, x.data(), x.size() * sizeof(int32_t)});
  inputs.push({"target/y", rt::Dtype::kF32, {y_dims, 2}, y.data(), y.size() * sizeof(float)});
  ExactRun run;
  run.model = scratch / "m.json";
  run.in = scratch / "in.safetensors";
  run.out = scratch / "out.safetensors";
  run.entry = "train_step";
  run.steps = 3;
  run.seed = 4;
  run.threads = threads;
  write_text_file(run.model, text);
  EXPECT_TRUE(rt::write_safetensors(run.in.c_str(), inputs.span(), {}).ok());
  SourceSet sources;
  const Status status = run_exact(run, sources);
  EXPECT_TRUE(status.ok()) << status.message();
  rt::SafetensorsFile file;
  std::map<std::string, std::vector<uint8_t>> result;
  if (!status.ok() || !rt::read_safetensors(run.out.c_str(), &file).ok()) return result;
  for (const rt::Array& array : file.arrays)
    result[array.name.c_str()] = {array.data.begin(), array.data.end()};
  return result;
}

TEST(SparseRows, HaveTheSameBitsWithAnyNumberOfThreads) {
  const auto one = trained(model(true, "adam"), 1);
  EXPECT_TRUE(one.contains("optimizer/e/embeddings/velocity"));
  EXPECT_TRUE(one == trained(model(true, "adam"), 2));
  EXPECT_TRUE(one == trained(model(true, "adam"), 3));
  EXPECT_TRUE(one == trained(model(false, "adam"), 2)) << "slots of other rows are still zero";
  EXPECT_FALSE(one == trained(model(true, "sgd"), 1)) << "the comparison must be able to fail";
}

// Where a row that no step names would move, it stays.
TEST(SparseRows, LeaveTheOthersAlone) {
  const auto sparse = trained(model(true, "ftrl"), 1);
  EXPECT_FALSE(sparse == trained(model(false, "ftrl"), 1));
}

}  // namespace
}  // namespace gradc::test
