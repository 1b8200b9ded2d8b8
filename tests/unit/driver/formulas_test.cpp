// Formulas at their edges, in compiled code: activations over all finite floats, gradients at
// kinks, schedules at their boundaries, optimizers where a difference or a quotient vanishes.
// References are written again here in double.
#include "driver/exact_run.h"
#include "runtime/dtype.h"
#include "runtime/safetensors.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <vector>

namespace gradc::test {
namespace {

using Numbers = std::vector<double>;

struct Input {
  std::string name;
  rt::Dtype dtype;
  std::vector<int64_t> shape;
  Numbers values;
};

/// Runs one entry of a model by compiled code; all results by name.
std::map<std::string, Numbers> run_entry(const std::string& model, const std::string& entry,
                                         const std::vector<Input>& inputs, int64_t steps = 1) {
  const Scratch scratch;
  const std::string in = scratch / "in.safetensors", out = scratch / "out.safetensors";
  std::ofstream(scratch / "m.json") << model;
  rt::Vec<rt::TensorView> views;
  std::vector<std::vector<uint8_t>> bytes;
  for (const Input& input : inputs) {
    std::vector<uint8_t>& data = bytes.emplace_back();
    for (const double x : input.values) {
      const auto add = [&](auto value) {
        const auto* begin = reinterpret_cast<const uint8_t*>(&value);
        data.insert(data.end(), begin, begin + sizeof value);
      };
      if (input.dtype == rt::Dtype::kI64) add(static_cast<int64_t>(x));
      if (input.dtype == rt::Dtype::kI32) add(static_cast<int32_t>(x));
      if (input.dtype == rt::Dtype::kF32) add(static_cast<float>(x));
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    views.push({inputs[i].name.c_str(),
                inputs[i].dtype,
                {inputs[i].shape.data(), inputs[i].shape.size()},
                bytes[i].data(),
                bytes[i].size()});
  }
  EXPECT_TRUE(rt::write_safetensors(in.c_str(), views.span(), {}).ok());
  ExactRun run;
  run.model = scratch / "m.json";
  run.entry = entry;
  run.in = in;
  run.out = out;
  run.steps = steps;
  SourceSet sources;
  const Status status = run_exact(run, sources);
  EXPECT_TRUE(status.ok()) << status.message() << "\n" << model;
  rt::SafetensorsFile file;
  std::map<std::string, Numbers> result;
  if (!status.ok() || !rt::read_safetensors(out.c_str(), &file).ok()) return result;
  for (const rt::Array& array : file.arrays) {
    Numbers& values = result[array.name.c_str()];
    for (size_t i = 0; i < array.count(); ++i)
      values.push_back(rt::load_f64(array.data.data(), array.dtype, i));
  }
  return result;
}

Input floats(const std::string& name, std::vector<int64_t> shape, Numbers values) {
  return {name, rt::Dtype::kF32, std::move(shape), std::move(values)};
}

// ---- activations -------------------------------------------------------------------------------

struct Curve {
  Numbers value, slope;
};

/// f and f' at the points: the points are a kernel that one example of 1 multiplies.
Curve curve_of(const std::string& activation, const Numbers& x) {
  const auto n = static_cast<int64_t>(x.size());
  const std::string model = R"({"inputs": [{"name": "one", "shape": [1]}], "layers": [)"
                            R"({"type": "dense", "units": )" +
                            std::to_string(n) + R"(, "use_bias": false, "name": "x"}, )" +
                            R"({"type": "activation", "activation": )" + activation +
                            R"(, "name": "y"}],)" +
                            R"("training": {"loss": "mae", "optimizer": "sgd"}})";
  const Input one = floats("input/one", {1, 1}, {1});
  const Input kernel = floats("x/kernel", {1, n}, x);
  const Input far_below = floats("target/y", {1, n}, Numbers(x.size(), -3.4e38));
  Curve curve;
  curve.value = run_entry(model, "predict", {one, kernel})["output/y"];
  curve.slope = run_entry(model, "gradients", {one, kernel, far_below})["gradient/x/kernel"];
  for (double& slope : curve.slope)
    slope *= static_cast<double>(n);  // the loss is a mean
  return curve;
}

double sigma(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}
double soft(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}
double normal_share(double x) {
  return 0.5 * std::erfc(-x / std::sqrt(2.0));
}
double gelu_argument(double x) {  // 2 u of 0.5 (1 + tanh(u))
  x = std::min(std::max(x, -40.0), 40.0);
  return 2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
}
double elu(double x, double alpha) {
  return x > 0 ? x : alpha * std::expm1(x);
}
double elu_slope(double x, double alpha) {
  return x > 0 ? 1 : alpha * std::exp(x);
}
constexpr double kSeluAlpha = 1.67326324235437728, kSeluScale = 1.05070098735548049;

struct Smooth {
  std::string json;
  std::function<double(double)> f, slope;
};

const std::vector<Smooth> kSmooth = {
    {R"("elu")", [](double x) { return elu(x, 1); }, [](double x) { return elu_slope(x, 1); }},
    {R"({"type": "elu", "alpha": 0.3})", [](double x) { return elu(x, 0.3); },
     [](double x) { return elu_slope(x, 0.3); }},
    {R"("selu")", [](double x) { return kSeluScale * elu(x, kSeluAlpha); },
     [](double x) { return kSeluScale * elu_slope(x, kSeluAlpha); }},
    {R"({"type": "celu", "alpha": 3})", [](double x) { return x > 0 ? x : 3 * std::expm1(x / 3); },
     [](double x) { return x > 0 ? 1 : std::exp(x / 3); }},
    {R"("gelu")", [](double x) { return x * normal_share(x); },
     [](double x) { return normal_share(x) + x * std::exp(-0.5 * x * x) / std::sqrt(2 * M_PI); }},
    {R"({"type": "gelu", "approximate": true})",
     [](double x) { return x * sigma(gelu_argument(x)); },
     [](double x) {
       const double s = sigma(gelu_argument(x));
       const double slope = 2 * std::sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
       const double bend = s * sigma(-gelu_argument(x));
       return s + (bend == 0 ? 0 : x * bend * slope);
     }},
    {R"("silu")", [](double x) { return x * sigma(x); },
     [](double x) { return sigma(x) * (1 + x * sigma(-x)); }},
    {R"("mish")", [](double x) { return x * std::tanh(soft(x)); },
     [](double x) {
       const double sech = soft(x) > 300 ? 0 : 1 / std::cosh(soft(x));
       return std::tanh(soft(x)) + x * sech * sech * sigma(x);
     }},
    {R"("softplus")", soft, sigma},
    {R"("log_sigmoid")", [](double x) { return -soft(-x); }, [](double x) { return sigma(-x); }},
    {R"("tanh_shrink")",
     [](double x) { return std::abs(x) < 1e-3 ? x * x * x / 3 : x - std::tanh(x); },
     [](double x) { return std::pow(std::tanh(x), 2); }},
    {R"("squareplus")",
     [](double x) { return x > 0 ? (x + std::hypot(x, 2)) / 2 : 2 / (std::hypot(x, 2) - x); },
     [](double x) {
       const double root = std::hypot(x, 2);
       return x > 0 ? (1 + x / root) / 2 : 2 / (root - x) / root;
     }},
    {R"({"type": "squareplus", "b": 0.01})",
     [](double x) {
       return x > 0 ? (x + std::hypot(x, 0.1)) / 2 : 0.005 / (std::hypot(x, 0.1) - x);
     },
     [](double x) {
       const double root = std::hypot(x, 0.1);
       return x > 0 ? (1 + x / root) / 2 : 0.005 / (root - x) / root;
     }},
    {R"("softsign")", [](double x) { return x / (1 + std::abs(x)); },
     [](double x) { return 1 / std::pow(1 + std::abs(x), 2); }},
};

/// All magnitudes of both signs, and where functions bend closely.
Numbers sweep() {
  Numbers x;
  for (double magnitude = 1e-20; magnitude < 3.2e38; magnitude *= 1.7)
    x.insert(x.end(), {magnitude, -magnitude});
  for (double near = 0.05; near < 90; near *= 1.03)
    x.insert(x.end(), {near, -near});
  x.insert(x.end(), {3.2e38, -3.2e38});
  for (double& value : x)
    value = static_cast<double>(static_cast<float>(value));
  return x;
}

TEST(Formulas, ActivationsKeepTheirDigitsOverAllFiniteFloats) {
  const Numbers x = sweep();
  for (const Smooth& c : kSmooth) {
    SCOPED_TRACE(c.json);
    const Curve got = curve_of(c.json, x);
    ASSERT_EQ(got.value.size(), x.size());
    ASSERT_EQ(got.slope.size(), x.size());
    double worst_value = 0, worst_slope = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      // Numbers below the least normal float count as zero, as factors too; beside a zero of the
      // function within (-3, 0) its terms round to 6e-8 of 1.
      const double floor = x[i] > -3 && x[i] < 0 ? 5e-7 : 1e-36;
      const double slope_floor = std::max(floor, 1e-37 * static_cast<double>(x.size()));
      const double value = c.f(x[i]), slope = c.slope(x[i]);
      const double off_value = std::abs(got.value[i] - value) / (std::abs(value) + floor / 1e-5);
      const double off_slope =
          std::abs(got.slope[i] - slope) / (std::abs(slope) + slope_floor / 1e-5);
      EXPECT_LT(off_value, 1e-5) << "value at " << x[i] << ": " << got.value[i] << ", " << value;
      EXPECT_LT(off_slope, 1e-5) << "slope at " << x[i] << ": " << got.slope[i] << ", " << slope;
      worst_value = std::max(worst_value, off_value);
      worst_slope = std::max(worst_slope, off_slope);
    }
    std::printf("%-42s largest relative difference: value %.1e, slope %.1e\n", c.json.c_str(),
                worst_value, worst_slope);
  }
}

struct Kink {
  std::string json;
  Numbers x, slope;
};

// Computed by PyTorch 1.13; what Keras on TensorFlow has at the same points: docs/layers.md.
const std::vector<Kink> kKinks = {
    {R"("relu")", {0}, {0}},
    {R"("relu6")", {0, 3, 6}, {0, 1, 0}},
    {R"({"type": "relu", "max_value": 2})", {0, 1, 2}, {0, 1, 0}},
    {R"({"type": "relu", "threshold": 2})", {2, 2.5}, {0, 1}},
    {R"("leaky_relu")", {0}, {0.2}},
    {R"("hard_sigmoid")", {-3, 0, 3}, {0, 1.0 / 6, 0}},
    {R"("hard_silu")", {-3, 0, 3}, {-0.5, 0.5, 1}},
    {R"("hard_tanh")", {-1, 0, 1}, {0, 1, 0}},
    {R"("sparse_sigmoid")", {-1, 0, 1}, {0, 0.5, 0}},
    {R"("sparse_plus")", {-1, 0, 1}, {0, 0.5, 1}},
    {R"("hard_shrink")", {-0.5, 0.5, 1}, {0, 0, 1}},
    {R"("soft_shrink")", {-0.5, 0.5, 1}, {0, 0, 1}},
    {R"({"type": "threshold", "threshold": 1, "default_value": 5})", {1, 2}, {0, 1}},
    {R"({"type": "elu", "alpha": 2})", {0}, {2}},
    {R"("selu")", {0}, {kSeluScale * kSeluAlpha}},
    {R"({"type": "celu", "alpha": 2})", {0}, {1}},
    {R"("squareplus")", {0}, {0.5}},
    {R"("softsign")", {-1, 0, 1}, {0.25, 1, 0.25}},
};

TEST(Formulas, GradientsAtKinksAreThoseOfPyTorch) {
  for (const Kink& kink : kKinks) {
    SCOPED_TRACE(kink.json);
    // Twice as wide, so that a vector loop runs too.
    Numbers x;
    for (int repeat = 0; repeat < 40; ++repeat)
      x.insert(x.end(), kink.x.begin(), kink.x.end());
    const Curve got = curve_of(kink.json, x);
    ASSERT_EQ(got.slope.size(), x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = kink.slope[i % kink.slope.size()];
      EXPECT_NEAR(got.slope[i], want, 1e-6) << x[i];
      if (want == 0) {
        EXPECT_EQ(got.slope[i], 0.0) << x[i];
      }
    }
  }
}

// ---- schedules ---------------------------------------------------------------------------------

/// The learning rate of one step: sgd moves a weight of 0 by it, the gradient being 1.
double rate_at(const std::string& schedule, double step) {
  const std::string model =
      R"({"inputs": [{"name": "x", "shape": [1]}],)"
      R"("layers": [{"type": "dense", "units": 1, "use_bias": false, "name": "y"}],)"
      R"("training": {"loss": "mae", "optimizer": {"type": "sgd", "learning_rate": )" +
      schedule + "}}}";
  const auto result = run_entry(model, "train_step",
                                {floats("input/x", {1, 1}, {1}),
                                 floats("target/y", {1, 1}, {1e6}),
                                 floats("y/kernel", {1, 1}, {0}),
                                 {"optimizer/iteration", rt::Dtype::kI64, {}, {step}}});
  const auto kernel = result.find("y/kernel");
  return kernel == result.end() ? 0.0 : kernel->second[0];
}

double restarts(double step, double first, double t_mul, double m_mul) {
  double begin = 0, length = first, height = 1;
  while (step >= begin + length) {
    begin += length;
    length *= t_mul;
    height *= m_mul;
  }
  return 0.5 * (1 + std::cos(M_PI * (step - begin) / length)) * height;
}

TEST(Formulas, SchedulesChangeAtTheirSteps) {
  const std::string warm = R"({"type": "cosine_decay_restarts", "initial_learning_rate": 1, )";
  for (const double step : {0.0, 9.0, 10.0, 29.0, 30.0, 69.0, 70.0, 149.0, 150.0, 310.0, 20469.0,
                            20470.0, 10737418229.0, 10737418230.0}) {
    EXPECT_NEAR(rate_at(warm + R"("first_decay_steps": 10, "m_mul": 0.5})", step),
                restarts(step, 10, 2, 0.5), 1e-6)
        << step;
  }
  for (const double step : {7.0, 8.0, 19.0, 20.0, 37.0, 38.0, 64.0, 65.0}) {
    EXPECT_NEAR(rate_at(warm + R"("first_decay_steps": 8, "t_mul": 1.5, "m_mul": 0.5})", step),
                restarts(step, 8, 1.5, 0.5), 1e-6)
        << step;
  }
  // Beyond 2^24, where floats no longer count.
  const double far = 3.0 * (1 << 24);
  const std::string stairs =
      R"({"type": "step_decay", "initial_learning_rate": 1, "factor": 0.5, "step_size": )";
  EXPECT_EQ(rate_at(stairs + "16777217}", 16777216.0), 1.0);
  EXPECT_EQ(rate_at(stairs + "16777217}", 16777217.0), 0.5);
  EXPECT_EQ(rate_at(stairs + "16777219}", 2 * 16777219.0 - 1), 0.5);
  EXPECT_EQ(rate_at(stairs + "16777219}", 2 * 16777219.0), 0.25);
  const std::string pieces = R"({"type": "piecewise_constant_decay", "boundaries": [)" +
                             std::to_string(static_cast<int64_t>(far)) +
                             R"(], "values": [1, 0.125]})";
  EXPECT_EQ(rate_at(pieces, far), 1.0);
  EXPECT_EQ(rate_at(pieces, far + 1), 0.125);
  EXPECT_NEAR(rate_at(R"({"type": "exponential_decay", "initial_learning_rate": 1, "decay_steps": 7,
                          "decay_rate": 0.5, "staircase": true})",
                      7.0 * 11),
              std::pow(0.5, 11), 1e-12);
}

