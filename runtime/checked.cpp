// Values of a call's buffers: by the same rules as data files.
#include "runtime/checked.h"

#include "runtime/dataset.h"
#include "runtime/weights.h"

namespace gradc::rt {

Status check_rows(const Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
                  int64_t rows) {
  const char* what = kind == GRADC_RT_INPUT ? "input" : "target";
  Status problems;
  for (int64_t n = 0; n < instance.count_of(kind); ++n) {
    const size_t index = static_cast<size_t>(instance.nth(kind, n));
    const gradc_rt_tensor& tensor = instance.tensor(index);
    const Str name = format("%s \"%s\"", what, short_name(tensor));
    const Status one = check_values(instance.model(), index, static_cast<Dtype>(tensor.dtype),
                                    buffers[n], rows, name.c_str());
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  return problems;
}

}  // namespace gradc::rt
