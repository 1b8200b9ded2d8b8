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
#include "ir/element.h"
#include "ir/step_output.h"
#include "passes/optimizer_numbers.h"
#include "passes/passes.h"
#include "passes/update_steps.h"
#include "passes/used_rows.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc::passes {

namespace {

constexpr std::string_view kGradientPrefix = "gradient/";

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
Val clipped_by_norm(Val x, const Num& norm) {
  const Val length = sqrt(sum_of_squares(x));
  const Val most = norm.like(length);
  return scaled_by(x, most / maximum(length, most));
}

/// All gradients by norm * min(1 / |all|, 1 / norm); NaN when the common norm is not finite, as in
/// Keras.
void clip_by_global_norm(std::vector<Trained>& all, const Num& norm) {
  Val sum;
  for (const Trained& one : all) {
    const Val part = cast(sum_of_squares(one.gradient), DType::kF32);
    sum = sum.valid() ? sum + part : part;
  }
  const Val length = sqrt(sum);
  const Num inverse = norm.become(1.0 / norm.value(), "1 / " + norm.formula());
  const Val scale =
      norm.like(length) * minimum(1.0 / length, inverse.like(length)) + (length - length);
  for (Trained& one : all)
    one.gradient = scaled_by(one.gradient, scale);
}

/// Where a tuned step reads its numbers: inputs, each made when it is first asked for.
class NumberInputs final : public NumberSource {
 public:
  explicit NumberInputs(Builder& builder) : builder_(builder) {}

  void uses(std::string_view name) override {
    if (std::ranges::find(numbers_.names, name) == numbers_.names.end())
      numbers_.names.emplace_back(name);
  }
  Val read(const std::string& formula, double value) override {
    const std::string name = kNumberInput + formula;
    if (const auto found = builder_.graph().find_input(name)) return builder_.wrap(*found);
    numbers_.inputs.emplace_back(name, value);
    return builder_.input(InputKind::kInput, {DType::kF64, {}}, name, "number");
  }
  /// The rate that is set, or the schedule's where none is; f32[].
  Val learning_rate(Val scheduled) {
    const std::string name = std::string(kNumberInput) + kRateNumber;
    const Val set = cast(builder_.input(InputKind::kInput, {DType::kF64, {}}, name, kRateNumber),
                         scheduled.dtype());
    const Graph& graph = builder_.graph();
    if (graph.node(graph.def(scheduled.id())).op == Op::kConstant) return set;
    return select(equal(set, set), set, scheduled);
  }
  const OptimizerNumbers& read() const { return numbers_; }

 private:
  Builder& builder_;
  OptimizerNumbers numbers_;
};

void clip(std::vector<Trained>& all, const OptimizerSpec& spec, NumberSource* source) {
  const auto number = [&](std::string_view name) {
    if (source != nullptr) source->uses(name);
    return Num(spec.number(name), std::string(name), source);
  };
  for (Trained& one : all) {
    if (spec.clip_norm > 0.0) one.gradient = clipped_by_norm(one.gradient, number("clipnorm"));
    if (spec.clip_value <= 0.0) continue;
    const Num most = number("clipvalue");
    const Num least = most.become(-most.value(), "-clipvalue");
    one.gradient =
        minimum(maximum(one.gradient, least.like(one.gradient)), most.like(one.gradient));
  }
  if (spec.global_clip_norm > 0.0 && !all.empty())
    clip_by_global_norm(all, number("global_clipnorm"));
}

class StepMaker {
 public:
  /// `updates` counts updates as the iteration does steps. `source` is null unless the step is
  /// tuned, and then `decays` says whether a decay may be set.
  StepMaker(Builder& builder, const StepAttrs& step, Val learning_rate, Val updates,
            const Accumulation& accumulation, const Averages& averages, NumberSource* source,
            bool decays)
      : builder_(builder),
        learning_rate_(learning_rate),
        updates_(updates),
        accumulation_(accumulation),
        averages_(averages),
        source_(source),
        decays_(source != nullptr && decays) {
    for (const SharedSlot& slot : step.rule().shared)
      shared_.push_back(
          add_state(builder, {DType::kF32, {}}, slot_name(slot), slot.name, slot.initial_value));
    variant(step, {}, false);
  }

