#include "exchange/optimizer_state.h"

#include "frontend/families.h"
#include "frontend/parameter_steps.h"
#include "ir/optimizer_spec.h"

#include "exchange/keras_components.h"
#include "exchange/keras_order.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace gradc::exchange {
namespace {

/// One variable of a parameter, where a layout has it.
struct Place {
  size_t parameter = 0;
  std::string slot;
  double scale = 1.0;  ///< ours is theirs times this
  bool ours = true;    ///< else it is 0 in what is written, and skipped in what is read
};

struct Slots {
  std::vector<std::string> names;  ///< Keras's, in its order
  size_t together = 1;             ///< how many of the first are made together
};

/// The slots that Keras makes for all parameters alike; none for those that it makes by shape.
Slots slots_of(const Component& optimizer) {
  const StepAttrs step = make_optimizer_spec(optimizer).step;
  const TensorType any{DType::kF32, {2, 2}};
  Slots slots;
  for (const StepSlot& slot : step_slots(step, any))
    slots.names.emplace_back(slot.name);
  const std::string_view rule = step.rule().name;
  if (rule == "rmsprop") {
    // Keras's order is velocity, momentum, average_gradient.
    const auto average = std::find(slots.names.begin(), slots.names.end(), "average_gradient");
    if (average != slots.names.end()) std::rotate(average, average + 1, slots.names.end());
  } else {
    slots.together = 2;  // velocity_hat is made afterwards
  }
  return slots;
}

/// Muon's slots, too, and means of several steps or weights, stand where only their optimizer
/// knows.
bool has_state_by_shape(const Component& optimizer) {
  return optimizer.def->type == "adafactor" || optimizer.def->type == "muon" ||
         accumulated_steps(optimizer) > 1 || average_options(optimizer);
}

std::string what_of(const Component& optimizer) {
  const bool more = accumulated_steps(optimizer) > 1 || average_options(optimizer);
  return fmt::format("that of {}{}", optimizer.def->type,
                     more ? " with accumulated gradients or averaged weights" : "");
}

double rate_of(const Component& optimizer) {
  const Component& schedule = *optimizer.options.component("learning_rate");
  return schedule.def->type == "constant" ? schedule.options.number("learning_rate") : 0.0;
}

std::vector<Place> places(const Component& optimizer, size_t parameters, StateLayout layout) {
  Slots slots = slots_of(optimizer);
  const std::string_view rule = make_optimizer_spec(optimizer).step.rule().name;
  const bool tfjs = layout == StateLayout::kTfjs;
  const bool adds_moments = tfjs && rule == "rmsprop" && slots.names.size() == 1;
  if (adds_moments) slots.names.emplace_back("momentum");
  if (layout != StateLayout::kKeras) slots.together = 1;
  std::vector<Place> list;
  for (size_t first = 0; first < slots.names.size(); first += slots.together) {
    const size_t end = std::min(first + slots.together, slots.names.size());
    for (size_t parameter = 0; parameter < parameters; ++parameter) {
      for (size_t slot = first; slot < end; ++slot) {
        Place place{parameter, slots.names[slot]};
        if (tfjs && rule == "momentum") place.scale = -rate_of(optimizer);
        place.ours = !(adds_moments && slot == 1);
        list.push_back(std::move(place));
      }
    }
  }
  return list;
}

bool is_number(const rt::Array& array) {
  return array.dims.empty() || (array.dims.size() == 1 && array.dims[0] == 1);
}

bool has_shape(const rt::Array& array, const Ints& shape) {
  return array.dims.size() == shape.size() &&
         std::equal(shape.begin(), shape.end(), array.dims.begin());
}

double first_value(const rt::Array& array) {
  return rt::is_float(array.dtype)
             ? rt::load_f64(array.data.data(), array.dtype, 0)
             : static_cast<double>(rt::load_i64(array.data.data(), array.dtype, 0));
}

rt::Array number(rt::Dtype dtype, double value) {
  rt::Array array;
  array.dtype = dtype;
  array.data.resize(rt::dtype_bytes(dtype));
  if (rt::is_float(dtype)) {
    rt::store_f64(array.data.data(), dtype, 0, value);
  } else {
    rt::store_i64(array.data.data(), dtype, 0, static_cast<int64_t>(value));
  }
  return array;
}

void scale(rt::Array& array, double by) {
  if (by == 1.0) return;
  for (size_t i = 0; i < array.count(); ++i)
    rt::store_f64(array.data.data(), array.dtype, i,
                  rt::load_f64(array.data.data(), array.dtype, i) * by);
}

rt::Str str(const std::string& text) {
  return {text.c_str(), text.size()};
}

/// The parameters that have state, in the order of the file's layers: Keras's own.
std::vector<TrainedParameter> in_file_order(const Model& model) {
  std::vector<TrainedParameter> all;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.trainable && !spec.carried) all.push_back({&layer, &spec});
    }
  }
  return all;
}

