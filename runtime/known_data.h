// Data sets for a model that has been trained: read with what its weights say of columns, classes
// and characters.
#pragma once

#include "runtime/dataset.h"
#include "runtime/instance.h"
#include "runtime/warnings.h"

namespace gradc::rt {

/// load_dataset() with everything matched by name that the instance knows a name of. `weights` is
/// the file that the instance was loaded from (null: none): what it cannot tell, and so is matched
/// by position, is a warning (null: none are wanted); named classes for a model that was trained
/// with numbers are refused.
Status load_known_dataset(const Instance& instance, const DataSource& source, TargetNeed need,
                          const char* weights, const Warnings* warnings, DataSet* out,
                          double held_out = 0);

/// Takes what the data mean into the instance; what the data do not tell stays as it was.
void learn_meanings(Instance& instance, Vec<TensorMeaning> meanings);

}  // namespace gradc::rt
