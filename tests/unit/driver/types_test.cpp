// Models of other element types through the command: f64 against the interpreter as tightly as f64
// is, mixed precision on real data, the same bits by JIT, by a native binary and without dot
// instructions.
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <vector>

namespace gradc::test {
namespace {

constexpr const char* kModel = R"({"name": "m", "inputs": [{"name": "x", "shape": [8, 8, 3]}],
  "layers": [{"type": "conv2d", "filters": 8, "kernel_size": 3, "padding": "same", "activation": "gelu"},
             {"type": "conv2d", "filters": 8, "kernel_size": 3, "strides": 2, "activation": "tanh"},
             {"type": "batch_normalization"}, {"type": "flatten"},
             {"type": "dense", "units": 24, "activation": "softplus"},
             {"type": "dense", "units": 5, "name": "y"}],
  "training": {"loss": {"type": "sparse_categorical_crossentropy", "from_logits": true},
               "metrics": ["accuracy"], "optimizer": "adam", "batch_size": 16}})";

using Values = std::map<std::string, std::vector<double>>;

Values read_values(const std::string& path) {
  rt::SafetensorsFile file;
  EXPECT_TRUE(rt::read_safetensors(path.c_str(), &file).ok()) << path;
  Values values;
  for (const rt::Array& array : file.arrays) {
    for (size_t i = 0; i < array.count(); ++i)
      values[array.name.c_str()].push_back(rt::load_f64(array.data.data(), array.dtype, i));
  }
  return values;
}

class Types : public ::testing::Test {
 protected:
  Types() {
    std::vector<double> x(16 * 8 * 8 * 3);
    for (size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(0.7 * static_cast<double>(i));
    std::vector<int32_t> y(16);
    for (size_t i = 0; i < y.size(); ++i)
      y[i] = static_cast<int32_t>(i * 7 % 5);
    const int64_t x_dims[] = {16, 8, 8, 3}, y_dims[] = {16};
    const rt::TensorView views[] = {
        {"input/x", rt::Dtype::kF64, {x_dims, 4}, x.data(), x.size() * sizeof(double)},
        {"target/y", rt::Dtype::kI32, {y_dims, 1}, y.data(), y.size() * sizeof(int32_t)}};
    EXPECT_TRUE(rt::write_safetensors(in_.c_str(), {views, 2}, {}).ok());
  }

  Values run(const std::string& dtype, const std::string& entry, const std::string& options) {
    const std::string model = with_dtype(kModel, dtype);
    const std::string out = scratch_ / "out.safetensors";
    const Outcome outcome = gradc("run " + model + " --entry " + entry + " --in " + in_ +
                                  " --out " + out + " --seed 3 " + options);
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    return read_values(out);
  }

  /// A model's text with a policy, as a file.
  std::string with_dtype(std::string text, const std::string& dtype) const {
    const std::string path = scratch_ / (dtype + ".json");
    text.insert(text.find('{') + 1, "\"dtype\": \"" + dtype + "\", ");
    write_text_file(path, text);
    return path;
  }

  const Scratch scratch_;
  const std::string in_ = scratch_ / "in.safetensors";
};

/// The largest difference of two results, each tensor relative to its largest number.
double difference(const Values& a, const Values& b) {
  double worst = 0;
  EXPECT_EQ(a.size(), b.size());
  for (const auto& [name, x] : a) {
    if (name == "loss" || name.starts_with("metric/")) continue;  // f32 whatever the policy is
    const std::vector<double>& y = b.at(name);
    double scale = 0, most = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      scale = std::max(scale, std::fabs(y[i]));
      most = std::max(most, std::fabs(x[i] - y[i]));
    }
    if (most > 0) worst = std::max(worst, most / scale);
  }
  return worst;
}

TEST_F(Types, Float64AgreesWithTheInterpreterAsF64Does) {
  const Values exact = run("float64", "gradients", "--engine interpreter");
  EXPECT_LT(difference(run("float64", "gradients", ""), exact), 1e-12);
  EXPECT_GT(difference(run("float32", "gradients", ""), exact), 1e-9) << "f32 is not that near";
  EXPECT_LT(difference(run("float64", "train_step", "--steps 3"),
                       run("float64", "train_step", "--steps 3 --engine interpreter")),
            1e-6);  // the learning rate is f32
}

TEST_F(Types, MixedIsAsNearAsItsRoundings) {
  const Values exact = run("float64", "gradients", "--engine interpreter");
  const double off = difference(run("mixed_bfloat16", "gradients", ""), exact);
  EXPECT_LT(off, 0.1);  // operands and values between layers have 8 bits
  EXPECT_GT(off, 1e-4) << "nothing was rounded";
}

TEST_F(Types, MixedTrainsOnRealDataAsFarAsF32) {
  const std::string text = read_file(source("examples/fashion_mnist_mlp.json"));
  const std::string data = std::string(" --data ") + fashion_mnist();
  const auto accuracy = [&](const std::string& dtype) {
    const std::string model = with_dtype(text, dtype), weights = scratch_ / "w.safetensors";
    const Outcome trained =
        gradc("train " + model + data + " --seed 7 --epochs 2 --threads 2 --out " + weights);
    EXPECT_EQ(trained.code, 0) << trained.output;
    const Outcome outcome = gradc("eval " + model + data + " --weights " + weights + " --json");
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    const size_t at = outcome.output.find("\"accuracy\":");
    EXPECT_NE(at, std::string::npos) << outcome.output;
    return at == std::string::npos ? 0.0 : std::stod(outcome.output.substr(at + 11));
  };
  const double plain = accuracy("float32"), mixed = accuracy("mixed_bfloat16");
  EXPECT_GT(plain, 0.8);
  EXPECT_NEAR(mixed, plain, 0.01);
}

/// With dot instructions where this machine has them, and without.
TEST_F(Types, NativeBinariesForOtherProcessorsHaveTheBits) {
  const std::string data = std::string(" --data ") + fashion_mnist() + " --seed 7 --epochs 1";
  const std::string model =
      with_dtype(read_file(source("examples/fashion_mnist_mlp.json")), "mixed_bfloat16");
  const std::string a = scratch_ / "a.safetensors", b = scratch_ / "b.safetensors";
  const Outcome jit = gradc("train " + model + data + " --out " + b);
  EXPECT_EQ(jit.code, 0) << jit.output;
  for (const char* cpu : {"native", "x86-64-v3"}) {
    if (cpu[0] == 'x' && gradc("--version").output.find("x86_64") == std::string::npos) continue;
    const Outcome compiled =
        gradc("compile " + model + " --cpu " + cpu + " -o " + (scratch_ / "binary"));
    ASSERT_EQ(compiled.code, 0) << compiled.output;
    const Outcome binary =
        shell((scratch_ / "binary") + " train" + data + " --threads 2 --out " + a);
    EXPECT_EQ(binary.code, 0) << binary.output;
    EXPECT_TRUE(read_file(a) == read_file(b)) << cpu;
  }
}

}  // namespace
}  // namespace gradc::test
