// Warnings of legal data.
#include "runtime/data_warnings.h"

#include "runtime/class_counts.h"
#include "runtime/csv_features.h"
#include "runtime/number.h"
#include "runtime/text.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

constexpr double kLargeInput = 20;  // root mean square of a feature
constexpr double kLargeTarget = 50;
constexpr double kSmall = 1e-3;
constexpr double kExpected = 5;  // examples of a class: fewer may be missing by chance
constexpr size_t kMostSampled = 1u << 20;
constexpr int64_t kMostClasses = 1 << 20;

/// Three significant digits are enough to see a size.
Str about(double value) {
  if (!(value > 0)) return Str("0");
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 2);
  return format("%g", std::round(value / unit) * unit);
}

// ---- scale ------------------------------------------------------------------------------------

struct Sizes {
  Vec<double> rms;  // of each feature of a vector; one for everything else
  double whole = 0;
  bool bytes = true;  // whole numbers from 0 to 255, some of them large
};

Sizes measure(const gradc_rt_tensor& tensor, const Array& array, size_t rows) {
  const size_t elements = array.row_elements();
  const size_t groups = array.dims.size() == 2 && elements <= 4096 ? elements : 1;
  const size_t step = std::max<size_t>(1, rows * elements / kMostSampled);  // in rows
  const gradc_rt_data* data = tensor.data;
  Sizes sizes;
  sizes.rms.resize(groups);
  size_t sampled = 0;
  double largest = 0;
  for (size_t r = 0; r < rows; r += step, ++sampled) {
    for (size_t e = 0; e < elements; ++e) {
      const double raw = load_f64(array.bytes(), array.dtype, r * array.step() + e);
      const double x = data != nullptr ? raw * data->scale + data->offset : raw;
      sizes.rms[e % groups] += x * x;
      sizes.bytes = sizes.bytes && x >= 0 && x <= 255 && x == std::floor(x);
      largest = std::max(largest, x);
    }
  }
  sizes.bytes = sizes.bytes && largest > 100;
  for (double& square : sizes.rms)
    sizes.whole += square;
  const double count = static_cast<double>(sampled * elements);
  sizes.whole = std::sqrt(sizes.whole / count);
  for (double& square : sizes.rms)
    square = std::sqrt(square * static_cast<double>(groups) / count);
  return sizes;
}

void warn_of_scale(const gradc_rt_tensor& tensor, const Array& array, const TensorMeaning& meaning,
                   int64_t rows, const Warnings& warnings) {
  const bool target = tensor.kind == GRADC_RT_TARGET;
  const gradc_rt_data* data = tensor.data;
  if (!is_float(static_cast<Dtype>(tensor.dtype)) || array.source.empty()) return;
  if (data != nullptr && (data->standardize != GRADC_RT_STANDARDIZE_NONE || data->classes > 0 ||
                          data->one_hot_depth > 0 ||
                          (data->flags & GRADC_RT_INPUT_ANY_SCALE) != 0 || data->num_ranges > 0)) {
    return;
  }
  const Sizes sizes = measure(tensor, array, static_cast<size_t>(rows));
  const double limit = target ? kLargeTarget : kLargeInput;
  const double* worst = std::max_element(sizes.rms.begin(), sizes.rms.end());
  const bool large = *worst > limit;
  const bool small = sizes.whole > 0 && sizes.whole < kSmall;
  if (!large && !small) return;
  Str where;
  const size_t column = static_cast<size_t>(worst - sizes.rms.begin());
  if (const size_t named = column_of_value(tensor, column);
      large && named < meaning.columns.size()) {
    where = format(" in column \"%s\"", shown(meaning.columns[named]).c_str());
  } else if (large && sizes.rms.size() > 1) {
    where = format(" in column %zu", column + 1);
  }
  const Str cure = sizes.bytes ? Str(" (bytes: \"scale\": 0.00392156862745098)") : Str();
  warn(warnings, target ? WarningKind::kTargetScale : WarningKind::kInputScale,
       "%s: %s \"%s\" has values of about %s%s, training goes best with values of about 1%s",
       array.source.c_str(), target ? "target" : "input", shown(short_name(tensor)).c_str(),
       about(large ? *worst : sizes.whole).c_str(), where.c_str(), cure.c_str());
}

// ---- classes ----------------------------------------------------------------------------------