  /// The step on one parameter, and the updates of the parameter and its slots.
  void make(const Trained& one) {
    const DType dtype = one.parameter.dtype();
    const std::string hint = builder_.graph().value(one.parameter.id()).name;
    const Variant& how = variant(one.step, one.rate, one.undecayed);
    StepOperands o;
    o.attrs = &how.step;
    o.source = source_;
    o.w = stepped(one, one.start);
    o.g = one.gradient;
    std::vector<Val> slots;
    for (const StepSlot& slot : step_slots(one.step, one.parameter.type())) {
      slots.push_back(add_state(builder_, slot.type, slot_name(one.name, slot),
                                fmt::format("{}.{}", hint, slot.name), slot.initial_value));
      o.slots.push_back(stepped(one, slots.back()));
    }
    for (const Val scalar : how.scalars)
      o.scalars.push_back(cast(scalar, dtype));
    const Val decay = how.decay.valid() ? cast(how.decay, dtype) : Val();
    const std::vector<Val> results =
        source_ != nullptr ? expand_step(o, decay) : as_one_op(o, decay, how.attrs, hint + ".next");
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
    bool undecayed;
    std::vector<Val> scalars;  ///< f32[]
    Val decay;                 ///< f32[]: the last of the step's operands; empty: none
  };

  const Variant& variant(const StepAttrs& step, Val rate, bool undecayed) {
    for (const Variant& known : variants_) {
      if (known.step == step && known.rate.id() == rate.id() && known.undecayed == undecayed)
        return known;
    }
    const Val learning_rate = rate.valid() ? learning_rate_ * rate : learning_rate_;
    const StepNumbers numbers = {&step, source_};
    const StepRule& rule = step.rule();
    std::vector<Val> scalars = {learning_rate};
    if (rule.scalars != nullptr) {
      const Val number = cast(updates_, DType::kF32) + 1.0;
      StepScalars made = rule.scalars(step, {numbers, learning_rate, number, shared_});
      GRADC_CHECK(made.shared.size() == shared_.size(), "{} gave {} new shared slots for {}",
                  rule.name, made.shared.size(), shared_.size());
      for (size_t i = 0; variants_.empty() && i < shared_.size(); ++i)
        builder_.update(shared_[i], updated(made.shared[i], shared_[i]));
      scalars = std::move(made.operands);
    }
    Val decay;
    if (step.decays() || (decays_ && !undecayed)) {
      // A constant is rounded here: folded with a constant rate it would be rounded only behind the
      // product, and a number that is read is rounded before it.
      const Num given = numbers.of("weight_decay");
      const Num rounded = given.is_constant() ? Num(as_element(given.value(), DType::kF32)) : given;
      decay = learning_rate * rounded.like(learning_rate);
    }
    return variants_.emplace_back(
        Variant{step, rate, make_attrs(step), undecayed, std::move(scalars), decay});
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

  std::vector<Val> as_one_op(const StepOperands& o, Val decay, const AttrRef& attrs,
                             const std::string& hint) {
    std::vector<Val> operands = {o.w, o.g};
    operands.insert(operands.end(), o.slots.begin(), o.slots.end());
    operands.insert(operands.end(), o.scalars.begin(), o.scalars.end());
    if (decay.valid()) operands.push_back(decay);
    return builder_.add_multi(Op::kOptimizerStep, operands, attrs, hint);
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
  NumberSource* const source_;
  const bool decays_;  ///< whether a decay may be set where there is none
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
  std::optional<NumberInputs> source;
  if (context.options.tuned) source.emplace(builder);
  NumberInputs* const tuned = source ? &*source : nullptr;
  const Val updates = count_updates(iteration, accumulation);
  const Averages averages = take_averages(builder, updates);
  accumulate(builder, accumulation, trained);
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
