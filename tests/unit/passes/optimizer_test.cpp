// apply_optimizer against Keras's formulas written down again in plain C++, over several steps.
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "tests/support/graph_values.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr double kRate = 0.05;
constexpr int kSteps = 5;

/// loss = sum(a * w^2) + sum(b * v^4) over two parameters of different shapes; the gradients are
/// 2 a w and 4 b v^3.
std::shared_ptr<Graph> quadratic() {
  auto graph = std::make_shared<Graph>("step");
  Builder b(*graph);
  const Val a = b.input(InputKind::kInput, f32({2, 3}), "input/a", "a");
  const Val w = b.input(InputKind::kParam, f32({2, 3}), "dense/kernel", "w");
  const Val v = b.input(InputKind::kParam, f32({4}), "dense/bias", "v");
  const Val square = v * v;
  const Val loss = reduce_sum(a * w * w, {0, 1}) + reduce_sum(square * square, {0});
  graph->add_output("loss", loss.id());
  graph->add_output(kLearningRateOutput, b.scalar(kRate).id());
  return graph;
}

using State = std::map<std::string, std::vector<double>>;

/// Runs the compiled step on the interpreter, feeding updates back.
class Trained {
 public:
  explicit Trained(const OptimizerSpec& spec, std::string_view pipeline =
                                                  "differentiate,"
                                                  "apply_optimizer")
      : graph_(quadratic()) {
    PassOptions options;
    options.optimizer = spec;
    PassContext context(options);
    const Status status = run_passes(*graph_, pipeline, context);
    EXPECT_TRUE(status.ok()) << status.message();
    inputs_ = test::random_inputs(*graph_, 7, 0.2, 1.0);
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const GraphInput& input = graph_->inputs()[i];
      if (input.kind != InputKind::kState) continue;
      const double start = input.init.kind == "constant" ? input.init.a : 0.0;
      std::fill(inputs_[i].data.begin(), inputs_[i].data.end(), start);
    }
  }

  void step() {
    const auto result = interpret(*graph_, inputs_);
    ASSERT_TRUE(result.ok()) << result.message();
    for (const auto& [name, value] : result->updates)
      inputs_[index(name)] = value;
  }

  const std::vector<double>& at(const std::string& name) const { return inputs_[index(name)].data; }
  const Graph& graph() const { return *graph_; }

 private:
  size_t index(const std::string& name) const {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (graph_->inputs()[i].name == name) return i;
    }
    ADD_FAILURE() << "no input " << name;
    return 0;
  }

  std::shared_ptr<Graph> graph_;
  std::vector<Tensor> inputs_;
};

/// One element: parameter, slots in order, gradient, step number t from 1.
using Reference = std::function<void(double& w, std::vector<double>& slots, double g, int t)>;
/// What happens to all gradients before the step.
using Clip = std::function<void(std::vector<double>& kernel, std::vector<double>& bias)>;

void expect_follows(const OptimizerSpec& spec, const Reference& reference, const Clip& clip = {}) {
  Trained trained(spec);
  const std::vector<std::string> names = {"dense/kernel", "dense/bias"};
  std::map<std::string, std::vector<std::vector<double>>> slots;  // [element][slot]
  std::map<std::string, std::vector<double>> w;
  std::vector<double> initial;
  const std::vector<StepSlot> kept = step_slots(spec.step, f32({1}));
  for (const StepSlot& slot : kept)
    initial.push_back(slot.initial_value);
  for (const std::string& name : names) {
    w[name] = trained.at(name);
    slots[name].assign(w[name].size(), initial);
  }
  for (int t = 1; t <= kSteps; ++t) {
    std::vector<double> kernel, bias;
    for (size_t i = 0; i < 6; ++i)
      kernel.push_back(2.0 * trained.at("input/a")[i] * w["dense/kernel"][i]);
    for (double v : w["dense/bias"])
      bias.push_back(4.0 * v * v * v);
    if (clip) clip(kernel, bias);
    for (const std::string& name : names) {
      const std::vector<double>& g = name == "dense/kernel" ? kernel : bias;
      for (size_t i = 0; i < g.size(); ++i)
        reference(w[name][i], slots[name][i], g[i], t);
    }
    trained.step();
    EXPECT_EQ(trained.at(kIterationInput)[0], t);
    for (const std::string& name : names) {
      for (size_t i = 0; i < w[name].size(); ++i) {
        EXPECT_NEAR(trained.at(name)[i], w[name][i], 1e-12) << name << " step " << t;
        for (size_t s = 0; s < kept.size(); ++s)
          EXPECT_NEAR(trained.at(slot_name(name, kept[s]))[i], slots[name][i][s], 1e-12)
              << kept[s].name << " step " << t;
      }
    }
  }
}

