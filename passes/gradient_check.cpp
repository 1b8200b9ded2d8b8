#include "passes/gradient_check.h"

#include "ir/interpreter.h"
#include "passes/pass_manager.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <numbers>
#include <numeric>
#include <random>

namespace gradc {

namespace {

/// Two steps, because one may cross a kink (relu, max) that the other does not.
constexpr std::array kSteps = {1e-5, 1e-6};
/// Derivatives below this share of the loss are compared as if they were it.
constexpr double kNoise = 1e-6;
/// How many times what rounding does to the loss, on the whole, may show in a difference.
constexpr double kRoundings = 6.0;

/// Uniform in [low, high), the same with every standard library.
double uniform(std::mt19937_64& engine, double low, double high) {
  return low + (high - low) * static_cast<double>(engine() >> 11U) * 0x1p-53;
}

double dot(const Tensor& a, const Tensor& b) {
  return std::inner_product(a.data.begin(), a.data.end(), b.data.begin(), 0.0);
}

/// A copy of the graph reduced to one kind of outputs.
class Evaluated {
 public:
  static Result<Evaluated> make(const Graph& graph, std::string_view pipeline) {
    Evaluated result;
    result.graph_ = graph.clone();
    for (size_t i = graph.outputs().size(); i-- > 0;) {
      if (graph.outputs()[i].name != "loss") result.graph_->remove_output(i);
    }
    for (NodeId id : result.graph_->nodes()) {  // updates do not influence the loss
      if (def(result.graph_->node(id).op).has(kTraitEffect)) result.graph_->erase(id);
    }
    PassContext context;
    GRADC_TRY_STATUS(run_passes(*result.graph_, pipeline, context));
    return result;
  }

  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs) const {
    GRADC_TRY(InterpretResult result, interpret(*graph_, inputs));
    return std::move(result.outputs);
  }
  const Graph& graph() const { return *graph_; }

 private:
  std::shared_ptr<Graph> graph_;
};

/// d loss / d direction of one input by central differences.
Result<double> central_difference(const Evaluated& loss, std::vector<Tensor>& inputs, size_t which,
                                  const Tensor& direction, double step) {
  const std::vector<double> center = inputs[which].data;
  std::array<double, 2> ends{};
  for (size_t side = 0; side < 2; ++side) {
    const double h = side == 0 ? step : -step;
    for (size_t i = 0; i < center.size(); ++i)
      inputs[which].data[i] = center[i] + h * direction.data[i];
    GRADC_TRY(const std::vector<Tensor> outputs, loss.run(inputs));
    ends[side] = outputs[0][0];
  }
  inputs[which].data = center;
  return (ends[0] - ends[1]) / (2.0 * step);
}

/// What the checks of all parameters have in common.
struct Noise {
  double small = 0.0;     ///< derivatives below it are compared as if they were it
  double rounding = 0.0;  ///< standard deviation of the loss by rounding alone
};

/// One direction of one parameter, with the step that agrees best.
Result<ParameterCheck> check_direction(const Evaluated& loss, std::vector<Tensor>& inputs,
                                       size_t which, const Tensor& gradient,
                                       const Tensor& direction, const Noise& noise) {
  ParameterCheck best;
  best.analytic = dot(gradient, direction);
  best.relative_error = std::numeric_limits<double>::infinity();
  for (double step : kSteps) {
    GRADC_TRY(const double numeric, central_difference(loss, inputs, which, direction, step));
    const double size = std::max({std::fabs(numeric), std::fabs(best.analytic), noise.small});
    const double error = std::fabs(numeric - best.analytic) / size;
    if (error >= best.relative_error) continue;
    best.numeric = numeric;
    best.relative_error = error;
    best.rounding = kRoundings * noise.rounding / (std::numbers::sqrt2 * step);
  }
  return best;
}

/// A direction of length about 1.
Tensor draw_direction(const TensorType& type, std::mt19937_64& engine) {
  Tensor direction(type);
  const double size = std::sqrt(3.0 / static_cast<double>(type.num_elements()));
  for (double& x : direction.data)
    x = uniform(engine, -size, size);
  return direction;
}

/// How far rounding moves the loss, by its fourth differences along a line so short that the loss
/// is straight there (J. J. More and S. M. Wild, "Estimating computational noise", 2011). A kink on
/// the line would pass for rounding, so the least of several lines counts.
Result<double> rounding_of(const Evaluated& loss, const Graph& graph,
                           std::span<const Tensor> inputs, std::mt19937_64& engine) {
  constexpr size_t kPoints = 9;
  constexpr size_t kOrder = 4;
  constexpr double kVarianceOfOrder = 70.0;  // of the fourth difference of numbers of variance 1
  constexpr int kLines = 3;
  constexpr double kSpacing = 1e-9;
  double least = std::numeric_limits<double>::infinity();
  for (int line = 0; line < kLines; ++line) {
    std::vector<Tensor> point(inputs.begin(), inputs.end());
    std::vector<Tensor> directions;
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      const bool moves = graph.inputs()[i].kind == InputKind::kParam;
      directions.push_back(moves ? draw_direction(inputs[i].type, engine) : Tensor(TensorType{}));
    }
    std::array<double, kPoints> values{};
    for (size_t k = 0; k < kPoints; ++k) {
      for (size_t i = 0; i < point.size(); ++i) {
        if (graph.inputs()[i].kind != InputKind::kParam) continue;
        for (size_t e = 0; e < point[i].data.size(); ++e)
          point[i].data[e] =
              inputs[i].data[e] + kSpacing * static_cast<double>(k) * directions[i].data[e];
      }
      GRADC_TRY(const std::vector<Tensor> outputs, loss.run(point));
      values[k] = outputs[0][0];
    }
    for (size_t order = 0; order < kOrder; ++order) {
      for (size_t k = 0; k + order + 1 < kPoints; ++k)
        values[k] = values[k + 1] - values[k];
    }
    double squares = 0.0;
    for (size_t k = 0; k + kOrder < kPoints; ++k)
      squares += values[k] * values[k];
    const double mean = squares / static_cast<double>(kPoints - kOrder);
    if (std::isfinite(mean)) least = std::min(least, std::sqrt(mean / kVarianceOfOrder));
  }
  return std::isfinite(least) ? least : 0.0;
}

