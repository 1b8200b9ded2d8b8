#include "frontend/step_marks.h"

#include "frontend/families.h"
#include "frontend/parameter_steps.h"
#include "ir/step_output.h"

#include <map>
#include <string>

namespace gradc {
namespace {

void mark(Builder& builder, const std::string& name, double value, DType dtype) {
  builder.graph().add_output(name, builder.scalar(value, dtype).id());
}

void mark_numbers(Builder& builder, const std::string& parameter, const StepAttrs& usual,
                  const StepAttrs& own) {
  for (const StepNumber& number : usual.rule().numbers) {
    const double value = own.number(number.name);
    if (value == usual.number(number.name)) continue;
    mark(builder, fmt::format("{}{}/{}", kStepNumberOutput, number.name, parameter), value,
         DType::kF64);
  }
}

}  // namespace

void mark_steps(const Model& model, Builder& builder) {
  const Component& optimizer = model.training->optimizer;
  builder.set_location(optimizer.place.pointer);
  builder.set_phase(Phase::kUpdate);
  const StepAttrs usual = make_optimizer_spec(optimizer).step;
  std::map<double, Val> rates;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      if (!spec.trainable) continue;
      const std::string name = layer.name + "/" + spec.name;
      mark_numbers(builder, name, usual, step_of(optimizer, layer, spec));
      if (!decays(optimizer, layer, spec)) {
        mark(builder, fmt::format("{}{}/{}", kStepNumberOutput, "weight_decay", name), 0.0,
             DType::kF64);
      }
      const double multiplier = rate_multiplier(layer);
      if (multiplier == 1.0) continue;
      Val& rate = rates[multiplier];
      if (!rate.valid()) rate = builder.scalar(multiplier);
      builder.graph().add_output(kRateOutput + name, rate.id());
    }
  }
  if (const int64_t steps = accumulated_steps(optimizer); steps > 1)
    mark(builder, kAccumulateOutput, static_cast<double>(steps), DType::kF64);
  if (const auto average = average_options(optimizer)) {
    mark(builder, kAverageOutput, average->momentum, DType::kF32);
    if (average->overwrite)
      mark(builder, kOverwriteOutput, static_cast<double>(*average->overwrite), DType::kF64);
  }
  builder.set_phase(Phase::kForward);
}

}  // namespace gradc
