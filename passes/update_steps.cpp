#include "passes/update_steps.h"

#include "ir/op_attrs.h"
#include "ir/step_output.h"
#include "support/check.h"

#include <fmt/format.h>

#include <utility>

namespace gradc::passes {
namespace {

constexpr std::string_view kWeightDecay = "weight_decay";

double number_of(Val constant) {
  const Graph& graph = constant.builder().graph();
  const NodeId node = graph.def(constant.id());
  GRADC_CHECK(node.valid() && graph.node(node).op == Op::kConstant,
              "a number of a step is no constant");
  return graph.node(node).attrs.as<ConstantAttrs>().value->front();
}

}  // namespace

Val like(Val scalar, const TensorType& type) {
  return broadcast(cast(scalar, type.dtype), type.shape, {});
}
Val choose(Val condition, Val a, Val b) {
  return select(broadcast(condition, a.shape(), {}), a, b);
}

Val add_state(Builder& builder, const TensorType& type, std::string name, std::string_view hint,
              double initial_value) {
  InitSpec init;
  init.kind = initial_value == 0.0 ? "zeros" : "constant";
  init.a = initial_value;
  return builder.input(InputKind::kState, type, std::move(name), hint, std::move(init));
}

void take_outputs(Builder& builder, std::string_view prefix, std::vector<Trained>& trained,
                  const std::function<void(Trained&, Val)>& use) {
  Graph& graph = builder.graph();
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    const GraphOutput& output = graph.outputs()[i];
    if (!output.name.starts_with(prefix)) continue;
    const std::string_view name = std::string_view(output.name).substr(prefix.size());
    for (Trained& one : trained) {
      if (one.name == name) use(one, builder.wrap(output.value));
    }
    graph.remove_output(i);
  }
}

Val take_output(Builder& builder, std::string_view name) {
  Graph& graph = builder.graph();
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    if (graph.outputs()[i].name != name) continue;
    const Val value = builder.wrap(graph.outputs()[i].value);
    graph.remove_output(i);
    return value;
  }
  return {};
}

void take_numbers(Builder& builder, const OptimizerSpec& spec, std::vector<Trained>& trained) {
  for (Trained& one : trained)
    one.step = spec.step;
  take_outputs(builder, kRateOutput, trained, [](Trained& one, Val rate) { one.rate = rate; });
  std::vector<StepNumber> numbers(spec.step.rule().numbers.begin(), spec.step.rule().numbers.end());
  numbers.push_back({kWeightDecay});
  for (const StepNumber& number : numbers) {
    take_outputs(builder, fmt::format("{}{}/", kStepNumberOutput, number.name), trained,
                 [&](Trained& one, Val value) {
                   one.step.set(number.name, number_of(value));
                   one.undecayed = one.undecayed || number.name == kWeightDecay;
                 });
  }
}

Val count_updates(Val iteration, Accumulation& accumulation) {
  if (!accumulation.steps.valid()) return iteration;
  const Val step = cast(iteration, DType::kF64);
  const Val updates = step.builder().add(Op::kFloor, {step / accumulation.steps});
  accumulation.last = greater_equal(step - updates * accumulation.steps, accumulation.steps - 1.0);
  return updates;
}

void accumulate(Builder& builder, const Accumulation& accumulation, std::vector<Trained>& all) {
  if (!accumulation.steps.valid()) return;
  for (Trained& one : all) {
    const TensorType type = one.gradient.type();
    const std::string hint = builder.graph().value(one.parameter.id()).name;
    const Val held = add_state(builder, type, slot_name(one.name, {kAccumulatorSlot, type}),
                               fmt::format("{}.{}", hint, kAccumulatorSlot), 0.0);
    const Val sum = held + one.gradient;
    builder.update(held, choose(accumulation.last, builder.splat(0.0, type), sum));
    one.gradient = sum / like(accumulation.steps, type);
  }
}

Averages take_averages(Builder& builder, Val updates) {
  Averages averages;
  const Val momentum = take_output(builder, kAverageOutput);
  const Val every = take_output(builder, kOverwriteOutput);
  if (!momentum.valid()) return averages;
  const Val step = cast(updates, DType::kF64);
  averages.momentum = select(greater(step, 0.0), momentum, 0.0);
  if (!every.valid()) return averages;
  const Val next = step + 1.0;
  const Val whole = builder.add(Op::kFloor, {next / every}) * every;
  averages.overwrite = less_equal(next - whole, 0.0);
  return averages;
}

}  // namespace gradc::passes
