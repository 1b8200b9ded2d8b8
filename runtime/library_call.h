// What the functions of the C ABI of compiled libraries have in common.
#pragma once

#include "runtime/instance.h"
#include "runtime/library.h"
#include "runtime/memory.h"

namespace gradc::rt {

inline Instance* from(gradc_rt_handle* handle) {
  return reinterpret_cast<Instance*>(handle);
}
inline const Instance* from(const gradc_rt_handle* handle) {
  return reinterpret_cast<const Instance*>(handle);
}

/// The status, with its text as the handle's last error.
int fail(const Instance* instance, int status, const char* text);

/// The code for a Status; `otherwise` for what is nobody's memory and no defect.
int status_of(const Status& status, int otherwise);

/// Ok, or the code with the text kept.
inline int told(Instance& instance, const Status& status, int otherwise) {
  return status.ok() ? static_cast<int>(GRADC_RT_OK)
                     : fail(&instance, status_of(status, otherwise), status.text.c_str());
}

/// Runs work(instance), a status code, unless the handle cannot be used; memory that runs out in it
/// is a status code too.
template <class Work>
int call(const gradc_rt_handle* handle, Work&& work) {
  if (handle == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  Instance& instance = *from(const_cast<gradc_rt_handle*>(handle));
  if (!instance.usable()) {
    return fail(&instance, GRADC_RT_AFTER_FORK,
                "the instance belongs to the process that forked this one: its threads are there");
  }
  int result = GRADC_RT_OK;
  const Status status = survive([&] {
    result = work(instance);
    return Status{};
  });
  if (status.ok()) return result;
  const char* text = status.text.empty() ? "out of memory" : status.text.c_str();
  return fail(&instance, GRADC_RT_OUT_OF_MEMORY, text);
}

/// rows is 1 to the batch size.
int check_count(Instance& instance, int64_t rows);
/// The entry is prepared, now if it was not.
int check_entry(Instance& instance, gradc_rt_entry_kind entry);
/// Of a checked instance, whether the values are possible ones.
int check_values(Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
                 int64_t rows);

/// The loss of the entry that ran last; 0 without one.
float loss_of(const Instance& instance);

}  // namespace gradc::rt
