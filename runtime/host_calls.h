// What hosts in the compiler's process call beside a compiled library's functions: gradients as
// values, and the outputs that a loss of their own is made of.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// A call of an entry of gradients, or of GRADC_RT_FORWARD. Lists are in the model's order and hold
/// `rows` rows, 1 to the batch size; those that the entry has not are not looked at.
struct HostBatch {
  const void* const* inputs = nullptr;
  const void* const* targets = nullptr;           ///< GRADC_RT_LOSS_TO_...
  const void* const* output_gradients = nullptr;  ///< GRADC_RT_OUTPUTS_TO_...
  void* const* input_gradients = nullptr;         ///< ..._TO_INPUTS, ..._TO_ALL
  void* const* outputs = nullptr;                 ///< GRADC_RT_FORWARD
  int64_t rows = 0;
};

/// Which of an entry's two variants takes so many rows; `entry` is that of whole batches.
gradc_rt_entry_kind entry_for_rows(const Instance& instance, gradc_rt_entry_kind entry,
                                   int64_t rows);

/// Runs entry_for_rows(entry), preparing it if need be. Gradients of parameters are in the
/// instance's memory afterwards.
Status run_host_batch(Instance& instance, gradc_rt_entry_kind entry, const HostBatch& batch);

}  // namespace gradc::rt