/// Half-width of the interval around which a parameter starts.
double spread(const GraphInput& input, const TensorType& type) {
  if (input.init.fan_in > 0) return std::sqrt(3.0 / static_cast<double>(input.init.fan_in));
  return type.rank() < 2 ? 0.5 : std::sqrt(3.0 / static_cast<double>(type.shape[type.rank() - 2]));
}

double initial_value(const InitSpec& init) {
  if (init.kind == "ones") return 1.0;
  return init.kind == "constant" ? init.a : 0.0;
}

bool is_constant(const InitSpec& init) {
  return init.kind.empty() || init.kind == "zeros" || init.kind == "ones" ||
         init.kind == "constant";
}

}  // namespace

Result<std::vector<ParameterCheck>> check_gradients(const Graph& graph,
                                                    std::span<const Tensor> inputs,
                                                    const GradientCheckOptions& options) {
  GRADC_TRY(const Evaluated loss, Evaluated::make(graph, "dce"));
  GRADC_TRY(const Evaluated gradients, Evaluated::make(graph, "differentiate,dce"));
  GRADC_TRY(const std::vector<Tensor> computed, gradients.run(inputs));
  std::vector<Tensor> point(inputs.begin(), inputs.end());
  std::mt19937_64 engine(options.seed);
  std::mt19937_64 lines(options.seed + 1);
  Noise noise{.small = kNoise * std::max(1.0, std::fabs(computed[0][0]))};
  GRADC_TRY(noise.rounding, rounding_of(loss, graph, inputs, lines));
  std::vector<ParameterCheck> result;
  for (size_t i = 0; i < graph.inputs().size(); ++i) {
    const GraphInput& input = graph.inputs()[i];
    const std::vector<GraphOutput>& outputs = gradients.graph().outputs();
    const auto output = std::find_if(
        outputs.begin(), outputs.end(),
        [&](const GraphOutput& candidate) { return candidate.name == "gradient/" + input.name; });
    if (input.kind != InputKind::kParam || output == outputs.end()) continue;
    const Tensor& gradient = computed[static_cast<size_t>(output - outputs.begin())];
    ParameterCheck worst;
    worst.relative_error = -1.0;
    for (int n = 0; n < options.directions; ++n) {
      const Tensor direction = draw_direction(gradient.type, engine);
      GRADC_TRY(ParameterCheck check, check_direction(loss, point, i, gradient, direction, noise));
      check.passed = check.relative_error <= options.tolerance || check.within_rounding();
      // NaN counts as the worst.
      const bool worse = !(check.relative_error <= worst.relative_error);
      if (n == 0 || check.passed < worst.passed || (check.passed == worst.passed && worse))
        worst = std::move(check);
    }
    worst.name = input.name;
    worst.type = gradient.type;
    result.push_back(std::move(worst));
  }
  return result;
}

std::vector<Tensor> draw_inputs(const Graph& graph, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    Tensor& t = inputs.emplace_back(graph.type(input.value));
    const bool is_weight = input.name == "tail/weight";
    for (double& x : t.data) {
      if (!is_float(t.type.dtype)) {
        x = input.kind == InputKind::kState ? 0.0 : static_cast<double>(engine() >> 63U);
      } else if (input.kind == InputKind::kState) {
        const double width = spread(input, t.type);
        x = is_constant(input.init) ? initial_value(input.init) : uniform(engine, -width, width);
      } else if (input.kind == InputKind::kParam) {
        const double width = spread(input, t.type);
        x = initial_value(input.init) + uniform(engine, -width, width);
      } else {
        x = is_weight ? 1.0 / static_cast<double>(t.size()) : uniform(engine, -1.0, 1.0);
      }
    }
  }
  return inputs;
}

}  // namespace gradc
