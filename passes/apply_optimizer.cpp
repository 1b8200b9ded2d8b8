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
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/step_output.h"
#include "passes/passes.h"
#include "passes/used_rows.h"
#include "support/check.h"

#include <fmt/format.h>

#include <deque>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc::passes {

namespace {

constexpr std::string_view kGradientPrefix = "gradient/";

struct Trained {
  std::string name;
  Val parameter;
  Val gradient;
  Val start = {};       ///< the value that the step goes on from
  Val constraint = {};  ///< a function of the parameter; empty: none
  bool by_rows = false;
  Val rows = {};        ///< of which `gradient` is; empty: all
  StepAttrs step = {};  ///< the rule with this parameter's numbers
  Val rate = {};        ///< what the learning rate is multiplied with, f32[]; empty: 1
};

/// When the update of several steps is made.
struct Accumulation {
  Val steps;  ///< f64[]: their number; empty: every step makes its own
  Val last;   ///< bool[]: whether this is the last of them
};

/// Moving averages of the parameters; empty: none.
struct Averages {
  Val momentum;   ///< f32[]: 0 in the first step
  Val overwrite;  ///< bool[]: whether they replace the parameters in this step; may be empty
};

Val like(Val scalar, const TensorType& type) {
  return broadcast(cast(scalar, type.dtype), type.shape, {});
}
/// A choice for a whole tensor.
Val choose(Val condition, Val a, Val b) {
  return select(broadcast(condition, a.shape(), {}), a, b);
}

/// A value that is a function of others, as the same function of what `made` has for them.
Val replayed(Val value, std::unordered_map<uint32_t, Val>& made) {
  if (const auto found = made.find(value.id().index); found != made.end()) return found->second;
  Builder& builder = value.builder();
  const NodeId def = builder.graph().def(value.id());
  GRADC_CHECK(def.valid(), "a constraint reads more than its parameter");
  const Node node = builder.graph().node(def);
  std::vector<Val> operands;
  for (const ValueId operand : node.operands)
    operands.push_back(replayed(builder.wrap(operand), made));
  const Val again = builder.add(node.op, std::move(operands), node.attrs);
  made.emplace(value.id().index, again);
  return again;
}

/// The constraint of a parameter's next value.
Val constrained(const Trained& one, Val next) {
  if (!one.constraint.valid()) return next;
  std::unordered_map<uint32_t, Val> made = {{one.parameter.id().index, next}};
  return replayed(one.constraint, made);
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

Val add_state(Builder& builder, const TensorType& type, std::string name, std::string_view hint,
              double initial_value) {
  InitSpec init;
  init.kind = initial_value == 0.0 ? "zeros" : "constant";
  init.a = initial_value;
  return builder.input(InputKind::kState, type, std::move(name), hint, std::move(init));
}

class StepMaker {
 public:
  /// `updates` counts updates as the iteration does steps.
  StepMaker(Builder& builder, const StepAttrs& step, Val learning_rate, Val updates,
            const Accumulation& accumulation, const Averages& averages)
      : builder_(builder),
        learning_rate_(learning_rate),
        updates_(updates),
        accumulation_(accumulation),
        averages_(averages) {
    for (const SharedSlot& slot : step.rule().shared)
      shared_.push_back(
          add_state(builder, {DType::kF32, {}}, slot_name(slot), slot.name, slot.initial_value));
    variant(step, {});
  }

  /// The step on one parameter, and the updates of the parameter and its slots.
  void make(const Trained& one) {
    const DType dtype = one.parameter.dtype();
    const std::string hint = builder_.graph().value(one.parameter.id()).name;
    const Variant& how = variant(one.step, one.rate);
    std::vector<Val> operands = {stepped(one, one.start), one.gradient};
    std::vector<Val> slots;
    for (const StepSlot& slot : step_slots(one.step, one.parameter.type())) {
      slots.push_back(add_state(builder_, slot.type, slot_name(one.name, slot),
                                fmt::format("{}.{}", hint, slot.name), slot.initial_value));
      operands.push_back(stepped(one, slots.back()));
    }
    for (const Val scalar : how.scalars)
      operands.push_back(cast(scalar, dtype));
    const std::vector<Val> results =
        builder_.add_multi(Op::kOptimizerStep, operands, how.attrs, hint + ".next");
    const Val next = constrained(one, whole(one, one.parameter, results[0]));
    builder_.update(one.parameter, averaged(one, hint, updated(next, one.start)));
    for (size_t i = 0; i < slots.size(); ++i)
      builder_.update(slots[i], updated(whole(one, slots[i], results[i + 1]), slots[i]));
  }

 private:
  /// What parameters of the same numbers and rate have in common.
  struct Variant {
    StepAttrs step;
    Val rate;
    AttrRef attrs;
    std::vector<Val> scalars;  ///< f32[]
  };

  const Variant& variant(const StepAttrs& step, Val rate) {
    for (const Variant& known : variants_) {
      if (known.step == step && known.rate.id() == rate.id()) return known;
    }
    const Val learning_rate = rate.valid() ? learning_rate_ * rate : learning_rate_;
    const StepRule& rule = step.rule();
    std::vector<Val> scalars = {learning_rate};
    if (rule.scalars != nullptr) {
      const Val number = cast(updates_, DType::kF32) + 1.0;
      StepScalars made = rule.scalars(step, {learning_rate, number, shared_});
      GRADC_CHECK(made.shared.size() == shared_.size(), "{} gave {} new shared slots for {}",
                  rule.name, made.shared.size(), shared_.size());
      for (size_t i = 0; variants_.empty() && i < shared_.size(); ++i)
        builder_.update(shared_[i], updated(made.shared[i], shared_[i]));
      scalars = std::move(made.operands);
    }
    if (step.decays()) scalars.push_back(learning_rate * step.number("weight_decay"));
    return variants_.emplace_back(Variant{step, rate, make_attrs(step), std::move(scalars)});
  }

  /// The next value, in steps that make no update the one that was held.
  Val updated(Val next, Val held) {
    return accumulation_.last.valid() ? choose(accumulation_.last, next, held) : next;
  }

  /// A parameter's next value beside its average, or replaced by it.
  Val averaged(const Trained& one, const std::string& hint, Val next) {
    if (!averages_.momentum.valid()) return next;
    const TensorType type = one.parameter.type();
    const Val average = add_state(builder_, type, slot_name(one.name, {kAverageSlot, type}),
                                  fmt::format("{}.{}", hint, kAverageSlot), 0.0);
    const Val kept = like(averages_.momentum, type);
    const Val moved = average * kept + next * (1.0 - kept);
    builder_.update(average, moved);
    return averages_.overwrite.valid() ? choose(averages_.overwrite, moved, next) : next;
  }

  /// What of a parameter or slot the step is made of.
  Val stepped(const Trained& one, Val held) {
    return one.rows.valid() ? builder_.add(Op::kGather, {held, one.rows}) : held;
  }
  Val whole(const Trained& one, Val held, Val next) {
    return one.rows.valid() ? builder_.add(Op::kPutRows, {held, one.rows, next}) : next;
  }

  Builder& builder_;
  Val learning_rate_, updates_;
  Accumulation accumulation_;
  Averages averages_;
  std::vector<Val> shared_;
  std::deque<Variant> variants_;  ///< the optimizer's own is the first
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
  clip(trained, spec);
  StepMaker steps(builder, spec.step, builder.wrap(learning_rate), updates, accumulation, averages);
  for (const Trained& one : trained) {
    steps.make(one);
    context.count("parameters updated");
  }
  builder.update(iteration, iteration + builder.scalar(1.0, DType::kI64));
  return true;
}

}  // namespace gradc::passes