/// Takes the numbers out of the list: how many steps were made, and the rate, which the optimizer
/// itself says. Nothing where the file does not count steps.
double take_numbers(std::vector<rt::Array>& arrays) {
  double steps = 0;
  bool found = false;
  std::vector<rt::Array> rest;
  for (rt::Array& array : arrays) {
    const bool leading = rest.empty() && array.dims.empty() && array.count() == 1;
    if (!leading) {
      rest.push_back(std::move(array));
      continue;
    }
    if (!found) steps = first_value(array);
    found = true;
  }
  arrays = std::move(rest);
  return steps;
}

constexpr double kMostSteps = 1e15;

/// Nadam's product of momenta follows from the number of steps; Keras does not keep it.
double shared_value(const StepAttrs& step, double steps) {
  constexpr double kMost = 2000.0;  // beyond, 0.96^t is nothing beside 1
  const double beta = step.number("beta_1");
  double product = std::pow(beta, std::max(0.0, steps - kMost));
  for (double t = 1; t <= std::min(steps, kMost); ++t)
    product *= beta * (1.0 - 0.5 * std::pow(0.96, t));
  return product;
}

std::string what_is_wrong(const std::vector<Place>& list, const std::vector<rt::Array>& arrays,
                          const std::vector<TrainedParameter>& parameters) {
  if (arrays.size() < list.size()) {
    return fmt::format("the optimizer has {} variables for {} parameters, the file {}", list.size(),
                       parameters.size(), arrays.size());
  }
  for (size_t i = 0; i < list.size(); ++i) {
    if (!rt::is_float(arrays[i].dtype) ||
        !has_shape(arrays[i], parameters[list[i].parameter].spec->shape)) {
      return fmt::format("{} {} is for \"{}\", whose shape is another",
                         rt::array_type_text(arrays[i]).c_str(), arrays[i].name.c_str(),
                         parameters[list[i].parameter].name());
    }
  }
  // Keras 2 keeps a 0 for every parameter where a slot is not used.
  for (size_t i = list.size(); i < arrays.size(); ++i) {
    if (!is_number(arrays[i])) {
      return fmt::format("the file has {} variables, the optimizer {}", arrays.size(), list.size());
    }
  }
  return {};
}

}  // namespace

