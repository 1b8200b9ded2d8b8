// The optimizer's numbers as a host reads and sets them while training goes on. Setting one makes
// no new code: the entries that hosts train by read what the rule makes of them from the instance.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// Index of the number of that name, or -1.
int64_t find_hyperparameter(const gradc_rt_model& model, const char* name);
/// "learning_rate, momentum", or "none".
Str hyperparameter_names(const gradc_rt_model& model);
/// Whether the optimizer's option allows a value. NaN gives a learning rate back to the model.
Status check_hyperparameter(const gradc_rt_hyperparameter& number, double value);

/// What the next step takes. A learning rate of the schedule is worked out by an entry, which may
/// not be there.
Status read_hyperparameter(Instance& instance, int64_t index, double* value);
/// An allowed value, for all following steps.
Status write_hyperparameter(Instance& instance, int64_t index, double value);

/// Puts what the optimizer's rule is made of into the instance's tensors, which it must have.
void write_numbers(Instance& instance);

}  // namespace gradc::rt