// Rates of PyTorch's OneCycleLR of 20 steps at steps 0, 1, 5, 6, 7, 13, 14 and 19.
TEST(Formulas, OneCycleIsPyTorchs) {
  struct Case {
    const char* options;
    std::array<double, 8> rates;
  };
  const Case cases[] = {
      {R"("max_learning_rate": 0.1)",
       {0.004, 0.013167184270002533, 0.1, 0.09874640062350874, 0.09504846320134738,
        0.03887419780637107, 0.028306099820869922, 4e-7}},
      {R"("max_learning_rate": 2, "pct_start": 0.4, "anneal_strategy": "linear", "div_factor": 10,
          "final_div_factor": 100)",
       {0.2, 0.45714285714285713, 1.4857142857142858, 1.7428571428571427, 2.0, 1.001, 0.8345,
        0.002}},
      {R"("max_learning_rate": 0.5, "pct_start": 0.35, "three_phase": true)",
       {0.02, 0.05215390309173468, 0.4678460969082653, 0.5, 0.46784609690826534,
        0.019009787710156288, 0.016235274528785478, 2e-6}},
  };
  const double steps[] = {0, 1, 5, 6, 7, 13, 14, 19};
  for (const auto& [options, rates] : cases) {
    const std::string schedule =
        std::string(R"({"type": "one_cycle", "total_steps": 20, )") + options + "}";
    for (size_t i = 0; i < rates.size(); ++i)
      EXPECT_NEAR(rate_at(schedule, steps[i]), rates[i], 1e-6) << options << " " << steps[i];
    EXPECT_NEAR(rate_at(schedule, 1000), rates.back(), 1e-7) << options;
  }
}

