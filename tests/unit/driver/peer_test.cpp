// Replays stored results of PyTorch (scripts/compare_torch.py --store tests/peer), and of
// TensorFlow.js's optimizers (scripts/compare_tfjs.js), through `gradc run`'s code: gradients of
// every activation, loss, convolution, pooling and recurrent setting, and weights after 20 steps of
// every optimizer, by compiled code; a part of them by the interpreter too; losses of 5 steps of
// whole models (scripts/compare_torch_models.py, compare_torch_head.py); and the initial values of
// every initializer by their statistics.
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

constexpr double kGradientBound = 1e-5, kWeightBound = 1e-5, kLossBound = 2e-6;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Stored : uint8_t { kInitial, kLosses, kTensors };

Stored kind_of(const std::string& name) {
  return name.ends_with(".init")     ? Stored::kInitial
         : name.ends_with(".losses") ? Stored::kLosses
                                     : Stored::kTensors;
}

std::vector<std::string> stored_cases(Stored kind = Stored::kTensors) {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(source("tests/peer"))) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".json" && kind_of(stem) == kind) result.push_back(stem);
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

/// The largest number expected of any tensor.
double largest_expected(const rt::SafetensorsFile& expected) {
  double largest = 0.0;
  for (const rt::Array& want : expected.arrays) {
    if (!want.name.starts_with("expected/")) continue;
    for (const double x : doubles(want))
      largest = std::isnan(x) ? largest : std::max(largest, std::abs(x));
  }
  return largest;
}

/// max |a - b| / max |b| over all expected tensors; NaN is expected where float32 cannot tell. A
/// tensor of zeros but for the rounding of doubles (the gradient of attention's key bias) is
/// measured beside the largest of all.
double largest_difference(const rt::SafetensorsFile& expected, const rt::SafetensorsFile& actual) {
  constexpr double kZero = 1e-11;
  const double largest = largest_expected(expected);
  double worst = 0.0;
  for (const rt::Array& want : expected.arrays) {
    if (!want.name.starts_with("expected/")) continue;
    const rt::Array* got = actual.find(want.name.c_str() + std::string_view("expected/").size());
    if (got == nullptr || got->count() != want.count()) return kInfinity;
    const std::vector<double> a = doubles(*got), b = doubles(want);
    double scale = 1e-12, difference = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
      if (std::isnan(b[i])) continue;
      scale = std::max(scale, std::abs(b[i]));
      difference = std::isfinite(a[i]) ? std::max(difference, std::abs(a[i] - b[i])) : kInfinity;
    }
    if (scale < kZero * largest) scale = largest;
    worst = std::max(worst, difference / scale);
  }
  return worst;
}

/// Runs a stored case; false when that fails.
bool run_stored(const std::string& name, ExactRun run, rt::SafetensorsFile& stored,
                rt::SafetensorsFile& actual) {
  const Scratch scratch;
  const std::string base = source("tests/peer/" + name);
  EXPECT_TRUE(rt::read_safetensors((base + ".safetensors").c_str(), &stored).ok());
  rt::Vec<rt::TensorView> inputs;
  for (const rt::Array& array : stored.arrays) {
    if (array.name.starts_with("expected/")) continue;
    inputs.push(
        {array.name.c_str(), array.dtype, array.dims.span(), array.data.data(), array.data.size()});
  }
  const std::string in = scratch / "in.safetensors", out = scratch / "out.safetensors";
  EXPECT_TRUE(rt::write_safetensors(in.c_str(), inputs.span(), {}).ok());
  run.model = base + ".json";
  run.in = in;
  run.out = out;
  SourceSet sources;
  const Status status = run_exact(run, sources);
  EXPECT_TRUE(status.ok()) << name << ": " << status.message();
  return status.ok() && rt::read_safetensors(out.c_str(), &actual).ok();
}

double run_case(const std::string& name, bool interpreter) {
  ExactRun run;
  run.entry = name.substr(name.rfind('.') + 1);
  run.steps = 20;
  run.interpreter = interpreter;
  rt::SafetensorsFile stored, actual;
  return run_stored(name, run, stored, actual) ? largest_difference(stored, actual) : kInfinity;
}

// ---- initial values

/// The statistics of peer_initializers.py by name.
std::map<std::string, double> statistics(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  const auto count = static_cast<double>(x.size());
  double mean = 0.0, second = 0.0, fourth = 0.0;
  for (const double v : x)
    mean += v / count;
  for (const double v : x) {
    second += std::pow(v - mean, 2) / count;
    fourth += std::pow(v - mean, 4) / count;
  }
  std::map<std::string, double> result = {{"mean", mean},
                                          {"std", std::sqrt(second)},
                                          {"kurtosis", fourth / (second * second)},
                                          {"min", x.front()},
                                          {"max", x.back()}};
  for (int percent = 5; percent < 100; percent += 5) {
    char name[16];
    std::snprintf(name, sizeof name, "quantile_%02d", percent);
    result[name] = x[std::min(x.size() - 1, static_cast<size_t>(percent / 100.0 * count))];
  }
  return result;
}

