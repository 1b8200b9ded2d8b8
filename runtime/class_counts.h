// How many examples of each class there are, and what each class weighs by that.
#pragma once

#include "runtime/dataset.h"
#include "runtime/instance.h"

namespace gradc::rt {

/// Some rows of a target.
struct ClassRows {
  const Array* array = nullptr;
  size_t first = 0;
  size_t count = 0;
};

/// How often each class is met, positions of sequences each for itself; rows of numbers count as
/// the class of their largest. What the loss ignores does not count.
Vec<double> count_classes(const gradc_rt_tensor& target, const ClassRows& rows);

/// "classes of y: ham (4825), spam (747)" of each target that has one class for each example: how
/// many of the first `train_rows` there are; of many classes the least and the most. "" if none
/// has.
Str class_text(const gradc_rt_model& model, const DataSet& set, int64_t train_rows);

/// Gives the states of class weights their values: what the model says of each class by name, or
/// n / (k n_c) of n positions in k classes, n_c of them in class c ("balanced", as scikit-learn's;
/// 1 for classes that are not there). Those of the first `train_rows` rows count. *text tells the
/// weights that follow from the data, "" if none do. A class that the data do not have is refused.
Status set_class_weights(Instance& instance, const DataSet& set, int64_t train_rows, Str* text);

}  // namespace gradc::rt
