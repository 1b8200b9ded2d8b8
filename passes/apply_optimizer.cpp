// apply_optimizer - turns a graph with gradients into a training step: clips the gradients, applies
// the optimizer's step op to each parameter, updates parameters, slots and the iteration. The step
// op's operands are bound by the names its entry gives them, so this pass knows no optimizer.
//
// Order of things as in Keras: clip, then (inside the step op) weight decay, then the step. The
// outputs "gradient/..." and the learning rate are used up.
#include "ir/builder.h"
#include "passes/passes.h"
#include "support/check.h"

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

namespace gradc::passes {

namespace {

constexpr std::string_view kGradientPrefix = "gradient/";

struct Trained {
  std::string name;
  Val parameter;
  Val gradient;
};

std::vector<std::string_view> split_names(std::string_view names) {
  std::vector<std::string_view> result;
  while (!names.empty()) {
    const size_t end = std::min(names.find(' '), names.size());
    if (end > 0) result.push_back(names.substr(0, end));
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return result;
}

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

class StepMaker {
 public:
  StepMaker(Builder& builder, const OptimizerSpec& spec, Val learning_rate, Val iteration)
      : builder_(builder), spec_(spec), learning_rate_(learning_rate), iteration_(iteration) {}

  /// The step op on one parameter, and the updates of the parameter and its slots.
  void make(const Trained& one) {
    std::vector<Val> slots;
    for (const OptimizerSlot& slot : spec_.slots)
      slots.push_back(add_slot(one, slot));
    std::vector<Val> operands;
    size_t next_slot = 0;
    for (std::string_view name : split_names(def(spec_.step).operands))
      operands.push_back(operand(name, one, slots, next_slot));
    GRADC_CHECK(next_slot == slots.size(), "{} takes {} slots, the optimizer has {}",
                op_name(spec_.step), next_slot, slots.size());
    const std::vector<Val> results =
        builder_.add_multi(spec_.step, operands, spec_.attrs,
                           builder_.graph().value(one.parameter.id()).name + ".next");
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

  Val operand(std::string_view name, const Trained& one, const std::vector<Val>& slots,
              size_t& next_slot) const {
    if (name == "parameter") return one.parameter;
    if (name == "gradient") return one.gradient;
    if (name == "learning_rate") return learning_rate_;
    if (name == "iteration") return iteration_;
    GRADC_CHECK(next_slot < slots.size(), "{} has an operand \"{}\" that no slot stands for",
                op_name(spec_.step), name);
    return slots[next_slot++];
  }

  Builder& builder_;
  const OptimizerSpec& spec_;
  Val learning_rate_;
  Val iteration_;
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
  std::vector<Trained> result;
  for (const GraphOutput& output : graph.outputs()) {
    if (!output.name.starts_with(kGradientPrefix)) continue;
    const std::string name = output.name.substr(kGradientPrefix.size());
    const auto parameter = graph.find_input(name);
    GRADC_CHECK(parameter.has_value(), "a gradient of \"{}\", which is no parameter", name);
    result.push_back({name, builder.wrap(*parameter), builder.wrap(output.value)});
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
