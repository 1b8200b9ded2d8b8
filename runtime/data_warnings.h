// What is legal in data and still costs hours: values far from unit scale, classes that validation
// never sees. Told once, before the first step.
#pragma once

#include "runtime/dataset.h"
#include "runtime/warnings.h"

namespace gradc::rt {

/// Warns of the first `train_rows` rows of the training part, which are trained on; the rest of it,
/// or else the validation part, is what they are validated with.
void warn_of_data(const gradc_rt_model& model, const DataSet& set, int64_t train_rows,
                  const Warnings& warnings);

}  // namespace gradc::rt
