#include "runtime/batch_buffers.h"

#include <cstring>

namespace gradc::rt {

namespace {

size_t row_bytes(const Instance& instance, size_t index) {
  return static_cast<size_t>(instance.tensor(index).bytes / instance.model().batch_size);
}

}  // namespace

void bind_all(Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
              bool whole) {
  for (int64_t n = 0; n < instance.count_of(kind); ++n) {
    const size_t index = static_cast<size_t>(instance.nth(kind, n));
    // Compiled code only reads inputs and targets; the slot table has one type for all.
    instance.bind(index, whole ? const_cast<void*>(buffers[n]) : nullptr);
  }
}

void copy_rows(Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
               int64_t rows, Beyond beyond) {
  const int64_t batch = instance.model().batch_size;
  for (int64_t n = 0; n < instance.count_of(kind); ++n) {
    const size_t index = static_cast<size_t>(instance.nth(kind, n));
    const size_t bytes = row_bytes(instance, index);
    char* own = static_cast<char*>(instance.data(index));
    for (int64_t row = 0; row < batch; ++row) {
      char* const to = own + static_cast<size_t>(row) * bytes;
      if (row >= rows && beyond == Beyond::kZeros)
        memset(to, 0, bytes);
      else
        memcpy(to, static_cast<const char*>(buffers[n]) + static_cast<size_t>(row % rows) * bytes,
               bytes);
    }
  }
}

void give_rows(const Instance& instance, gradc_rt_tensor_kind kind, void* const* buffers,
               int64_t rows) {
  for (int64_t n = 0; n < instance.count_of(kind); ++n) {
    const size_t index = static_cast<size_t>(instance.nth(kind, n));
    memcpy(buffers[n], instance.data(index),
           row_bytes(instance, index) * static_cast<size_t>(rows));
  }
}

void unbind_all(Instance& instance) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    switch (instance.tensor(i).kind) {
      case GRADC_RT_INPUT:
      case GRADC_RT_TARGET:
      case GRADC_RT_OUTPUT:
      case GRADC_RT_INPUT_GRADIENT:
      case GRADC_RT_OUTPUT_GRADIENT:
        instance.bind(i, nullptr);
        break;
      default:
        break;
    }
  }
}

bool any_null(const void* const* buffers, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    if (buffers == nullptr || buffers[i] == nullptr) return true;
  }
  return false;
}

}  // namespace gradc::rt
