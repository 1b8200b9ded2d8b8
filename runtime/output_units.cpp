#include "runtime/output_units.h"

#include "runtime/text.h"
#include "runtime/weights.h"

#include <cmath>

namespace gradc::rt {
namespace {

UnitMeaning kind_of(const OutputUnits& output) {
  const gradc_rt_tensor* target = output.target;
  if (target == nullptr || target->data == nullptr) return UnitMeaning::kValues;
  const int64_t classes = target->data->classes;
  if (classes == 2 && output.units == 1) return UnitMeaning::kTwoClasses;
  const bool exclusive =
      target->rank < output.tensor->rank || target->data->one_hot_depth > 0;  // not one label each
  const bool fits = classes > 1 && static_cast<size_t>(classes) == output.units;
  return exclusive && fits ? UnitMeaning::kClasses : UnitMeaning::kValues;
}

Str spelled(const Str& name) {
  const bool whole = valid_utf8(name.c_str(), name.size()) == name.size();
  if (whole && memchr(name.c_str(), 0, name.size()) == nullptr) return name.clone();
  Str text;
  for (size_t i = 0; i < name.size(); ++i)
    text.appendf("\\x%02x", static_cast<unsigned>(static_cast<uint8_t>(name[i])));
  return text;
}

}  // namespace

OutputUnits units_of(const Instance& instance, size_t index) {
  OutputUnits output;
  output.tensor = &instance.tensor(index);
  const int64_t target = target_of_output(instance.model(), index);
  if (target >= 0) {
    output.target = &instance.tensor(static_cast<size_t>(target));
    if (instance.meanings() != nullptr)
      output.meaning = &(*instance.meanings())[static_cast<size_t>(target)];
  }
  const int64_t rank = output.tensor->rank;
  output.units = rank > 1 ? static_cast<size_t>(output.tensor->dims[rank - 1]) : 1;
  output.kind = kind_of(output);
  return output;
}

Str class_name(const OutputUnits& output, size_t number) {
  if (output.meaning != nullptr) {
    for (const Vec<Str>* names : {&output.meaning->classes, &output.meaning->characters})
      if (number < names->size()) return spelled((*names)[number]);
  }
  return format("%zu", number);
}

Str value_name(const OutputUnits& output, size_t unit) {
  if (output.meaning != nullptr && output.meaning->columns.size() == output.units)
    return output.meaning->columns[unit].clone();
  const char* name = short_name(*output.tensor);
  return output.units == 1 ? Str(name) : format("%s_%zu", name, unit);
}

bool predicted_class(const OutputUnits& output, const void* values, Dtype dtype, size_t first,
                     size_t* out) {
  const auto value = [&](size_t unit) { return load_f64(values, dtype, first + unit); };
  *out = 0;
  for (size_t unit = 0; unit < output.units; ++unit) {
    if (std::isnan(value(unit))) return false;
    if (value(unit) > value(*out)) *out = unit;
  }
  if (output.kind == UnitMeaning::kTwoClasses)
    *out = value(0) > (output.logits() ? 0.0 : 0.5) ? 1 : 0;
  return true;
}

}  // namespace gradc::rt
