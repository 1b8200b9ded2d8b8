// Replays stored results of PyTorch (scripts/compare_torch.py --store tests/peer) through `gradc
// run`'s code: gradients of every activation, loss, convolution and pooling setting, and weights
// after 20 steps of every optimizer, by compiled code; a part of them by the interpreter too.
#include "driver/exact_run.h"
#include "runtime/dtype.h"
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace gradc::test {
namespace {

constexpr double kGradientBound = 1e-5, kWeightBound = 1e-4;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<std::string> stored_cases() {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(source("tests/peer"))) {
    if (entry.path().extension() == ".json") result.push_back(entry.path().stem().string());
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<double> doubles(const rt::Array& array) {
  std::vector<double> result(array.count());
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = rt::load_f64(array.data.data(), array.dtype, i);
  return result;
}

/// max |a - b| / max |b| over all expected tensors.
double largest_difference(const rt::SafetensorsFile& expected, const rt::SafetensorsFile& actual) {
  double worst = 0.0;
  for (const rt::Array& want : expected.arrays) {
    if (!want.name.starts_with("expected/")) continue;
    const rt::Array* got = actual.find(want.name.c_str() + std::string_view("expected/").size());
    if (got == nullptr || got->count() != want.count()) return kInfinity;
    const std::vector<double> a = doubles(*got), b = doubles(want);
    double scale = 1e-12, difference = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
      scale = std::max(scale, std::abs(b[i]));
      difference = std::isfinite(a[i]) ? std::max(difference, std::abs(a[i] - b[i])) : kInfinity;
    }
    worst = std::max(worst, difference / scale);
  }
  return worst;
}

double run_case(const std::string& name, bool interpreter) {
  const Scratch scratch;
  const std::string base = source("tests/peer/" + name);
  rt::SafetensorsFile stored, actual;
  EXPECT_TRUE(rt::read_safetensors((base + ".safetensors").c_str(), &stored).ok());
  rt::Vec<rt::TensorView> inputs;
  for (const rt::Array& array : stored.arrays) {
    if (array.name.starts_with("expected/")) continue;
    inputs.push(
        {array.name.c_str(), array.dtype, array.dims.span(), array.data.data(), array.data.size()});
  }
  const std::string in = scratch / "in.safetensors", out = scratch / "out.safetensors";
  EXPECT_TRUE(rt::write_safetensors(in.c_str(), inputs.span(), {}).ok());
  ExactRun run;
  run.model = base + ".json";
  run.entry = name.substr(name.rfind('.') + 1);
  run.in = in;
  run.out = out;
  run.steps = 20;
  run.interpreter = interpreter;
  SourceSet sources;
  const Status status = run_exact(run, sources);
  EXPECT_TRUE(status.ok()) << name << ": " << status.message();
  if (!status.ok()) return kInfinity;
  EXPECT_TRUE(rt::read_safetensors(out.c_str(), &actual).ok());
  return largest_difference(stored, actual);
}

TEST(Peer, CompiledCodeAgreesWithPyTorch) {
  const std::vector<std::string> cases = stored_cases();
  ASSERT_GE(cases.size(), 90U);
  double worst_gradient = 0.0, worst_weight = 0.0;
  for (const std::string& name : cases) {
    const bool gradients = name.ends_with(".gradients");
    const double difference = run_case(name, false);
    EXPECT_LT(difference, gradients ? kGradientBound : kWeightBound) << name;
    double& worst = gradients ? worst_gradient : worst_weight;
    worst = std::max(worst, difference);
  }
  std::printf(
      "largest relative difference over %zu cases: gradients %.2e, weights after 20 steps %.2e\n",
      cases.size(), worst_gradient, worst_weight);
}

TEST(Peer, InterpreterAgreesWithPyTorch) {
  double worst = 0.0;
  for (const std::string& name : stored_cases()) {
    if (!name.ends_with(".gradients")) continue;
    const double difference = run_case(name, true);
    EXPECT_LT(difference, 2e-6) << name;  // both in double; the files hold f32
    worst = std::max(worst, difference);
  }
  std::printf("largest relative difference of the interpreter's gradients: %.2e\n", worst);
}

}  // namespace
}  // namespace gradc::test