OptimizerSpec sgd() {
  return {.step = StepAttrs("sgd")};
}

void sgd_reference(double& w, std::vector<double>&, double g, int) {
  w -= kRate * g;
}

TEST(ApplyOptimizer, Sgd) {
  expect_follows(sgd(), sgd_reference);
}

TEST(ApplyOptimizer, MomentumPlainAndNesterovWithDecay) {
  for (bool nesterov : {false, true}) {
    const OptimizerSpec spec{.step =
                                 StepAttrs("momentum", {{"momentum", 0.8},
                                                        {"nesterov", static_cast<double>(nesterov)},
                                                        {"weight_decay", 0.01}})};
    expect_follows(spec, [nesterov](double& w, std::vector<double>& slots, double g, int) {
      w -= w * static_cast<double>(0.01F) * kRate;  // decay and rate are f32
      slots[0] = slots[0] * 0.8 - g * kRate;
      w += nesterov ? slots[0] * 0.8 - g * kRate : slots[0];
    });
  }
}

TEST(ApplyOptimizer, AdagradStartsAtItsInitialValue) {
  const OptimizerSpec spec{.step = StepAttrs("adagrad")};
  expect_follows(spec, [](double& w, std::vector<double>& slots, double g, int) {
    slots[0] += g * g;
    w -= kRate * g / std::sqrt(slots[0] + 1e-7);
  });
}

TEST(ApplyOptimizer, RmspropCenteredWithMomentum) {
  const OptimizerSpec spec{.step = StepAttrs("rmsprop", {{"momentum", 0.5}, {"centered", 1}})};
  expect_follows(spec, [](double& w, std::vector<double>& s, double g, int) {
    s[0] = 0.9 * s[0] + 0.1 * g * g;
    s[1] = 0.9 * s[1] + 0.1 * g;
    s[2] = 0.5 * s[2] + kRate * g / std::sqrt(s[0] - s[1] * s[1] + 1e-7);
    w -= s[2];
  });
}

void adam_reference(double& w, std::vector<double>& s, double g, int t) {
  const double alpha = kRate * std::sqrt(1 - std::pow(0.999, t)) / (1 - std::pow(0.9, t));
  s[0] += (g - s[0]) * (1 - 0.9);
  s[1] += (g * g - s[1]) * (1 - 0.999);
  if (s.size() > 2) s[2] = std::max(s[2], s[1]);
  w -= s[0] * alpha / (std::sqrt(s.back()) + 1e-7);
}

OptimizerSpec adam(double weight_decay = 0.0, bool amsgrad = false) {
  return {.step = StepAttrs(
              "adam", {{"amsgrad", static_cast<double>(amsgrad)}, {"weight_decay", weight_decay}})};
}

TEST(ApplyOptimizer, AdamCorrectsItsBias) {
  expect_follows(adam(), adam_reference);
}

TEST(ApplyOptimizer, AdamWithMaximum) {
  expect_follows(adam(0.0, true), adam_reference);
}

TEST(ApplyOptimizer, AdamwDecaysByThePlainRate) {
  expect_follows(adam(0.004), [](double& w, std::vector<double>& s, double g, int t) {
    w -= w * static_cast<double>(0.004F) * kRate;
    adam_reference(w, s, g, t);
  });
}