// ---- optimizers --------------------------------------------------------------------------------

/// Weights after training on a constant gradient of that size.
Numbers trained(const std::string& optimizer, double gradient, int64_t steps) {
  const std::string model = R"({"inputs": [{"name": "x", "shape": [64]}],)"
                            R"("layers": [{"type": "dense", "units": 1, "name": "y"}],)"
                            R"("training": {"loss": "mae", "optimizer": )" +
                            optimizer + "}}";
  Numbers x(64);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = gradient * (1.0 + 0.14 * static_cast<double>(i));
  const auto result =
      run_entry(model, "train_step",
                {floats("input/x", {1, 64}, x), floats("target/y", {1, 1}, {1e9})}, steps);
  const auto kernel = result.find("y/kernel");
  return kernel == result.end() ? Numbers{} : kernel->second;
}

TEST(Formulas, OptimizersStayFinite) {
  const char* optimizers[] = {
      R"({"type": "rmsprop", "centered": true})",
      R"({"type": "rmsprop", "centered": true, "momentum": 0.9})",
      R"({"type": "rmsprop", "centered": true, "epsilon_as": "pytorch", "epsilon": 1e-8})",
      R"({"type": "rmsprop", "centered": true, "epsilon": 0})",
      R"({"type": "rmsprop", "epsilon": 0})",
      R"({"type": "adagrad", "initial_accumulator_value": 0, "epsilon": 0})",
      R"({"type": "adam", "epsilon": 0})",
      R"({"type": "adam", "epsilon": 0, "amsgrad": true, "epsilon_as": "pytorch"})",
      R"({"type": "adamax", "epsilon": 0})",
      R"({"type": "adamw", "epsilon": 1e-45})",
      R"({"type": "adadelta", "epsilon": 0})",
      R"({"type": "nadam", "epsilon": 0})",
      R"({"type": "lion"})",
      R"({"type": "ftrl"})",
      R"({"type": "ftrl", "initial_accumulator_value": 0})",
      R"({"type": "lamb"})",
      R"({"type": "lamb", "epsilon": 0})",
      R"({"type": "adafactor"})",
      R"({"type": "adafactor", "epsilon_1": 0, "epsilon_2": 0})",
      R"({"type": "muon"})",
      R"({"type": "muon", "epsilon": 0, "exclude_layers": "kernel", "nesterov": false})",
      R"({"type": "adam", "epsilon": 0, "gradient_accumulation_steps": 3, "use_ema": true})",
      R"({"type": "sgd", "clipnorm": 1})",
      R"({"type": "adam", "global_clipnorm": 1})",
  };
  for (const char* optimizer : optimizers) {
    for (const double gradient : {0.0, 1e-12, 100.0}) {
      const Numbers weights = trained(optimizer, gradient, 140);
      ASSERT_EQ(weights.size(), 64U);
      for (const double w : weights)
        ASSERT_TRUE(std::isfinite(w)) << optimizer << " with gradients of " << gradient;
    }
  }
}

