// apply_optimizer - turns a graph with gradients into a training step: clips the gradients, applies
// the optimizer's step op to each parameter, updates parameters, slots and the iteration. Every
// step op takes (parameter, gradient, slots..., rate, decay if weight_decay is not 0) and gives
// (parameter, slots...); a rate named lr_t is corrected for the bias of both moments, one named
// lr_1 for the first moment's, and epsilon_t is epsilon on the scale of the uncorrected root. No
// optimizer is named.
//
// Order of things as in Keras: clip, then (inside the step op) weight decay, then the step. The
// outputs "gradient/..." and the learning rate are used up.
#include "ir/builder.h"
#include "passes/passes.h"
#include "support/check.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace gradc::passes {

namespace {

constexpr std::string_view kGradientPrefix = "gradient/";

struct Trained {
  std::string name;
  Val parameter;
  Val gradient;
};

Val sum_of_squares(Val x) {
  std::vector<int64_t> axes;
  for (int axis = 0; axis < x.rank(); ++axis)
    axes.push_back(axis);
  const Val squares = x * x;
  return axes.empty() ? squares : reduce_sum(squares, axes);
}

Val scaled_by(Val x, Val factor) {
  return x * broadcast_to(cast(factor, x.dtype()), x.shape());
}

/// x * norm / max(|x|, norm): unchanged when |x| <= norm (Keras clipnorm).
Val clipped_by_norm(Val x, double norm) {
  const Val length = sqrt(sum_of_squares(x));
  return scaled_by(x, norm / maximum(length, norm));
}

/// All gradients by norm * min(1 / |all|, 1 / norm); NaN when the common norm is not finite, as in
/// Keras.
void clip_by_global_norm(std::vector<Trained>& all, double norm) {
  Val sum;
  for (const Trained& one : all) {
    const Val part = cast(sum_of_squares(one.gradient), DType::kF32);
    sum = sum.valid() ? sum + part : part;
  }
  const Val length = sqrt(sum);
  const Val scale = norm * minimum(1.0 / length, 1.0 / norm) + (length - length);
  for (Trained& one : all)
    one.gradient = scaled_by(one.gradient, scale);
}

void clip(std::vector<Trained>& all, const OptimizerSpec& spec) {
  for (Trained& one : all) {
    if (spec.clip_norm > 0.0) one.gradient = clipped_by_norm(one.gradient, spec.clip_norm);
    if (spec.clip_value > 0.0)
      one.gradient = minimum(maximum(one.gradient, -spec.clip_value), spec.clip_value);
  }
  if (spec.global_clip_norm > 0.0 && !all.empty()) clip_by_global_norm(all, spec.global_clip_norm);
}

/// The number attribute of that name, or nothing.
std::optional<double> attr_number(const AttrRef& attrs, std::string_view name) {
  for (const auto& [field, value] : attrs.all_fields()) {
    const auto* number = std::get_if<double>(&value);
    if (field == name && number != nullptr) return *number;
  }
  return std::nullopt;
}

bool attr_flag(const AttrRef& attrs, std::string_view name) {
  for (const auto& [field, value] : attrs.all_fields()) {
    const auto* flag = std::get_if<bool>(&value);
    if (field == name && flag != nullptr) return *flag;
  }
  return false;
}

/// 1 - beta^t, accurate also where beta^t is near 1: log(beta) is computed in double here, and
/// expm1 does not cancel.
Val bias_of_moment(double beta, Val step_number) {
  if (beta == 0.0) return step_number.builder().scalar(1.0);
  return -expm1(step_number * std::log(beta));
}

/// 1 - beta^t of the moment that the attribute names, with t = iteration + 1.
Val bias_of(const AttrRef& attrs, std::string_view beta, Val iteration) {
  const std::optional<double> number = attr_number(attrs, beta);
  GRADC_CHECK(number.has_value(), "a bias-corrected rate without {}", beta);
  return bias_of_moment(*number, cast(iteration, DType::kF32) + 1.0);
}

/// Whether the entry lists an operand of that name.
bool takes_operand(const OpDef& entry, std::string_view name) {
  const std::string list = fmt::format(" {} ", entry.operands);
  return list.find(fmt::format(" {} ", name)) != std::string::npos;
}

class StepMaker {
 public:
  StepMaker(Builder& builder, const OptimizerSpec& spec, Val learning_rate, Val iteration)
      : builder_(builder), spec_(spec), rate_(learning_rate) {
    const bool both = takes_operand(def(spec.step), "lr_t");
    if (both || takes_operand(def(spec.step), "lr_1")) {
      if (both) rate_ = rate_ * sqrt(bias_of(spec.attrs, "beta_2", iteration));
      rate_ = rate_ / bias_of(spec.attrs, "beta_1", iteration);
    }
    if (attr_flag(spec.attrs, "corrected_epsilon")) {
      epsilon_ = sqrt(bias_of(spec.attrs, "beta_2", iteration)) *
                 attr_number(spec.attrs, "epsilon").value_or(0.0);
    }
    const double decay = attr_number(spec.attrs, "weight_decay").value_or(0.0);
    if (decay != 0.0) decay_ = learning_rate * decay;
  }

