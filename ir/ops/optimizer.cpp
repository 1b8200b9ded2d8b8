// One step of an optimizer on one parameter. Operands: the parameter, its gradient, the rule's
// slots, the rule's scalars (the learning rate among them; a schedule is a graph of its own), and
// with weight_decay != 0 the scalar decay (learning rate times weight_decay), which shrinks the
// parameter first: w - decay w, as Keras 3 does for every optimizer. Results: the new parameter and
// slots. What is done with them stands in the rule (step_*.cpp).
#include "ir/ops/common.h"
#include "ir/step_rule.h"

namespace gradc::ops {

namespace {

size_t num_operands(const StepAttrs& attrs, size_t slots) {
  return 2 + slots + num_step_scalars(attrs) + size_t{attrs.decays()};
}

Result<Types> infer_step(const InferArgs& args) {
  const auto& attrs = args.attr<StepAttrs>();
  const TensorType& w = args.operands[0];
  if (!is_float(w.dtype)) return shape_error("{} of {}, not a float", args.name, to_string(w));
  Types results = {w};
  for (const StepSlot& slot : step_slots(attrs, w))
    results.push_back(slot.type);
  const size_t slots = results.size() - 1;
  const size_t count = num_operands(attrs, slots);
  if (args.operands.size() != count)
    return attr_error("{} with rule {} and these numbers takes {} operands, got {}", args.name,
                      attrs.rule().name, count, args.operands.size());
  for (size_t i = 1; i < count; ++i) {
    TensorType expected = {w.dtype, {}};
    if (i == 1) expected = w;
    if (i >= 2 && i < 2 + slots) expected = results[i - 1];
    if (args.operands[i] != expected)
      return shape_error("{} of {}: operand {} is {}, expected {}", args.name, to_string(w), i,
                         to_string(args.operands[i]), to_string(expected));
  }
  return results;
}

std::vector<Val> expand_op(const ExpandArgs& e) {
  const auto& attrs = e.attr<StepAttrs>();
  const size_t slots = step_slots(attrs, e.in(0).type()).size();
  StepOperands o;
  o.attrs = &attrs;
  o.w = e.in(0);
  o.g = e.in(1);
  const auto first = e.operands.begin() + 2;
  const auto scalars = first + static_cast<std::ptrdiff_t>(slots);
  o.slots.assign(first, scalars);
  o.scalars.assign(scalars, scalars + static_cast<std::ptrdiff_t>(num_step_scalars(attrs)));
  return expand_step(std::move(o), attrs.decays() ? e.operands.back() : Val());
}

void eval_step(const EvalArgs& e) {
  const auto& attrs = e.attr<StepAttrs>();
  const size_t slots = e.outputs.size() - 1;
  Tensor w = e.in(0);
  if (attrs.decays()) {
    for (double& x : w.data)
      x *= 1.0 - e.inputs.back()->data[0];
  }
  std::vector<double> scalars;
  for (size_t i = 0; i < num_step_scalars(attrs); ++i)
    scalars.push_back(e.in(2 + slots + i)[0]);
  attrs.rule().eval(attrs, {.w = w,
                            .g = e.in(1),
                            .slots = e.inputs.subspan(2, slots),
                            .scalars = std::move(scalars),
                            .new_w = e.out(0),
                            .new_slots = e.outputs.subspan(1)});
}

/// All settings of all rules, on a matrix and a vector. The range keeps sums of squares positive,
/// and above squared means.
Samples step_samples() {
  Samples samples;
  for (const StepRule* rule : all_step_rules()) {
    for (const StepAttrs& attrs : rule->samples()) {
      for (const TensorType& w : {f32({3, 4}), f32({5})}) {
        Sample s = {.operands = {w, w}, .attrs = make_attrs(attrs), .low = 0.4, .high = 0.6};
        for (const StepSlot& slot : step_slots(attrs, w))
          s.operands.push_back(slot.type);
        s.operands.resize(num_operands(attrs, s.operands.size() - 2), f32({}));
        samples.push_back(std::move(s));
      }
    }
  }
  return samples;
}

}  // namespace

constinit const OpDef kOptimizerStep{
    .op = Op::kOptimizerStep,
    .name = "optimizer_step",
    .summary =
        "One step of an optimizer: the rule says which slots there are, which scalars of the step "
        "(the learning rate first), and which numbers beside `weight_decay`; a last operand, the "
        "learning rate times weight_decay, is there where that is not 0.",
    .operands = "w g rest...",
    .results = "w slots...",
    .attrs = &kAttrVtable<StepAttrs>,
    .infer = infer_step,
    .eval = eval_step,
    .no_grad = "optimizer steps are outside the differentiated graph",
    .expand = expand_op,
    .lowering = Lowering::kComposite,
    .samples = step_samples,
};

}  // namespace gradc::ops
