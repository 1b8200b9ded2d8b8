// What is checked of data before training starts.
#include "runtime/dataset.h"
#include "runtime/number.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

size_t example_elements(const gradc_rt_tensor& tensor) {
  size_t count = 1;
  for (int64_t d = 1; d < tensor.rank; ++d)
    count *= static_cast<size_t>(tensor.dims[d]);
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
  const size_t have = array.row_elements();
  if ((have == want && reshapes(tensor, array)) || crop_fits(tensor, array)) return;
  if (depth > 0 && have * static_cast<size_t>(depth) == want) return;
  const Str example = dims_text({tensor.dims + 1, static_cast<size_t>(tensor.rank - 1)});
  const Str seen = dims_text({array.dims.data() + 1, array.dims.size() - 1});
  const Str classes =
      depth > 0 ? format(" or one class number for each %lld", static_cast<long long>(depth))
                : Str();
  add_problem(problems, "%s: each example is %s (%zu values), %s needs %s (%zu values)%s",
              array.source.c_str(), seen.c_str(), have, tensor.name, example.c_str(), want,
              classes.c_str());
}

// Is this array turned into one-hot rows?
bool is_one_hot(const gradc_rt_tensor& tensor, const Array& array) {
  return tensor.data != nullptr && tensor.data->one_hot_depth > 0 &&
         array.row_elements() != example_elements(tensor);
}

// Values of one tensor, from a file or from a caller's memory.
struct Values {
  const gradc_rt_tensor& tensor;
  const char* source;
  Dtype dtype;
  const void* data;
  size_t count;
  size_t per_example;
  size_t step = 0;   // from example to example, where they overlap; else 0
  size_t first = 0;  // number of the first example
};

// What is wrong with some of the values: told once, with the first of them.
class Findings {
 public:
  explicit Findings(const Values& values) : values_(values) {}

  /// True for the first: only then the text is worth making.
  bool note() { return count_++ == 0; }
  void say(size_t index, const Str& text) {
    index_ = index;
    text_ = text.clone();
  }
  void tell(Status& problems) const {
    if (count_ == 0) return;
    const size_t step = values_.step > 0 ? values_.step : values_.per_example;
    const size_t last = (values_.count - values_.per_example) / step;
    const size_t example = std::min(index_ / step, last);
    Str place = format("example %zu", values_.first + example);
    if (values_.per_example > 1) place.appendf(", value %zu", index_ - example * step);
    const Str more = count_ > 1 ? format(" (and %zu more)", count_ - 1) : Str();
    add_problem(problems, "%s: %s is %s%s", values_.source, place.c_str(), text_.c_str(),
                more.c_str());
  }

 private:
  const Values& values_;
  size_t count_ = 0;
  size_t index_ = 0;
  Str text_;
};

struct Range {
  int64_t low;
  int64_t high;
};

// Which integers element `index` may be, as far as the model says.
Range integer_range(const Values& values, int64_t limit, size_t index) {
  Range range{INT64_MIN, INT64_MAX};
  if (limit > 0) range = {0, limit - 1};
  const gradc_rt_data* data = values.tensor.data;
  if (data != nullptr && data->num_ranges > 0) {
    const size_t element = index % static_cast<size_t>(data->num_ranges);
    range.low = std::max(range.low, data->ranges[2 * element]);
    range.high = std::min(range.high, data->ranges[2 * element + 1]);
  }
  return range;
}

bool fits_dtype(Dtype dtype, int64_t value) {
  switch (dtype) {
    case Dtype::kI32:
      return value == static_cast<int32_t>(value);
    case Dtype::kU8:
      return value == static_cast<uint8_t>(value);
    case Dtype::kBool:
      return value == 0 || value == 1;
    case Dtype::kI64:
    case Dtype::kF32:
    case Dtype::kF64:
    case Dtype::kBF16:
    case Dtype::kF16:
      return true;
  }
  return true;
}

