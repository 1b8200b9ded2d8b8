// Values of a call's buffers.
#include "runtime/checked.h"

#include "runtime/number.h"
#include "runtime/weights.h"

#include <cmath>

namespace gradc::rt {
namespace {

Status check_tensor(const gradc_rt_tensor& tensor, const char* what, const void* buffer,
                    int64_t rows) {
  const Dtype dtype = static_cast<Dtype>(tensor.dtype);
  const int64_t values = tensor.data != nullptr ? tensor.data->value_count : 0;
  const bool numbers = is_float(dtype);
  if (!numbers && values == 0) return {};
  int64_t per_row = 1;
  for (int64_t d = 1; d < tensor.rank; ++d)
    per_row *= tensor.dims[d];
  for (int64_t i = 0; i < rows * per_row; ++i) {
    const size_t at = static_cast<size_t>(i);
    const double value =
        numbers ? load_f64(buffer, dtype, at) : static_cast<double>(load_i64(buffer, dtype, at));
    const char* name = short_name(tensor);
    const long long row = static_cast<long long>(i / per_row);
    if (numbers && !std::isfinite(value)) {
      return error("%s \"%s\" holds %s in row %lld, finite numbers were expected", what, name,
                   number_text(value).c_str(), row);
    }
    if (values > 0 && (value < 0 || value >= static_cast<double>(values))) {
      return error("%s \"%s\" holds %s in row %lld, expected 0 to %lld", what, name,
                   number_text(value).c_str(), row, static_cast<long long>(values - 1));
    }
  }
  return {};
}

}  // namespace

Status check_rows(const Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
                  int64_t rows) {
  const char* what = kind == GRADC_RT_INPUT ? "input" : "target";
  for (int64_t n = 0; n < instance.count_of(kind); ++n) {
    const gradc_rt_tensor& tensor = instance.tensor(static_cast<size_t>(instance.nth(kind, n)));
    GRADC_RT_TRY(check_tensor(tensor, what, buffers[n], rows));
  }
  return {};
}

}  // namespace gradc::rt
