// The buffers of a caller as the batch of an entry. Whole batches run on the caller's buffers;
// smaller ones on the instance's own, where rows can be repeated.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

/// Points the tensors of a kind at buffers, in their order; or at the instance's own.
void bind_all(Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
              bool whole);

/// What stands in the rows that a smaller batch does not have.
enum class Beyond { kRowsAgain, kZeros };

/// Copies rows into the instance's own memory.
void copy_rows(Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
               int64_t rows, Beyond beyond = Beyond::kRowsAgain);

/// Copies rows from the instance's own memory.
void give_rows(const Instance& instance, gradc_rt_tensor_kind kind, void* const* buffers,
               int64_t rows);

/// All tensors of batches are at the instance's own memory again.
void unbind_all(Instance& instance);

/// Whether one of `count` buffers is missing.
bool any_null(const void* const* buffers, int64_t count);

}  // namespace gradc::rt