Str range_text(const Values& values, Range range) {
  const char* name = values.tensor.name;
  if (range.low == INT64_MIN) {
    return format("%s needs values of at most %lld", name, static_cast<long long>(range.high));
  }
  if (range.high == INT64_MAX) {
    return format("%s needs values of at least %lld", name, static_cast<long long>(range.low));
  }
  Str text = format("%s needs values from %lld to %lld", name, static_cast<long long>(range.low),
                    static_cast<long long>(range.high));
  const gradc_rt_data* data = values.tensor.data;
  if (data != nullptr && data->has_ignored != 0)
    text.appendf(", or %lld", static_cast<long long>(data->ignored));
  return text;
}

// Whether a number stands for no class.
bool is_ignored(const gradc_rt_data* data, int64_t value) {
  return data != nullptr && data->has_ignored != 0 && value == data->ignored;
}

// Whole numbers, within what the model does with them. `limit` > 0: below it.
void check_integers(const Values& values, int64_t limit, Status& problems) {
  const Dtype dtype = static_cast<Dtype>(values.tensor.dtype);
  const bool stored = !is_float(dtype);  // one-hot rows are made of i32 numbers
  const bool floats = is_float(values.dtype);
  Findings fractions(values);
  Findings outside(values);
  Findings wide(values);
  for (size_t i = 0; i < values.count; ++i) {
    if (floats) {
      const double value = load_f64(values.data, values.dtype, i);
      if (!(std::fabs(value) <= 9.0e15) || value != std::floor(value)) {
        if (fractions.note()) {
          fractions.say(i, format("%s, %s needs whole numbers", number_text(value).c_str(),
                                  values.tensor.name));
        }
        continue;
      }
    }
    const int64_t value = load_i64(values.data, values.dtype, i);
    const Range range = integer_range(values, limit, i);
    if ((value < range.low || value > range.high) && !is_ignored(values.tensor.data, value)) {
      if (outside.note()) {
        outside.say(i, format("%lld, %s", static_cast<long long>(value),
                              range_text(values, range).c_str()));
      }
    } else if (!fits_dtype(stored ? dtype : Dtype::kI32, value) && wide.note()) {
      wide.say(i, format("%lld, which does not fit %s", static_cast<long long>(value),
                         dtype_name(stored ? dtype : Dtype::kI32)));
    }
  }
  for (const Findings* one : {&fractions, &outside, &wide})
    one->tell(problems);
}

// Scale and offset of the data rule; values as compiled code gets them have them behind.
struct Scaling {
  double scale = 1;
  double offset = 0;
};

bool has_target_range(const gradc_rt_data* data) {
  return data != nullptr && data->target_min < data->target_max;
}

bool in_target_range(const gradc_rt_data& data, double value) {
  const bool above = (data.flags & GRADC_RT_TARGET_ABOVE_MIN) != 0 ? value > data.target_min
                                                                   : value >= data.target_min;
  const bool whole = (data.flags & GRADC_RT_TARGET_WHOLE) == 0 || value == std::floor(value);
  return above && value <= data.target_max && whole;
}

Str target_range_text(const gradc_rt_data& data) {
  const bool whole = (data.flags & GRADC_RT_TARGET_WHOLE) != 0;
  const bool open = (data.flags & GRADC_RT_TARGET_ABOVE_MIN) != 0;
  Str text(whole ? "whole numbers " : "values ");
  const Str low = number_text(data.target_min);
  if (std::isinf(data.target_max)) {
    text.appendf("%s %s", open ? "above" : "of at least", low.c_str());
  } else {
    text.appendf("%s %s to %s", open ? "above" : "from", low.c_str(),
                 number_text(data.target_max).c_str());
  }
  return text;
}