// ---- long sums ---------------------------------------------------------------------------------

TEST(Formulas, LongSumsKeepTheirDigits) {
  const float tenth = 0.1F;
  const auto mean_of_image = [&](int64_t height, int64_t width, int64_t channels) {
    const std::string model = R"({"inputs": [{"name": "x", "shape": [)" + std::to_string(height) +
                              ", " + std::to_string(width) + ", " + std::to_string(channels) +
                              R"(]}], "layers": [{"type": "global_average_pooling2d", )"
                              R"("name": "y"}]})";
    const auto count = static_cast<size_t>(height * width * channels);
    return run_entry(model, "predict",
                     {floats("input/x", {1, height, width, channels},
                             Numbers(count, static_cast<double>(tenth)))})["output/y"];
  };
  for (const auto& [height, width, channels] : std::vector<std::array<int64_t, 3>>{
           {1000, 1000, 1}, {1000, 1000, 3}, {1009, 997, 1}, {700, 700, 8}, {300, 300, 17}}) {
    const Numbers means = mean_of_image(height, width, channels);
    ASSERT_EQ(std::ssize(means), channels);
    for (const double mean : means)
      EXPECT_NEAR(mean / static_cast<double>(tenth), 1.0, 5e-7) << height << " " << channels;
  }
}