/// max |Q^T Q - I| of a matrix of that many columns, or of its transpose when it is wide.
double distance_from_orthonormal(const std::vector<double>& w, size_t columns, double gain) {
  const size_t rows = w.size() / columns;
  const bool tall = rows >= columns;
  const size_t vectors = tall ? columns : rows, length = tall ? rows : columns;
  const auto at = [&](size_t v, size_t i) {
    return (tall ? w[i * columns + v] : w[v * columns + i]) / gain;
  };
  double worst = 0.0;
  for (size_t a = 0; a < vectors; ++a) {
    for (size_t b = 0; b <= a; ++b) {
      double dot = 0.0;
      for (size_t i = 0; i < length; ++i)
        dot += at(a, i) * at(b, i);
      worst = std::max(worst, std::abs(dot - (a == b ? 1.0 : 0.0)));
    }
  }
  return worst;
}

/// The largest difference in units of its bound.
double share_of_bounds(const rt::SafetensorsFile& stored, const rt::Array& kernel) {
  const std::vector<double> w = doubles(kernel);
  const auto columns = static_cast<size_t>(kernel.dims[kernel.dims.size() - 1]);
  const std::map<std::string, double> actual = statistics(w);
  double worst = 0.0;
  for (const rt::Array& array : stored.arrays) {
    if (!array.name.starts_with("expected/")) continue;
    const std::string name = std::string(array.name.c_str()).substr(9);
    const std::vector<double> want = doubles(array);
    double share = kInfinity;
    if (name == "constant" || name == "identity") {
      bool same = true;
      for (size_t i = 0; i < w.size(); ++i) {
        const bool off = name == "identity" && i / columns != i % columns;
        same = same && w[i] == (off ? 0.0 : want[0]);
      }
      share = same ? 0.0 : kInfinity;
    } else if (name == "orthogonal") {
      share = distance_from_orthonormal(w, columns, want[0]) / 1e-6;
    } else {
      share = std::abs(actual.at(name) - want[0]) / want[1];
    }
    worst = std::max(worst, share);
  }
  return worst;
}

TEST(Peer, InitialValuesHaveTheStatisticsOfPyTorchs) {
  const std::vector<std::string> cases = stored_cases(Stored::kInitial);
  ASSERT_GE(cases.size(), 40U);
  double worst = 0.0;
  for (const std::string& name : cases) {
    ExactRun run;
    run.entry = "train_step";
    run.steps = 0;
    rt::SafetensorsFile stored, actual;
    ASSERT_TRUE(run_stored(name, run, stored, actual));
    const rt::Array* kernel = actual.find("layer/kernel");
    ASSERT_NE(kernel, nullptr);
    const double share = share_of_bounds(stored, *kernel);
    EXPECT_LT(share, 1.0) << name;
    worst = std::max(worst, share);
  }
  std::printf("initial values of %zu cases: the largest difference is %.2f of its bound\n",
              cases.size(), worst);
}

TEST(Peer, CompiledCodeAgreesWithPyTorch) {
  const std::vector<std::string> cases = stored_cases();
  ASSERT_GE(cases.size(), 90U);
  double worst_gradient = 0.0, worst_weight = 0.0;
  for (const std::string& name : cases) {
    const bool weights = name.ends_with(".train_step");
    const double difference = run_case(name, false);
    EXPECT_LT(difference, weights ? kWeightBound : kGradientBound) << name;
    double& worst = weights ? worst_weight : worst_gradient;
    worst = std::max(worst, difference);
  }
  std::printf(
      "largest relative difference over %zu cases: gradients and outputs %.2e, weights after 20 "
      "steps %.2e\n",
      cases.size(), worst_gradient, worst_weight);
}

// Attention and heads in tiles, tied tables, ignored labels, as the models that are measured have
// them.
TEST(Peer, LossesOfWholeModelsAgreeWithPyTorch) {
  const std::vector<std::string> cases = stored_cases(Stored::kLosses);
  ASSERT_GE(cases.size(), 13U);
  double worst = 0.0;
  for (const std::string& name : cases) {
    ExactRun run;
    run.entry = "train_step";
    run.steps = 5;
    rt::SafetensorsFile stored, actual;
    ASSERT_TRUE(run_stored(name, run, stored, actual));
    ASSERT_EQ(stored.find("expected/loss")->count(), 5U) << name;
    const double difference = largest_difference(stored, actual);
    EXPECT_LT(difference, kLossBound) << name;
    worst = std::max(worst, difference);
  }
  std::printf("largest relative difference of the losses of 5 steps of %zu models: %.2e\n",
              cases.size(), worst);
}

TEST(Peer, InterpreterAgreesWithPyTorch) {
  double worst = 0.0;
  for (const std::string& name : stored_cases()) {
    if (name.ends_with(".train_step")) continue;
    const double difference = run_case(name, true);
    EXPECT_LT(difference, 2e-6) << name;  // both in double; the files hold f32
    worst = std::max(worst, difference);
  }
  std::printf("largest relative difference of the interpreter's gradients: %.2e\n", worst);
}

}  // namespace
}  // namespace gradc::test
