#include "passes/optimizer_steps.h"

#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>

namespace gradc::passes {

namespace {

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

}  // namespace

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

Val add_state(Builder& builder, const TensorType& type, std::string name, std::string_view hint,
              double initial_value) {
  InitSpec init;
  init.kind = initial_value == 0.0 ? "zeros" : "constant";
  init.a = initial_value;
  return builder.input(InputKind::kState, type, std::move(name), hint, std::move(init));
}

StepMaker::StepMaker(Builder& builder, const StepAttrs& step, Val learning_rate, Val updates,
                     const Accumulation& accumulation, const Averages& averages,
                     NumberSource* source, bool decays)
    : builder_(builder),
      step_(step),
      learning_rate_(learning_rate),
      updates_(updates),
      accumulation_(accumulation),
      averages_(averages),
      source_(source),
      decays_(decays) {
  for (const SharedSlot& slot : step.rule().shared)
    shared_.push_back(
        add_state(builder, {DType::kF32, {}}, slot_name(slot), slot.name, slot.initial_value));
  variant(step, {});
}

void StepMaker::make(const Trained& one) {
  const DType dtype = one.parameter.dtype();
  const std::string hint = builder_.graph().value(one.parameter.id()).name;
  const Variant& how = variant(one.step, one.rate);
  StepOperands o;
  static_cast<StepNumbers&>(o) = numbers_of(how.step);
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

const StepMaker::Variant& StepMaker::variant(const StepAttrs& step, Val rate) {
  for (const Variant& known : variants_) {
    if (known.step == step && known.rate.id() == rate.id()) return known;
  }
  Variant& made = variants_.emplace_back(Variant{step, rate, make_attrs(step), {}, {}});
  const StepNumbers numbers = numbers_of(made.step);
  const Val learning_rate = rate.valid() ? learning_rate_ * rate : learning_rate_;
  const StepRule& rule = step.rule();
  made.scalars = {learning_rate};
  if (rule.scalars != nullptr) {
    const Val number = cast(updates_, DType::kF32) + 1.0;
    StepScalars scalars = rule.scalars(step, {numbers, learning_rate, number, shared_});
    GRADC_CHECK(scalars.shared.size() == shared_.size(), "{} gave {} new shared slots for {}",
                rule.name, scalars.shared.size(), shared_.size());
    for (size_t i = 0; variants_.size() == 1 && i < shared_.size(); ++i)
      builder_.update(shared_[i], updated(scalars.shared[i], shared_[i]));
    made.scalars = std::move(scalars.operands);
  }
  if (!step.decays() && (source_ == nullptr || !decays_)) return made;
  const Num decay = numbers.of("weight_decay");
  if (!decay.is_constant() || decay.value() != 0.0)
    made.decay = learning_rate * decay.like(learning_rate);
  return made;
}

std::vector<Val> StepMaker::as_one_op(const StepOperands& o, Val decay, const AttrRef& attrs,
                                      const std::string& hint) {
  std::vector<Val> operands = {o.w, o.g};
  operands.insert(operands.end(), o.slots.begin(), o.slots.end());
  operands.insert(operands.end(), o.scalars.begin(), o.scalars.end());
  if (decay.valid()) operands.push_back(decay);
  return builder_.add_multi(Op::kOptimizerStep, operands, attrs, hint);
}

Val StepMaker::updated(Val next, Val held) {
  return accumulation_.last.valid() ? choose(accumulation_.last, next, held) : next;
}

Val StepMaker::averaged(const Trained& one, const std::string& hint, Val next) {
  if (!averages_.momentum.valid()) return next;
  const TensorType type = one.parameter.type();
  const Val average = add_state(builder_, type, slot_name(one.name, {kAverageSlot, type}),
                                fmt::format("{}.{}", hint, kAverageSlot), 0.0);
  const Val kept = like(averages_.momentum, type);
  const Val moved = average * kept + next * (1.0 - kept);
  builder_.update(average, moved);
  return averages_.overwrite.valid() ? choose(averages_.overwrite, moved, next) : next;
}

Val StepMaker::stepped(const Trained& one, Val held) {
  return one.rows.valid() ? builder_.add(Op::kGather, {held, one.rows}) : held;
}
Val StepMaker::whole(const Trained& one, Val held, Val next) {
  return one.rows.valid() ? builder_.add(Op::kPutRows, {held, one.rows, next}) : next;
}

}  // namespace gradc::passes