// Finite numbers that the model's type holds, within what the loss is defined for; those that the
// model makes indices of, within their range.
void check_numbers(const Values& values, const Scaling& scaling, bool standardized,
                   Status& problems) {
  const gradc_rt_tensor& tensor = values.tensor;
  const gradc_rt_data* data = tensor.data;
  const bool floats = is_float(values.dtype);
  const bool target = has_target_range(data) && !standardized;
  const bool index = data != nullptr && data->num_ranges > 0 && !standardized;
  if (!floats && !target && !index) return;
  const bool narrow = static_cast<Dtype>(tensor.dtype) != Dtype::kF64;
  Findings broken(values);
  Findings outside(values);
  for (size_t i = 0; i < values.count; ++i) {
    const double value = load_f64(values.data, values.dtype, i);
    const bool fits = !narrow || std::fabs(value) <= 3.4e38;  // a finite double may overflow an f32
    if (!std::isfinite(value) || !fits) {
      if (broken.note()) {
        broken.say(i, format("%s, finite numbers%s were expected", number_text(value).c_str(),
                             std::isfinite(value) ? " of 32 bits" : ""));
      }
      continue;
    }
    const double scaled = value * scaling.scale + scaling.offset;
    if (target && !in_target_range(*data, scaled)) {
      if (outside.note()) {
        const Str became =
            scaled != value ? format(" (%s scaled)", number_text(scaled).c_str()) : Str();
        outside.say(i, format("%s%s, the loss of %s is defined for %s", number_text(value).c_str(),
                              became.c_str(), tensor.name, target_range_text(*data).c_str()));
      }
    } else if (index) {
      const Range range = integer_range(values, 0, i);
      const double whole = std::trunc(scaled);
      const bool good =
          whole >= static_cast<double>(range.low) && whole <= static_cast<double>(range.high);
      if (!good && outside.note()) {
        outside.say(
            i, format("%s, %s", number_text(value).c_str(), range_text(values, range).c_str()));
      }
    }
  }
  broken.tell(problems);
  outside.tell(problems);
}

bool is_standardized(const gradc_rt_data* data) {
  return data != nullptr && data->standardize != GRADC_RT_STANDARDIZE_NONE;
}

void check_some(const Values& values, bool one_hot, Status& problems) {
  const gradc_rt_data* data = values.tensor.data;
  if (one_hot) {
    check_integers(values, data->one_hot_depth, problems);
  } else if (!is_float(static_cast<Dtype>(values.tensor.dtype))) {
    check_integers(values, data != nullptr ? data->value_count : 0, problems);
  } else {
    const Scaling scaling = data != nullptr ? Scaling{data->scale, data->offset} : Scaling{};
    check_numbers(values, scaling, is_standardized(data), problems);
  }
}

void check_array(const gradc_rt_tensor& tensor, const Array& array, Status& problems) {
  check_shape(tensor, array, problems);
  const size_t per_example = std::max<size_t>(array.row_elements(), 1);
  const bool one_hot = is_one_hot(tensor, array);
  const size_t rows = static_cast<size_t>(array.rows());
  Values values{tensor,      array.source.c_str(), array.dtype, array.bytes(), array.stored(rows),
                per_example, array.row_step};
  if (array.row_step == 0 || tensor.data == nullptr || tensor.data->num_ranges <= 1) {
    check_some(values, one_hot, problems);
    return;
  }
  // What a value may be depends on where in its example it is, and it is in several.
  values.count = per_example;
  const size_t step_bytes = array.row_step * dtype_bytes(array.dtype);
  for (Status one; one.ok() && values.first < rows; ++values.first) {
    values.data = array.bytes() + values.first * step_bytes;
    check_some(values, one_hot, one);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
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
    if (part.given) {
      const Status one = check_values(model, static_cast<size_t>(i), array.dtype, array.bytes(),
                                      array.rows(), array.source.c_str());
      if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
      continue;
    }
    check_array(tensor, array, problems);
  }
  return problems;
}

Status check_values(const gradc_rt_model& model, size_t tensor, Dtype dtype, const void* data,
                    int64_t rows, const char* what) {
  const gradc_rt_tensor& description = model.tensors[tensor];
  const size_t per_example = example_elements(description);
  const Values values{description,
                      what,
                      dtype,
                      data,
                      static_cast<size_t>(rows) * per_example,
                      per_example > 0 ? per_example : 1};
  Status problems;
  if (is_float(static_cast<Dtype>(description.dtype))) {
    check_numbers(values, {}, false, problems);
  } else {
    const int64_t limit = description.data != nullptr ? description.data->value_count : 0;
    check_integers(values, limit, problems);
  }
  return problems;
}

}  // namespace gradc::rt
