// What the units of an output stand for: the classes or values that its target has, by name where
// the model knows names.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

enum class UnitMeaning {
  kValues,      // every unit is a number of its own
  kClasses,     // one unit for each class: the largest is the prediction
  kTwoClasses,  // one unit: how much it is the second class
};

struct OutputUnits {
  const gradc_rt_tensor* tensor = nullptr;
  const gradc_rt_tensor* target = nullptr;  // null: the model has no training section
  const TensorMeaning* meaning = nullptr;   // of the target; null: nothing is known
  UnitMeaning kind = UnitMeaning::kValues;
  size_t units = 1;

  /// Each unit is how much its own label is there, whatever the others are.
  bool labels() const {
    return kind == UnitMeaning::kValues && units > 1 && target != nullptr &&
           target->data != nullptr && target->data->classes == 2;
  }
  /// Whether the output is before its softmax or sigmoid.
  bool logits() const {
    return target != nullptr && target->data != nullptr &&
           (target->data->flags & GRADC_RT_TARGET_OF_LOGITS) != 0;
  }
};

/// Of the tensor `index`, an output of the model.
OutputUnits units_of(const Instance& instance, size_t index);

/// The name of class `number`; its digits where no names are known. Bytes that no CSV can hold (a
/// zero, half a character) are spelled.
Str class_name(const OutputUnits& output, size_t number);
/// The name of a unit: its target's column, or the output's name.
Str value_name(const OutputUnits& output, size_t unit);

/// Which class the units from element `first` on say; false where one of them is NaN.
bool predicted_class(const OutputUnits& output, const void* values, Dtype dtype, size_t first,
                     size_t* out);

}  // namespace gradc::rt
