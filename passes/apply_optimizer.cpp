// apply_optimizer - turns a graph with gradients into a training step: clips the gradients, applies
// the optimizer's rule (ir/step_rule.h) to each parameter, updates parameters, slots and the
// iteration. No optimizer is named.
//
// Order of things as in Keras: clip, then (inside the step op) weight decay, then the step, then
// the parameter's constraint. The outputs "gradient/...", those of ir/step_output.h and the
// learning rate are used up.
//
// Where the gradients of n steps make one update (kAccumulateOutput), the iteration still counts
// all of them; every step works out the update of its gradients so far, and keeps it in the last of
// n:
//
//   sum = accumulator + g;  w <- select(last, step(w, sum / n), w)
//   accumulator <- select(last, 0, sum)
//
// Moving averages (kAverageOutput) follow the parameters behind all of that.
//
// A parameter that is trained by rows (kByRowsOutput) has the gradient of the rows that were looked
// up in place of its own; these rows and those of its slots make the step, and are put back:
//
//   rows, places = distinct(indices)
//   g = scatter_add(places, dy)
//   w.next, slots.next = optimizer_step(gather(w, rows), g, gather(slots, rows))
//   update w <- put_rows(w, rows, w.next), and the same for the slots
//
// A tuned step has inputs in place of the optimizer's numbers (optimizer_numbers.h). It is made of
// the rule's formula at once: an op with the numbers among its attributes would not be one any
// more.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/step_output.h"
#include "passes/optimizer_numbers.h"
#include "passes/optimizer_steps.h"
#include "passes/passes.h"
#include "passes/used_rows.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc::passes {

namespace {

constexpr std::string_view kGradientPrefix = "gradient/";

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
    const Val held = builder.wrap(parameter->second);
    result.push_back({name, held, builder.wrap(output.value), held});
  }
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    if (graph.outputs()[i].name.starts_with(kGradientPrefix)) graph.remove_output(i);
  }
  return result;
}