  /// The step op on one parameter, and the updates of the parameter and its slots.
  void make(const Trained& one) {
    const DType dtype = one.parameter.dtype();
    std::vector<Val> operands = {one.parameter, one.gradient};
    for (const OptimizerSlot& slot : spec_.slots)
      operands.push_back(add_slot(one, slot));
    const std::vector<Val> slots(operands.begin() + 2, operands.end());
    operands.push_back(cast(rate_, dtype));
    if (epsilon_.valid()) operands.push_back(cast(epsilon_, dtype));
    if (decay_.valid()) operands.push_back(cast(decay_, dtype));
    const std::string hint = builder_.graph().value(one.parameter.id()).name + ".next";
    const std::vector<Val> results = builder_.add_multi(spec_.step, operands, spec_.attrs, hint);
    GRADC_CHECK(results.size() == slots.size() + 1, "{} gave {} results for {} slots",
                op_name(spec_.step), results.size(), slots.size());
    builder_.update(one.parameter, results[0]);
    for (size_t i = 0; i < slots.size(); ++i)
      builder_.update(slots[i], results[i + 1]);
  }

 private:
  Val add_slot(const Trained& one, const OptimizerSlot& slot) {
    InitSpec init;
    init.kind = slot.initial_value == 0.0 ? "zeros" : "constant";
    init.a = slot.initial_value;
    const std::string name = fmt::format("optimizer/{}/{}", one.name, slot.name);
    const std::string hint =
        fmt::format("{}.{}", builder_.graph().value(one.parameter.id()).name, slot.name);
    return builder_.input(InputKind::kState, one.parameter.type(), name, hint, std::move(init));
  }

  Builder& builder_;
  const OptimizerSpec& spec_;
  Val rate_;     // f32[]
  Val epsilon_;  // f32[]; empty: an attribute
  Val decay_;    // f32[]; empty: none
};

Val find_or_add_iteration(Builder& builder) {
  if (const auto found = builder.graph().find_input(kIterationInput)) return builder.wrap(*found);
  InitSpec init;
  init.kind = "zeros";
  return builder.input(InputKind::kState, {DType::kI64, {}}, kIterationInput, "iteration",
                       std::move(init));
}

/// The parameters that have a gradient; their outputs are removed.
std::vector<Trained> take_gradients(Builder& builder) {
  Graph& graph = builder.graph();
  std::unordered_map<std::string_view, ValueId> parameters;
  for (const GraphInput& input : graph.inputs())
    parameters.emplace(input.name, input.value);
  std::vector<Trained> result;
  for (const GraphOutput& output : graph.outputs()) {
    if (!output.name.starts_with(kGradientPrefix)) continue;
    const std::string name = output.name.substr(kGradientPrefix.size());
    const auto parameter = parameters.find(name);
    GRADC_CHECK(parameter != parameters.end(), "a gradient of \"{}\", which is no parameter", name);
    result.push_back({name, builder.wrap(parameter->second), builder.wrap(output.value)});
  }
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    if (graph.outputs()[i].name.starts_with(kGradientPrefix)) graph.remove_output(i);
  }
  return result;
}

/// The learning rate of this step; its output is removed.
Result<ValueId> take_learning_rate(Graph& graph, const std::string& file) {
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    if (graph.outputs()[i].name != kLearningRateOutput) continue;
    const ValueId value = graph.outputs()[i].value;
    graph.remove_output(i);
    return value;
  }
  return make_error(DiagKind::kInvalidUsage, {.file = file},
                    "graph @{} has no output \"{}\", which apply_optimizer needs", graph.name(),
                    kLearningRateOutput);
}

}  // namespace

Result<bool> apply_optimizer(Graph& graph, PassContext& context) {
  if (!context.options.optimizer)
    return make_error(DiagKind::kInvalidUsage, {.file = context.options.file},
                      "apply_optimizer needs a model that names an optimizer");
  const OptimizerSpec& spec = *context.options.optimizer;
  GRADC_TRY(const ValueId learning_rate, take_learning_rate(graph, context.options.file));
  Builder builder(graph);
  builder.set_phase(Phase::kUpdate);
  builder.set_location("/training/optimizer");
  const Val iteration = find_or_add_iteration(builder);
  std::vector<Trained> trained = take_gradients(builder);
  clip(trained, spec);
  StepMaker steps(builder, spec, builder.wrap(learning_rate), iteration);
  for (const Trained& one : trained) {
    steps.make(one);
    context.count("parameters updated");
  }
  builder.update(iteration, iteration + builder.scalar(1.0, DType::kI64));
  return true;
}

}  // namespace gradc::passes