// PyTorch's formulas, as its documentation writes them.
TEST(ApplyOptimizer, EpsilonWherePyTorchAddsIt) {
  OptimizerSpec spec = adam();
  spec.step.set("epsilon", 1e-2);
  spec.step.set("corrected_epsilon", 1);
  expect_follows(spec, [](double& w, std::vector<double>& s, double g, int t) {
    s[0] = 0.9 * s[0] + (1 - 0.9) * g;
    s[1] = 0.999 * s[1] + (1 - 0.999) * g * g;
    const double m = s[0] / (1 - std::pow(0.9, t)), v = s[1] / (1 - std::pow(0.999, t));
    w -= kRate * m / (std::sqrt(v) + 1e-2);
  });
  spec = adam(0.004, true);
  spec.step.set("epsilon", 1e-2);
  spec.step.set("corrected_epsilon", 1);
  expect_follows(spec, [](double& w, std::vector<double>& s, double g, int t) {
    w *= 1 - kRate * static_cast<double>(0.004F);
    s[0] = 0.9 * s[0] + (1 - 0.9) * g;
    s[1] = 0.999 * s[1] + (1 - 0.999) * g * g;
    s[2] = std::max(s[2], s[1]);
    const double root = std::sqrt(s[2]) / std::sqrt(1 - std::pow(0.999, t));
    w -= kRate / (1 - std::pow(0.9, t)) * s[0] / (root + 1e-2);
  });
  spec = {.step = StepAttrs(
              "adagrad",
              {{"initial_accumulator_value", 0}, {"epsilon", 1e-2}, {"epsilon_outside", 1}})};
  expect_follows(spec, [](double& w, std::vector<double>& s, double g, int) {
    s[0] += g * g;
    w -= kRate * g / (std::sqrt(s[0]) + 1e-2);
  });
  spec = {.step =
              StepAttrs("rmsprop", {{"epsilon", 1e-2}, {"centered", 1}, {"epsilon_outside", 1}})};
  expect_follows(spec, [](double& w, std::vector<double>& s, double g, int) {
    s[0] = 0.9 * s[0] + 0.1 * g * g;
    s[1] = 0.9 * s[1] + 0.1 * g;
    w -= kRate * g / (std::sqrt(s[0] - s[1] * s[1]) + 1e-2);
  });
}

TEST(ApplyOptimizer, AdamaxOfKerasAndOfPyTorch) {
  for (const bool inside : {false, true}) {
    const OptimizerSpec spec{
        .step = StepAttrs("adamax", {{"beta_2", 0.99},
                                     {"epsilon", 1e-2},
                                     {"epsilon_inside", static_cast<double>(inside)}})};
    expect_follows(spec, [inside](double& w, std::vector<double>& s, double g, int t) {
      s[0] = 0.9 * s[0] + (1 - 0.9) * g;
      s[1] = std::max(0.99 * s[1], std::abs(g) + (inside ? 1e-2 : 0.0));
      w -= kRate / (1 - std::pow(0.9, t)) * s[0] / (s[1] + (inside ? 0.0 : 1e-2));
    });
  }
}

TEST(ApplyOptimizer, AdadeltaAndLion) {
  expect_follows({.step = StepAttrs("adadelta", {{"rho", 0.9}, {"epsilon", 1e-3}})},
                 [](double& w, std::vector<double>& s, double g, int) {
                   s[0] = 0.9 * s[0] + 0.1 * g * g;
                   const double step = -std::sqrt(s[1] + 1e-3) * g / std::sqrt(s[0] + 1e-3);
                   s[1] = 0.9 * s[1] + 0.1 * step * step;
                   w += kRate * step;
                 });
  expect_follows({.step = StepAttrs("lion")}, [](double& w, std::vector<double>& s, double g, int) {
    w -= kRate * std::copysign(1.0, 0.9 * s[0] + (1 - 0.9) * g);
    s[0] = 0.99 * s[0] + (1 - 0.99) * g;
  });
}

TEST(ApplyOptimizer, Ftrl) {
  const double l1 = 0.3, l2 = 0.1, shrinkage = 0.02, beta = 0.2, power = 0.7;
  expect_follows({.step = StepAttrs("ftrl", {{"l1_regularization_strength", l1},
                                             {"l2_regularization_strength", l2},
                                             {"l2_shrinkage_regularization_strength", shrinkage},
                                             {"learning_rate_power", -power},
                                             {"beta", beta}})},
                 [&](double& w, std::vector<double>& s, double g, int t) {
                   const double old = t == 1 ? 0.1 : s[0];
                   s[0] = old + g * g;
                   const double size = std::pow(s[0], power) / kRate;
                   s[1] += g + 2 * shrinkage * w - (size - std::pow(old, power) / kRate) * w;
                   const double kept = std::min(std::max(s[1], -l1), l1);
                   w = (kept - s[1]) / (size + beta / kRate + 2 * l2);
                 });
}