/// Classes that `from` has and `in` should have some examples of, and has not.
Str missing_classes(const Vec<double>& from, const Vec<double>& in, const TensorMeaning& meaning) {
  double total = 0;
  double other = 0;
  for (size_t c = 0; c < from.size(); ++c) {
    total += from[c];
    other += in[c];
  }
  Vec<Str> names;
  for (size_t c = 0; c < from.size(); ++c) {
    if (in[c] > 0 || from[c] * other < kExpected * total) continue;
    names.push(c < meaning.classes.size() ? meaning.classes[c].clone() : format("%zu", c));
  }
  return names.empty() ? Str() : shown_list(names);
}

void warn_of_classes(const gradc_rt_tensor& tensor, const ClassRows& train,
                     const ClassRows& validation, const TensorMeaning& meaning,
                     const Warnings& warnings) {
  const gradc_rt_data* data = tensor.data;
  if (data == nullptr || data->classes < 2 || data->classes > kMostClasses) return;
  if (train.array->source.empty() || validation.array->source.empty()) return;
  if (train.array->row_step > 0) return;  // tokens of a text: rare ones are missing somewhere
  const Vec<double> trained = count_classes(tensor, train);
  const Vec<double> validated = count_classes(tensor, validation);
  const Str unseen = missing_classes(trained, validated, meaning);
  const Str untrained = missing_classes(validated, trained, meaning);
  if (unseen.empty() && untrained.empty()) return;
  const bool lacks = !untrained.empty();  // the worse of both
  warn(warnings, WarningKind::kMissingClass,
       "%s: of target \"%s\", %s is in the %s and not in the %s: is the data sorted by class?",
       train.array->source.c_str(), shown(short_name(tensor)).c_str(),
       lacks ? untrained.c_str() : unseen.c_str(),
       lacks ? "validation examples" : "training examples",
       lacks ? "training examples" : "validation examples");
}

// ---- distributions ----------------------------------------------------------------------------

void warn_of_sums(const gradc_rt_tensor& tensor, const Array& array, int64_t rows,
                  const Warnings& warnings) {
  const gradc_rt_data* data = tensor.data;
  if (data == nullptr || (data->flags & GRADC_RT_TARGET_ROWS_SUM_TO_ONE) == 0) return;
  const size_t elements = array.row_elements();
  const size_t width = static_cast<size_t>(tensor.dims[tensor.rank - 1]);
  if (array.source.empty() || array.row_step > 0 || elements % width != 0 || data->scale != 1 ||
      data->offset != 0)
    return;
  for (size_t i = 0; i < static_cast<size_t>(rows) * elements; i += width) {
    double sum = 0;
    for (size_t k = 0; k < width; ++k)
      sum += load_f64(array.bytes(), array.dtype, i + k);
    if (std::fabs(sum - 1) <= 1e-3) continue;
    warn(
        warnings, WarningKind::kTargetRows,
        "%s: example %zu sums to %s, the loss of target \"%s\" is of distributions, which sum to 1",
        array.source.c_str(), i / elements, about(sum).c_str(), shown(short_name(tensor)).c_str());
    return;
  }
}

}  // namespace

void warn_of_data(const gradc_rt_model& model, const DataSet& set, int64_t train_rows,
                  const Warnings& warnings) {
  const bool split = train_rows < set.train.rows;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (!is_fed(tensor)) continue;
    const size_t t = static_cast<size_t>(i);
    const Array& array = set.train.arrays[t];
    warn_of_scale(tensor, array, set.meanings[t], train_rows, warnings);
    if (tensor.kind != GRADC_RT_TARGET) continue;
    const size_t elements = array.row_elements();
    size_t expected = 1;
    for (int64_t d = 1; d < tensor.rank; ++d)
      expected *= static_cast<size_t>(tensor.dims[d]);
    if (elements == expected) warn_of_sums(tensor, array, train_rows, warnings);
    const ClassRows train{&array, 0, static_cast<size_t>(train_rows)};
    if (split) {
      const ClassRows rest{&array, train.count, static_cast<size_t>(set.train.rows - train_rows)};
      warn_of_classes(tensor, train, rest, set.meanings[t], warnings);
    } else if (set.validation.present) {
      const ClassRows part{&set.validation.arrays[t], 0, static_cast<size_t>(set.validation.rows)};
      warn_of_classes(tensor, train, part, set.meanings[t], warnings);
    }
  }
}

}  // namespace gradc::rt
