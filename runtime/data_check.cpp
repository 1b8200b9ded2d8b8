// What is checked of data before training starts.
#include "runtime/dataset.h"
#include "runtime/weights.h"

#include <cmath>

namespace gradc::rt {
namespace {

size_t example_elements(const gradc_rt_tensor& tensor) {
  size_t count = 1;
  for (int64_t d = 1; d < tensor.rank; ++d)
    count *= static_cast<size_t>(tensor.dims[d]);
  return count;
}

size_t array_example_elements(const Array& array) {
  size_t count = 1;
  for (size_t d = 1; d < array.dims.size(); ++d)
    count *= static_cast<size_t>(array.dims[d]);
  return count;
}

// With "crop" the source may be higher and wider than the model's [height, width(, channels)].
bool crop_fits(const gradc_rt_tensor& tensor, const Array& array) {
  if (tensor.data == nullptr || tensor.data->crop == 0 || tensor.rank < 3) return false;
  if (array.dims.size() != static_cast<size_t>(tensor.rank)) return false;
  for (int64_t d = 1; d < tensor.rank; ++d) {
    const int64_t have = array.dims[static_cast<size_t>(d)];
    if (d <= 2 ? have < tensor.dims[d] : have != tensor.dims[d]) return false;
  }
  return true;
}

// [28, 28] as [784], [784] as [28, 28], [28, 28] as [28, 28, 1]: the same numbers in the same order
// and meaning. [14, 56] as [28, 28] is a mistake.
bool reshapes(const gradc_rt_tensor& tensor, const Array& array) {
  Vec<int64_t> want, have;  // without axes of one element
  for (int64_t d = 1; d < tensor.rank; ++d)
    if (tensor.dims[d] != 1) want.push(tensor.dims[d]);
  for (size_t d = 1; d < array.dims.size(); ++d)
    if (array.dims[d] != 1) have.push(array.dims[d]);
  if (want.size() <= 1 || have.size() <= 1) return true;
  bool same = want.size() == have.size();
  for (size_t d = 0; same && d < want.size(); ++d)
    same = want[d] == have[d];
  return same;
}

void check_shape(const gradc_rt_tensor& tensor, const Array& array, Status& problems) {
  const int64_t depth = tensor.data != nullptr ? tensor.data->one_hot_depth : 0;
  const size_t want = example_elements(tensor);
  const size_t have = array_example_elements(array);
  if ((have == want && reshapes(tensor, array)) || crop_fits(tensor, array)) return;
  if (depth > 0 && have * static_cast<size_t>(depth) == want) return;
  const Str example = dims_text({tensor.dims + 1, static_cast<size_t>(tensor.rank - 1)});
  const Str seen = dims_text({array.dims.data() + 1, array.dims.size() - 1});
  add_problem(problems, "%s: each example is %s (%zu values), %s needs %s (%zu values)",
              array.source.c_str(), seen.c_str(), have, tensor.name, example.c_str(), want);
}

// Is this array turned into one-hot rows?
bool is_one_hot(const gradc_rt_tensor& tensor, const Array& array) {
  return tensor.data != nullptr && tensor.data->one_hot_depth > 0 &&
         array_example_elements(array) != example_elements(tensor);
}

Str place_text(const Array& array, size_t index) {
  const size_t per_example = array_example_elements(array);
  if (per_example <= 1) return format("example %zu", index);
  return format("example %zu, value %zu", index / per_example, index % per_example);
}

void check_integers(const gradc_rt_tensor& tensor, const Array& array, int64_t limit,
                    Status& problems) {
  const bool narrow = static_cast<Dtype>(tensor.dtype) == Dtype::kI32;
  const bool byte = static_cast<Dtype>(tensor.dtype) == Dtype::kU8;
  const size_t count = array.count();
  for (size_t i = 0; i < count; ++i) {
    if (is_float(array.dtype)) {
      const double value = load_f64(array.data.data(), array.dtype, i);
      if (!(std::fabs(value) <= 9.0e15) || value != std::floor(value)) {
        add_problem(problems, "%s: %s is %g, %s needs whole numbers", array.source.c_str(),
                    place_text(array, i).c_str(), value, tensor.name);
        return;
      }
    }
    const int64_t value = load_i64(array.data.data(), array.dtype, i);
    if (limit > 0 && (value < 0 || value >= limit)) {
      add_problem(problems, "%s: %s is %lld, %s needs values from 0 to %lld", array.source.c_str(),
                  place_text(array, i).c_str(), static_cast<long long>(value), tensor.name,
                  static_cast<long long>(limit - 1));
      return;
    }
    if ((narrow && value != static_cast<int32_t>(value)) ||
        (byte && value != static_cast<uint8_t>(value))) {
      add_problem(problems, "%s: %s is %lld, which does not fit %s", array.source.c_str(),
                  place_text(array, i).c_str(), static_cast<long long>(value),
                  dtype_name(static_cast<Dtype>(tensor.dtype)));
      return;
    }
  }
}

void check_finite(const gradc_rt_tensor& tensor, const Array& array, Status& problems) {
  if (!is_float(array.dtype)) return;
  const size_t count = array.count();
  for (size_t i = 0; i < count; ++i) {
    const double value = load_f64(array.data.data(), array.dtype, i);
    // A finite double may still overflow the model's f32.
    const bool fits = static_cast<Dtype>(tensor.dtype) == Dtype::kF64 || std::fabs(value) <= 3.4e38;
    if (std::isfinite(value) && fits) continue;
    add_problem(problems, "%s: %s is %g, finite numbers%s were expected", array.source.c_str(),
                place_text(array, i).c_str(), value, std::isfinite(value) ? " of 32 bits" : "");
    return;
  }
}

}  // namespace

Status check_part(const gradc_rt_model& model, const DataPart& part, TargetNeed need) {
  Status problems;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    const Array& array = part.arrays[static_cast<size_t>(i)];
    if (!is_fed(tensor) || array.source.empty()) continue;
    if (tensor.kind == GRADC_RT_TARGET && need == TargetNeed::kOptional) continue;
    check_shape(tensor, array, problems);
    const bool one_hot = is_one_hot(tensor, array);
    int64_t limit = tensor.data != nullptr ? tensor.data->value_count : 0;
    if (one_hot) limit = tensor.data->one_hot_depth;
    if (one_hot || !is_float(static_cast<Dtype>(tensor.dtype))) {
      check_integers(tensor, array, limit, problems);
    } else {
      check_finite(tensor, array, problems);
    }
  }
  return problems;
}

}  // namespace gradc::rt