/// Calls `use` for the outputs of a prefix that belong to a parameter with a gradient, and removes
/// all of the prefix.
template <class Use>
void take_outputs(Builder& builder, std::string_view prefix, std::vector<Trained>& trained,
                  Use use) {
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

/// An output that is there once, removed; empty if it is not there.
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

double number_of(Val constant) {
  const Graph& graph = constant.builder().graph();
  const NodeId node = graph.def(constant.id());
  GRADC_CHECK(node.valid() && graph.node(node).op == Op::kConstant,
              "a number of a step is no constant");
  return graph.node(node).attrs.as<ConstantAttrs>().value->front();
}

/// The rule with the numbers of each parameter, and their rates.
void take_numbers(Builder& builder, const OptimizerSpec& spec, std::vector<Trained>& trained) {
  for (Trained& one : trained)
    one.step = spec.step;
  take_outputs(builder, kRateOutput, trained, [](Trained& one, Val rate) { one.rate = rate; });
  std::vector<StepNumber> numbers(spec.step.rule().numbers.begin(), spec.step.rule().numbers.end());
  numbers.push_back({"weight_decay"});
  for (const StepNumber& number : numbers) {
    take_outputs(builder, fmt::format("{}{}/", kStepNumberOutput, number.name), trained,
                 [&](Trained& one, Val value) { one.step.set(number.name, number_of(value)); });
  }
}

/// The number of updates before this step, f64[] or the iteration itself.
Val count_updates(Val iteration, Accumulation& accumulation) {
  if (!accumulation.steps.valid()) return iteration;
  const Val step = cast(iteration, DType::kF64);
  const Val updates = step.builder().add(Op::kFloor, {step / accumulation.steps});
  accumulation.last = greater_equal(step - updates * accumulation.steps, accumulation.steps - 1.0);
  return updates;
}

/// Gradients become the means of those that make an update.
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

/// As Keras: the first average is the parameter itself.
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

/// The gradients of what is trained by rows become those of rows; what has none is not trained.
Status take_rows(const Graph& graph, const Accumulation& accumulation, const std::string& file,
                 std::vector<Trained>& trained) {
  for (Trained& one : trained) {
    if (!one.by_rows) continue;
    const std::string_view why = accumulation.steps.valid()
                                     ? "has the gradients of several steps in one update"
                                     : why_not_by_rows(one.step);
    const Place place = {.file = file,
                         .pointer = graph.location(graph.input_of(one.parameter.id()).loc)};
    if (!why.empty())
      return make_error(DiagKind::kUnsupported, place,
                        "\"{}\" is trained by rows, but the optimizer's rule {} {}", one.name,
                        one.step.rule().name, why);
    const std::optional<UsedRows> used = used_rows(one.gradient);
    if (!used || one.constraint.valid() || one.start.id() != one.parameter.id()) {
      Diagnostic error = make_error(
          DiagKind::kUnsupported, place,
          "\"{}\" is trained by rows, but more is done with it than to look up rows", one.name);
      error.with_help("leave \"sparse\" out");
      return error;
    }
    one.rows = used->rows;
    one.gradient = used->gradient;
  }
  std::erase_if(trained, [](const Trained& one) { return !one.gradient.valid(); });
  return Ok{};
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

/// The update; `numbers` gets what it reads if it is tuned.
Result<bool> add_update(Graph& graph, PassContext& context, OptimizerNumbers& numbers) {
  const OptimizerSpec& spec = *context.options.optimizer;
  GRADC_TRY(const ValueId learning_rate, take_learning_rate(graph, context.options.file));
  Builder builder(graph);
  builder.set_phase(Phase::kUpdate);
  builder.set_location("/training/optimizer");
  const Val iteration = find_or_add_iteration(builder);
  std::vector<Trained> trained = take_gradients(builder);
  take_outputs(builder, kConstraintOutput, trained,
               [](Trained& one, Val value) { one.constraint = value; });
  take_outputs(builder, kRestatedOutput, trained,
               [](Trained& one, Val value) { one.start = value; });
  take_outputs(builder, kByRowsOutput, trained, [](Trained& one, Val) { one.by_rows = true; });
  take_numbers(builder, spec, trained);
  Accumulation accumulation{.steps = take_output(builder, kAccumulateOutput), .last = {}};
  GRADC_TRY_STATUS(take_rows(graph, accumulation, context.options.file, trained));
  const Val updates = count_updates(iteration, accumulation);
  const Averages averages = take_averages(builder, updates);
  accumulate(builder, accumulation, trained);
  std::optional<NumberInputs> source;
  if (context.options.tuned) source.emplace(builder);
  NumberInputs* const tuned = source ? &*source : nullptr;
  clip(trained, spec, tuned);
  Val rate = builder.wrap(learning_rate);
  if (tuned != nullptr) rate = tuned->learning_rate(rate);
  const bool all_whole = std::ranges::none_of(trained, &Trained::by_rows);
  StepMaker steps(builder, spec.step, rate, updates, accumulation, averages, tuned, all_whole);
  for (const Trained& one : trained) {
    steps.make(one);
    context.count("parameters updated");
  }
  builder.update(iteration, iteration + builder.scalar(1.0, DType::kI64));
  if (tuned != nullptr) numbers = tuned->read();
  return true;
}

}  // namespace

Result<bool> apply_optimizer(Graph& graph, PassContext& context) {
  if (!context.options.optimizer)
    return make_error(DiagKind::kInvalidUsage, {.file = context.options.file},
                      "apply_optimizer needs a model that names an optimizer");
  OptimizerNumbers numbers;
  return add_update(graph, context, numbers);
}

}  // namespace gradc::passes

namespace gradc {

OptimizerNumbers optimizer_numbers(const OptimizerSpec& spec) {
  Graph graph("numbers");
  Builder builder(graph);
  const TensorType matrix = {DType::kF32, Shape{2, 2}};
  builder.input(InputKind::kParam, matrix, "w", "w");
  const Val gradient = builder.input(InputKind::kInput, matrix, "g", "g");
  graph.add_output("gradient/w", gradient.id());
  graph.add_output(kLearningRateOutput, builder.scalar(0.0).id());
  PassContext context;
  context.options.optimizer = spec;
  context.options.tuned = true;
  OptimizerNumbers numbers;
  const Result<bool> made = passes::add_update(graph, context, numbers);
  GRADC_CHECK(made.ok(), "a tuned step of one matrix was not made");
  return numbers;
}

}  // namespace gradc
