// Every activation against its formula, written again here in plain C++.
#include "frontend/families.h"
#include "tests/unit/frontend/run_model.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace gradc {
namespace {

const std::vector<double> kPoints = {-4.0, -3.0, -1.2, -0.6, -0.3, 0.0,
                                     0.2,  0.7,  1.1,  2.5,  6.5,  40.0};

double sigma(double x) {
  return 1 / (1 + std::exp(-x));
}
double soft(double x) {
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

struct Case {
  std::string json;
  std::function<double(double)> f;
};

std::vector<Case> scalar_cases() {
  return {
      {R"("linear")", [](double x) { return x; }},
      {R"("relu")", [](double x) { return std::max(x, 0.0); }},
      {R"({"type": "relu", "max_value": 2, "negative_slope": 0.1, "threshold": 0.5})",
       [](double x) { return x >= 2    ? 2
                             : x > 0.5 ? x
                                       : 0.1 * (x - 0.5); }},
      {R"("relu6")", [](double x) { return std::min(std::max(x, 0.0), 6.0); }},
      {R"("leaky_relu")", [](double x) { return x > 0 ? x : 0.2 * x; }},
      {R"({"type": "elu", "alpha": 0.5})",
       [](double x) { return x > 0 ? x : 0.5 * (std::exp(x) - 1); }},
      {R"("selu")",
       [](double x) {
         return 1.05070098735548049 * (x > 0 ? x : 1.67326324235437728 * (std::exp(x) - 1));
       }},
      {R"({"type": "celu", "alpha": 2})",
       [](double x) { return x > 0 ? x : 2 * (std::exp(x / 2) - 1); }},
      {R"("gelu")", [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }},
      {R"({"type": "gelu", "approximate": true})",
       [](double x) {
         return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
       }},
      {R"("silu")", [](double x) { return x * sigma(x); }},
      {R"("swish")", [](double x) { return x * sigma(x); }},
      {R"("mish")", [](double x) { return x * std::tanh(soft(x)); }},
      {R"("softplus")", soft},
      {R"("softsign")", [](double x) { return x / (1 + std::abs(x)); }},
      {R"("sigmoid")", sigma},
      {R"("log_sigmoid")", [](double x) { return -soft(-x); }},
      {R"("hard_sigmoid")", [](double x) { return x <= -3  ? 0
                                                  : x >= 3 ? 1
                                                           : x / 6 + 0.5; }},
      {R"("hard_silu")", [](double x) { return x * (x <= -3  ? 0
                                                    : x >= 3 ? 1
                                                             : x / 6 + 0.5); }},
      {R"("hard_swish")", [](double x) { return x * (x <= -3  ? 0
                                                     : x >= 3 ? 1
                                                              : x / 6 + 0.5); }},
      {R"("tanh")", [](double x) { return std::tanh(x); }},
      {R"("tanh_shrink")", [](double x) { return x - std::tanh(x); }},
      {R"("hard_tanh")", [](double x) { return x < -1  ? -1
                                               : x > 1 ? 1
                                                       : x; }},
      {R"("soft_shrink")", [](double x) { return x > 0.5    ? x - 0.5
                                                 : x < -0.5 ? x + 0.5
                                                            : 0; }},
      {R"({"type": "hard_shrink", "threshold": 1})",
       [](double x) { return std::abs(x) > 1 ? x : 0; }},
      {R"({"type": "threshold", "threshold": 0.1, "default_value": 7})",
       [](double x) { return x > 0.1 ? x : 7; }},
      {R"("exponential")", [](double x) { return std::exp(x); }},
      {R"("sparse_plus")",
       [](double x) { return x <= -1  ? 0
                             : x >= 1 ? x
                                      : (x + 1) * (x + 1) / 4; }},
      {R"("sparse_sigmoid")", [](double x) { return x <= -1  ? 0
                                                    : x >= 1 ? 1
                                                             : (x + 1) / 2; }},
      {R"("squareplus")", [](double x) { return (x + std::sqrt(x * x + 4)) / 2; }},
  };
}

std::vector<double> apply(const std::string& activation, const std::vector<double>& x,
                          const std::string& shape) {
  const RunResult result = run_model(
      with_layers(R"({"type": "activation", "name": "y", "activation": )" + activation + "}",
                  shape),
      {.batch_size = 1}, {{"input/x", x}});
  const auto found = result.outputs.find("output/y");
  return found == result.outputs.end() ? std::vector<double>() : found->second;
}

TEST(Activations, ScalarFormulas) {
  for (const Case& c : scalar_cases()) {
    SCOPED_TRACE(c.json);
    std::vector<double> want;
    for (const double x : kPoints)
      want.push_back(c.f(x));
    const std::vector<double> got = apply(c.json, kPoints, "[12]");
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < got.size(); ++i)
      EXPECT_NEAR(got[i], want[i], 1e-9 * (1 + std::abs(want[i]))) << kPoints[i];
  }
}

TEST(Activations, EveryMemberIsTested) {
  std::string all;
  for (const Case& c : scalar_cases())
    all += c.json;
  for (const char* name : {"softmax", "log_softmax", "sparsemax", "glu"})
    all += '"' + std::string(name) + '"';
  for (const ComponentDef* def : family_members(Family::kActivation)) {
    EXPECT_NE(all.find('"' + std::string(def->type) + '"'), std::string::npos) << def->type;
  }
}

TEST(Activations, Rows) {
  const std::vector<double> x = {1, 2, 3, -1, 0, 100};
  double sum = std::exp(-2.0) + std::exp(-1.0) + 1;
  std::vector<double> got = apply(R"("softmax")", x, "[2, 3]");
  EXPECT_NEAR(got[0], std::exp(-2.0) / sum, 1e-12);
  EXPECT_NEAR(got[5], 1.0, 1e-12);
  got = apply(R"("log_softmax")", x, "[2, 3]");
  EXPECT_NEAR(got[1], -1 - std::log(sum), 1e-12);
  EXPECT_NEAR(got[3], -101, 1e-9);
  got = apply(R"({"type": "softmax", "axis": 1})", x, "[2, 3]");
  EXPECT_NEAR(got[0], sigma(2), 1e-12);
  expect_near(apply(R"("glu")", {1, 2, 3, -1}, "[4]"), {1 * sigma(3), 2 * sigma(-1)}, 1e-12);
}

TEST(Activations, SparsemaxIsTheProjectionOnTheSimplex) {
  expect_near(apply(R"("sparsemax")", {0.5, 0.3, -2.0}, "[3]"), {0.6, 0.4, 0.0}, 1e-12);
  expect_near(apply(R"("sparsemax")", {3, 0, 0}, "[3]"), {1, 0, 0}, 1e-12);
  expect_near(apply(R"("sparsemax")", {2, 2, 2, 2}, "[4]"), {0.25, 0.25, 0.25, 0.25}, 1e-12);
  expect_near(apply(R"({"type": "sparsemax", "axis": 1})", {0.5, 3, 0.3, 0, -2, 0}, "[3, 2]"),
              {0.6, 1, 0.4, 0, 0, 0}, 1e-12);
}

TEST(Activations, LayersOfTheSameName) {
  const auto layer = [](const std::string& json) {
    return run_model(with_layers(json, "[2]"), {.batch_size = 1}, {{"input/x", {-2, 3}}})
        .outputs.begin()
        ->second;
  };
  expect_near(layer(R"({"type": "leaky_relu"})"), {-0.6, 3}, 1e-12);  // the layer's default is 0.3
  expect_near(layer(R"({"type": "relu", "negative_slope": 0.25})"), {-0.5, 3}, 1e-12);
  expect_near(layer(R"({"type": "elu"})"), {std::expm1(-2.0), 3}, 1e-12);
  const RunResult prelu =
      run_model(with_layers(R"({"type": "prelu", "name": "p"})", "[2]"), {.batch_size = 1},
                {{"input/x", {-2, 3}}, {"p/alpha", {0.5, 0.5}}});
  expect_near(prelu.outputs.at("output/p"), {-1, 3}, 1e-12);
}

}  // namespace
}  // namespace gradc