// The step has the parameter's length times the rate.
TEST(ApplyOptimizer, LambKeepsToTheSizeOfTheParameter) {
  Trained trained({.step = StepAttrs("lamb", {{"epsilon", 1e-3}})});
  std::vector<double> w = trained.at("dense/kernel");
  std::vector<double> m(w.size(), 0.0), v(w.size(), 0.0);
  for (int t = 1; t <= kSteps; ++t) {
    double size = 0.0, length = 0.0;
    std::vector<double> u(w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      const double g = 2.0 * trained.at("input/a")[i] * w[i];
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.999 * v[i] + 0.001 * g * g;
      u[i] = m[i] / (1 - std::pow(0.9, t)) / (std::sqrt(v[i] / (1 - std::pow(0.999, t))) + 1e-3);
      size += w[i] * w[i];
      length += u[i] * u[i];
    }
    for (size_t i = 0; i < w.size(); ++i)
      w[i] -= kRate * std::sqrt(size / length) * u[i];
    trained.step();
    for (size_t i = 0; i < w.size(); ++i)
      EXPECT_NEAR(trained.at("dense/kernel")[i], w[i], 1e-12) << "step " << t;
  }
}

// One number of the step belongs to all parameters and is updated once.
TEST(ApplyOptimizer, NadamSharesTheProductOfItsMomenta) {
  expect_follows({.step = StepAttrs("nadam", {{"epsilon", 1e-3}})},
                 [](double& w, std::vector<double>& s, double g, int t) {
                   const auto momentum = [](int n) { return 0.9 * (1 - 0.5 * std::pow(0.96, n)); };
                   double product = 1.0;
                   for (int n = 1; n <= t; ++n)
                     product *= momentum(n);
                   s[0] = 0.9 * s[0] + (1 - 0.9) * g;
                   s[1] = 0.999 * s[1] + (1 - 0.999) * g * g;
                   const double m = momentum(t + 1) * s[0] / (1 - product * momentum(t + 1)) +
                                    (1 - momentum(t)) * g / (1 - product);
                   w -= kRate * m / (std::sqrt(s[1] / (1 - std::pow(0.999, t))) + 1e-3);
                 });
  Trained trained({.step = StepAttrs("nadam")});
  trained.step();
  EXPECT_NEAR(trained.at("optimizer/u_product")[0], 0.9 * (1 - 0.5 * 0.96), 1e-12);
}

// Slots of another shape than the parameter: one number per row and per column.
TEST(ApplyOptimizer, AdafactorKeepsRowsAndColumns) {
  Trained trained({.step = StepAttrs("adafactor", {{"clip_threshold", 0.5}})});
  std::vector<double> w = trained.at("dense/kernel");
  std::vector<double> r(2, 0.0), c(3, 0.0), u(6);
  for (int t = 1; t <= kSteps; ++t) {
    const double kept = 1 - std::pow(t, -0.8);
    std::vector<double> g(6);
    for (size_t i = 0; i < 6; ++i)
      g[i] = 2.0 * trained.at("input/a")[i] * w[i];
    for (size_t i = 0; i < 2; ++i)
      r[i] = kept * r[i] +
             (1 - kept) *
                 (g[3 * i] * g[3 * i] + g[3 * i + 1] * g[3 * i + 1] + g[3 * i + 2] * g[3 * i + 2]) /
                 3;
    for (size_t j = 0; j < 3; ++j)
      c[j] = kept * c[j] + (1 - kept) * (g[j] * g[j] + g[3 + j] * g[3 + j]) / 2;
    double u2 = 0.0, w2 = 0.0;
    for (size_t i = 0; i < 6; ++i) {
      u[i] = g[i] / std::sqrt(r[i / 3] / ((r[0] + r[1]) / 2) * c[i % 3]);
      u2 += u[i] * u[i] / 6;
      w2 += w[i] * w[i] / 6;
    }
    const double rate = std::min(kRate, 1 / std::sqrt(t)) * std::max(1e-3, std::sqrt(w2));
    for (size_t i = 0; i < 6; ++i)
      w[i] -= rate * u[i] / std::max(1.0, std::sqrt(u2) / 0.5);
    trained.step();
    for (size_t i = 0; i < 6; ++i)
      EXPECT_NEAR(trained.at("dense/kernel")[i], w[i], 1e-12) << "step " << t;
    for (size_t i = 0; i < 2; ++i)
      EXPECT_NEAR(trained.at("optimizer/dense/kernel/r")[i], r[i], 1e-12);
    for (size_t j = 0; j < 3; ++j)
      EXPECT_NEAR(trained.at("optimizer/dense/kernel/c")[j], c[j], 1e-12);
  }
  EXPECT_EQ(trained.at("optimizer/dense/bias/v").size(), 4U);
}