TEST(Formulas, LongGradientAndLossSumsKeepTheirDigits) {
  // 2^18 positions of one example: the bias gradient and the loss are sums over all of them.
  constexpr int64_t kRows = 1 << 18;
  const std::string model =
      R"({"inputs": [{"name": "x", "shape": [262144, 1]}],)"
      R"("layers": [{"type": "dense", "units": 3, "name": "y", )"
      R"("bias_initializer": {"type": "constant", "value": 0.1}}],)"
      R"("training": {"loss": {"type": "mse", "reduction": "sum"}, "optimizer": "sgd"}})";
  const auto result =
      run_entry(model, "gradients",
                {floats("input/x", {1, kRows, 1}, Numbers(kRows, 0.3)),
                 floats("target/y", {1, kRows, 3}, Numbers(3 * kRows, 0.0)),
                 floats("y/kernel", {1, 3}, {0, 0, 0}), floats("y/bias", {3}, {0.1, 0.1, 0.1})});
  const double b = static_cast<double>(0.1F), x = static_cast<double>(0.3F);
  const auto close = [&](const std::string& name, double want) {
    const auto found = result.find(name);
    ASSERT_NE(found, result.end()) << name;
    for (const double got : found->second)
      EXPECT_NEAR(got / want, 1.0, 2e-6) << name;
  };
  close("loss", kRows * b * b);
  close("gradient/y/bias", kRows * 2 * b / 3);
  close("gradient/y/kernel", kRows * 2 * b * x / 3);
}

}  // namespace
}  // namespace gradc::test