std::string assign_state(const Model& model, StateVariables state, rt::SafetensorsFile* out) {
  if (!model.training) return {};
  const Component& optimizer = model.training->optimizer;
  if (has_state_by_shape(optimizer)) return what_of(optimizer) + " cannot be read";
  const std::vector<TrainedParameter> parameters = in_file_order(model);
  const double steps = take_numbers(state.arrays);
  if (!(steps >= 0 && steps <= kMostSteps)) return "its number of steps is none";
  std::vector<Place> list = places(optimizer, parameters.size(), state.layout);
  std::string problem = what_is_wrong(list, state.arrays, parameters);
  if (!problem.empty() && state.layout != StateLayout::kTfjs) {
    // The other order, where shapes tell.
    const StateLayout other =
        state.layout == StateLayout::kKeras ? StateLayout::kBySlot : StateLayout::kKeras;
    std::vector<Place> turned = places(optimizer, parameters.size(), other);
    if (what_is_wrong(turned, state.arrays, parameters).empty()) {
      list = std::move(turned);
      problem.clear();
    }
  }
  if (!problem.empty()) return problem;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].ours) continue;
    rt::Array& array = state.arrays[i];
    scale(array, list[i].scale);
    array.name = str(slot_name(parameters[list[i].parameter].name(), {list[i].slot, {}, 0.0}));
    array.source = array.name.clone();
    out->arrays.push(std::move(array));
  }
  const StepAttrs step = make_optimizer_spec(optimizer).step;
  for (const SharedSlot& shared : step.rule().shared) {
    rt::Array array = number(rt::Dtype::kF32, shared_value(step, steps));
    array.name = str(slot_name(shared));
    out->arrays.push(std::move(array));
  }
  rt::Array iteration = number(rt::Dtype::kI64, steps);
  iteration.name = kIterationInput;
  out->arrays.push(std::move(iteration));
  return {};
}

void leave_state_out(const Model& model, const rt::SafetensorsFile& file, std::string_view why,
                     std::vector<Diagnostic>& left_out) {
  const bool has_slots = std::any_of(file.arrays.begin(), file.arrays.end(), [](const auto& array) {
    return std::string_view(array.name.c_str()).starts_with("optimizer/") &&
           std::string_view(array.name.c_str()) != kIterationInput;
  });
  if (!has_slots) return;
  left_out.push_back({DiagKind::kLeftOut,
                      Severity::kWarning,
                      fmt::format("what is written is without the optimizer's state: {}", why),
                      {.file = model.file},
                      {},
                      {}});
}

std::vector<WrittenVariable> state_variables(const Model& model, const rt::SafetensorsFile& file,
                                             StateLayout layout,
                                             std::vector<Diagnostic>& left_out) {
  std::vector<WrittenVariable> all;
  const rt::Array* iteration = file.find(kIterationInput);
  if (!model.training || iteration == nullptr || iteration->count() != 1) return all;
  const Component& optimizer = model.training->optimizer;
  if (has_state_by_shape(optimizer)) {
    leave_state_out(model, file, what_of(optimizer) + " cannot be written", left_out);
    return all;
  }
  const bool tfjs = layout == StateLayout::kTfjs;
  const std::string who = keras_class(optimizer.def->type);
  all.push_back({tfjs ? "iter" : "iteration",
                 number(tfjs ? rt::Dtype::kI32 : rt::Dtype::kI64, first_value(*iteration))});
  const std::vector<TrainedParameter> parameters = trained_parameters(model);
  for (const Place& place : places(optimizer, parameters.size(), layout)) {
    const TrainedParameter& parameter = parameters[place.parameter];
    const std::string name = slot_name(parameter.name(), {place.slot, {}, 0.0});
    const rt::Array* array = file.find(name.c_str());
    rt::Array copy;
    if (place.ours && array == nullptr) {
      leave_state_out(model, file, fmt::format("the weights have no \"{}\"", name), left_out);
      return {};
    }
    if (place.ours) {
      copy = array->clone();
      scale(copy, place.scale == 0.0 ? 1.0 : 1.0 / place.scale);
    } else {
      copy.dims.append(parameter.spec->shape.data(), parameter.spec->shape.size());
      copy.data.resize(copy.count() * rt::dtype_bytes(copy.dtype));
    }
    all.push_back({tfjs ? parameter.name() + "/" + place.slot
                        : who + "/" + place.slot + "/" + parameter.name(),
                   std::move(copy)});
  }
  return all;
}

}  // namespace gradc::exchange