TEST(ApplyOptimizer, ClipsByValue) {
  OptimizerSpec spec = sgd();
  spec.clip_value = 0.3;
  expect_follows(spec, sgd_reference, [](std::vector<double>& kernel, std::vector<double>& bias) {
    for (auto* all : {&kernel, &bias}) {
      for (double& g : *all)
        g = std::min(std::max(g, -0.3), 0.3);
    }
  });
}

double squares(const std::vector<double>& g) {
  double sum = 0.0;
  for (double x : g)
    sum += x * x;
  return sum;
}

TEST(ApplyOptimizer, ClipsEachGradientByItsNorm) {
  OptimizerSpec spec = sgd();
  spec.clip_norm = 1.0;  // the kernel's gradient is longer at first, the bias's shorter at the end
  expect_follows(spec, sgd_reference, [](std::vector<double>& kernel, std::vector<double>& bias) {
    for (auto* all : {&kernel, &bias}) {
      const double norm = std::sqrt(squares(*all));
      for (double& g : *all)
        g = g * 1.0 / std::max(norm, 1.0);
    }
  });
}

TEST(ApplyOptimizer, ClipsAllGradientsByTheirCommonNorm) {
  OptimizerSpec spec = sgd();
  spec.global_clip_norm = 0.7;
  expect_follows(spec, sgd_reference, [](std::vector<double>& kernel, std::vector<double>& bias) {
    const double norm = std::sqrt(squares(kernel) + squares(bias));
    EXPECT_GT(norm, 0.7);
    for (auto* all : {&kernel, &bias}) {
      for (double& g : *all)
        g *= 0.7 * std::min(1.0 / norm, 1.0 / 0.7);
    }
  });
}

TEST(ApplyOptimizer, UsesUpGradientsAndLearningRate) {
  const Trained trained(adam());
  ASSERT_EQ(trained.graph().outputs().size(), 1U);
  EXPECT_EQ(trained.graph().outputs()[0].name, "loss");
}

/// What the pipeline makes of a step is still that step.
TEST(ApplyOptimizer, SimplifiedStepComputesTheSame) {
  Trained plain(adam(0.004));
  Trained simple(adam(0.004),
                 "differentiate,apply_optimizer,expand_composites,"
                 "(canonicalize,constant_fold,cse,dce)*");
  for (int t = 0; t < kSteps; ++t) {
    plain.step();
    simple.step();
  }
  for (size_t i = 0; i < 6; ++i)
    EXPECT_NEAR(plain.at("dense/kernel")[i], simple.at("dense/kernel")[i], 1e-12);
}

TEST(ApplyOptimizer, NeedsAnOptimizerAndALearningRate) {
  PassContext context;
  auto graph = quadratic();
  const Status without_spec = run_passes(*graph, "differentiate,apply_optimizer", context);
  ASSERT_FALSE(without_spec.ok());
  EXPECT_EQ(without_spec.message(), "apply_optimizer needs a model that names an optimizer");

  PassOptions options;
  options.optimizer = sgd();
  PassContext with_spec(options);
  graph = quadratic();
  graph->remove_output(1);
  const Status without_rate = run_passes(*graph, "differentiate,apply_optimizer", with_spec);
  ASSERT_FALSE(without_rate.ok());
  EXPECT_EQ(without_rate.message(),
            "graph @step has no output \"optimizer/learning_rate\", which apply_optimizer needs");
}

}  // namespace
}  // namespace gradc
