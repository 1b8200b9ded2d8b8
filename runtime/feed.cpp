// Preparation of data for batches: statistics, conversion, tables.
#include "runtime/feed.h"

#include "runtime/digest.h"
#include "runtime/shuffle.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

// out = x * scale + offset, then (out - mean) / std. One rounding to the model's dtype at the end.
struct Transform {
  double scale = 1;
  double offset = 0;
  int64_t count = 0;  // statistics per example element, cyclic: 0, 1, channels or elements
  const double* mean = nullptr;
  const double* std = nullptr;

  double apply(double x, size_t element) const {
    double value = x * scale + offset;
    if (count > 0) {
      const size_t s = element % static_cast<size_t>(count);
      value = (value - mean[s]) / std[s];
    }
    return value;
  }
  bool identity() const { return scale == 1 && offset == 0 && count == 0; }
};

size_t product(const int64_t* dims, size_t count) {
  size_t n = 1;
  for (size_t i = 0; i < count; ++i)
    n *= static_cast<size_t>(dims[i]);
  return n;
}

// Mean and population standard deviation of the scaled values. A constant feature is one whose
// least and greatest value agree, whatever rounding makes of its mean: its mean is that value and
// its deviation 1, so that it becomes 0. Sums are of differences from the least value in units of
// the range, so that neither their size nor their closeness costs digits.
void fit(const Array& array, size_t first, size_t elements, const Transform& scaled,
         DataStatistics* statistics) {
  const size_t groups = static_cast<size_t>(statistics->count);
  const double per_group = static_cast<double>(elements) / static_cast<double>(groups);
  const auto value = [&](size_t i) {
    return scaled.apply(load_f64(array.bytes(), array.dtype, first + i), 0);
  };
  Vec<double> low(groups);
  Vec<double> range(groups);  // at first the greatest value
  for (size_t g = 0; g < groups; ++g)
    low[g] = range[g] = value(g);
  for (size_t i = groups; i < elements; ++i) {
    const double x = value(i);
    low[i % groups] = std::min(low[i % groups], x);
    range[i % groups] = std::max(range[i % groups], x);
  }
  for (size_t g = 0; g < groups; ++g) {
    range[g] = range[g] / 2 - low[g] / 2;  // halves: the whole may overflow
    statistics->mean[g] = statistics->std[g] = 0;
  }
  const auto unit = [&](size_t i) {
    const size_t g = i % groups;
    return range[g] > 0 ? (value(i) / 2 - low[g] / 2) / range[g] : 0.0;
  };
  for (size_t i = 0; i < elements; ++i)
    statistics->mean[i % groups] += unit(i);
  for (size_t g = 0; g < groups; ++g)
    statistics->mean[g] /= per_group;
  for (size_t i = 0; i < elements; ++i) {
    const double d = unit(i) - statistics->mean[i % groups];
    statistics->std[i % groups] += d * d;
  }
  for (size_t g = 0; g < groups; ++g) {
    const double deviation = std::sqrt(statistics->std[g] / per_group);
    statistics->mean[g] = low[g] + 2 * (statistics->mean[g] * range[g]);
    const double std = 2 * (deviation * range[g]);
    statistics->std[g] = std > 0 ? std : 1.0;
  }
  statistics->known = true;
}

Status resolve_transform(Instance& instance, size_t tensor, const Array& array, size_t first,
                         size_t elements, bool fit_statistics, Transform* transform) {
  const gradc_rt_data* data = instance.tensor(tensor).data;
  if (data == nullptr) return {};
  transform->scale = data->scale;
  transform->offset = data->offset;
  if (data->standardize == GRADC_RT_STANDARDIZE_GIVEN) {
    transform->count = data->stat_count;
    transform->mean = data->mean;
    transform->std = data->std;
  } else if (data->standardize == GRADC_RT_STANDARDIZE_FROM_DATA) {
    DataStatistics& statistics = instance.statistics(tensor);
    if (fit_statistics) fit(array, first, elements, *transform, &statistics);
    if (!statistics.known) {
      return error(
          "%s: the model standardizes this input with statistics of its training data, and "
          "the weights hold none (data/%s/mean, data/%s/std)",
          array.source.c_str(), short_name(instance.tensor(tensor)),
          short_name(instance.tensor(tensor)));
    }
    transform->count = statistics.count;
    transform->mean = statistics.mean;
    transform->std = statistics.std;
  }
  return {};
}

void set_geometry(const gradc_rt_tensor& tensor, const Array& array, FeedColumn* column) {
  column->out_elements = product(tensor.dims + 1, static_cast<size_t>(tensor.rank - 1));
  column->row_elements = array.row_elements();
  if (column->data == nullptr || tensor.rank < 3) return;
  const gradc_rt_data& data = *column->data;
  column->height = column->source_height = tensor.dims[1];
  column->width = column->source_width = tensor.dims[2];
  column->channels = static_cast<int64_t>(
      product(tensor.dims + 3, static_cast<size_t>(std::max<int64_t>(tensor.rank - 3, 0))));
  column->crops = data.crop != 0 && column->row_elements != column->out_elements;
  if (column->crops) {
    column->source_height = array.dims[1];
    column->source_width = array.dims[2];
  }
  column->augments = data.flip_horizontal != 0 || data.flip_vertical != 0 ||
                     data.shift_height > 0 || data.shift_width > 0 || column->crops;
}

// Bytes stay bytes when one table serves every element.
void make_table(const Transform& transform, FeedColumn* column) {
  column->table.resize(256 * dtype_bytes(column->dtype));
  for (size_t b = 0; b < 256; ++b) {
    const double value = transform.apply(static_cast<double>(b), 0);
    store_f64(column->table.data(), column->dtype, b, value);
  }
}

// Splits a value into a multiple of `grid` and the rest.
void split(double value, double grid, float* high, float* low) {
  const double rounded = std::nearbyint(value / grid) * grid;
  *high = static_cast<float>(rounded);
  *low = static_cast<float>(value - rounded);
}

// Finds arithmetic that gives the table's values; false if it does not for even one of them.
bool find_line(const Transform& transform, const FeedColumn& column, ByteLine* line) {
  if (column.dtype != Dtype::kF32) return false;
  const double offset = transform.apply(0, 0);
  const double slope = (transform.apply(255, 0) - offset) / 255;
  if (slope == 0 || !std::isfinite(slope)) return false;
  // 14 bits of slope: 255 * high and the offset are whole multiples of the grid below 2^23.
  const double grid = std::ldexp(1.0, std::ilogb(slope) - 13);
  if (std::fabs(offset) > grid * 4194304.0) return false;
  split(slope, grid, &line->high, &line->low);
  split(offset, grid, &line->offset_high, &line->offset_low);
  uint8_t bytes[256];
  float values[256];
  for (size_t b = 0; b < 256; ++b)
    bytes[b] = static_cast<uint8_t>(b);
  apply_line(*line, bytes, 256, values);
  return memcmp(values, column.table.data(), sizeof values) == 0;
}

void convert_rows(const Array& array, size_t first, size_t elements, const Transform& transform,
                  FeedColumn* column) {
  column->rows.resize(elements * dtype_bytes(column->dtype));
  for (size_t i = 0; i < elements; ++i) {
    if (is_float(column->dtype)) {
      const double x = load_f64(array.bytes(), array.dtype, first + i);
      store_f64(column->rows.data(), column->dtype, i,
                transform.apply(x, i % column->row_elements));
    } else {
      store_i64(column->rows.data(), column->dtype, i,
                load_i64(array.bytes(), array.dtype, first + i));
    }
  }
}

// Bytes as they are: a host's where they lie.
void take_bytes(const Array& array, size_t first, size_t count, FeedColumn* column) {
  if (array.lent != nullptr) {
    column->lent = {array.lent + first, count};
  } else {
    column->rows.append(array.bytes() + first, count);
  }
}

// An example of nothing but `value` before the transform; NaN: of what it makes of the mean.
void fill_example(const Transform& transform, double value, const FeedColumn& column,
                  Vec<uint8_t>* out) {
  out->resize(column.out_elements * dtype_bytes(column.dtype));
  for (size_t i = 0; i < column.out_elements; ++i) {
    store_f64(out->data(), column.dtype, i, std::isnan(value) ? 0.0 : transform.apply(value, i));
  }
}

void make_fill(const Transform& transform, FeedColumn* column) {
  if (column->augments) fill_example(transform, 0, *column, &column->fill);
  if (column->data == nullptr || column->data->cutout_height == 0 || column->height == 0) return;
  fill_example(transform, column->data->cutout_fill, *column, &column->hole);
}

}  // namespace

Status Feed::prepare_column(Instance& instance, size_t tensor, const Array& array,
                            const Taken& taken, FeedColumn* column) {
  const gradc_rt_tensor& description = instance.tensor(tensor);
  column->tensor = tensor;
  column->dtype = static_cast<Dtype>(description.dtype);
  column->data = taken.given ? nullptr : description.data;
  set_geometry(description, array, column);
  column->row_step = array.step() * static_cast<size_t>(taken.every);
  const size_t elements =
      rows_ == 0 ? 0 : static_cast<size_t>(rows_ - 1) * column->row_step + column->row_elements;
  const size_t skip = static_cast<size_t>(taken.first) * array.step();
  if (column->data != nullptr && column->data->one_hot_depth > 0 &&
      column->row_elements != column->out_elements) {
    column->form = RowForm::kOneHot;
    column->rows.resize(elements * sizeof(int32_t));
    for (size_t i = 0; i < elements; ++i) {
      store_i64(column->rows.data(), Dtype::kI32, i,
                load_i64(array.bytes(), array.dtype, skip + i));
    }
    return {};
  }
  Transform transform;
  if (!taken.given) {
    GRADC_RT_TRY(resolve_transform(instance, tensor, array, skip, elements, taken.fit_statistics,
                                   &transform));
  }
  if (transform.count > 1 && column->row_step % static_cast<size_t>(transform.count) != 0) {
    return error(
        "%s: %s is standardized value by value, and its examples overlap: one mean and deviation "
        "for all, or one for each column, was expected",
        array.source.c_str(), description.name);
  }
  make_fill(transform, column);
  const size_t element_bytes = dtype_bytes(array.dtype);
  const bool as_is = array.dtype == column->dtype && array.dtype != Dtype::kBool &&
                     (transform.identity() || !is_float(column->dtype));
  if (array.dtype == Dtype::kU8 && is_float(column->dtype) && transform.count <= 1) {
    column->form = RowForm::kLookup;
    make_table(transform, column);
    if (find_line(transform, *column, &column->line)) column->form = RowForm::kLinear;
    take_bytes(array, skip, elements, column);
  } else if (as_is) {
    take_bytes(array, skip * element_bytes, elements * element_bytes, column);
  } else {
    convert_rows(array, skip, elements, transform, column);
  }
  return {};
}

Status Feed::prepare_columns(Instance& instance, const DataPart& part, const Taken& taken,
                             TargetNeed need) {
  columns_ = Vec<FeedColumn>();
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    const Array& array = part.arrays[i];
    if (!is_fed(tensor) || array.source.empty()) continue;
    if (tensor.kind == GRADC_RT_TARGET && need == TargetNeed::kOptional) continue;
    FeedColumn column;
    GRADC_RT_TRY(prepare_column(instance, i, array, taken, &column));
    if (need == TargetNeed::kRequired) column.hidden = array.hidden;
    column.asks = tensor.kind == GRADC_RT_TARGET;
    if (column.asks && column.data != nullptr) column.ignored = column.data->ignored;
    columns_.push(static_cast<FeedColumn&&>(column));
  }
  find_mixing(instance);
  return {};
}

// Whichever input's rule says so, it is of all columns.
void Feed::find_mixing(const Instance& instance) {
  mixing_ = MixRule();
  partner_bytes_ = 0;
  for (const FeedColumn& column : columns_) {
    partner_bytes_ = std::max(partner_bytes_, column.out_elements * dtype_bytes(column.dtype));
    if (column.data == nullptr) continue;
    if (column.data->mixup_alpha > 0 || column.data->cutmix_alpha > 0) {
      mixing_ = {
          column.data->mixup_alpha, column.data->cutmix_alpha, {column.height, column.width}};
    }
  }
  partners_.clear();
  if (mixing_.on()) partners_.resize(partner_bytes_ * static_cast<size_t>(instance.threads()));
}

Status Feed::prepare(Instance& instance, const DataPart& part, int64_t first, int64_t count,
                     bool fit_statistics, TargetNeed need) {
  rows_ = (count + part.apart - 1) / part.apart;
  draws_ = 0;
  return prepare_columns(instance, part, {first, part.apart, fit_statistics, part.given}, need);
}

Status Feed::prepare_training(Instance& instance, const DataPart& part, int64_t count,
                              bool fit_statistics) {
  rows_ = count;
  draws_ = part.draws;
  return prepare_columns(instance, part, {0, 1, fit_statistics, part.given}, TargetNeed::kRequired);
}

void Feed::order(uint64_t seed, int64_t epoch, bool shuffle, Span<int64_t> order) const {
  if (draws_ > 0) {
    draw_order(seed, epoch, rows_, order);
  } else {
    epoch_order(seed, epoch, shuffle, order);
  }
}

namespace {

// Shuffled examples lie anywhere in memory: fetching some rows ahead hides most of the misses.
constexpr int64_t kRowsAhead = 8;

void prefetch_example(const FeedColumn& column, int64_t example) {
  constexpr size_t kLine = 64;
  constexpr size_t kMost = 32 * kLine;  // the rest of long rows is found by the hardware
  const bool bytes = column.form == RowForm::kLookup || column.form == RowForm::kLinear;
  const size_t row_bytes = column.row_elements * (bytes ? 1 : dtype_bytes(column.dtype));
  const size_t step_bytes = row_bytes / column.row_elements * column.row_step;
  const uint8_t* row = column.bytes() + static_cast<size_t>(example) * step_bytes;
  for (size_t at = 0; at < std::min(row_bytes, kMost); at += kLine)
    __builtin_prefetch(row + at);
}

}  // namespace

// The partner is as it is in this epoch by itself: flipped, moved, with its own hole.
void Feed::mix_example(const FeedColumn& column, const Mix& mix, const BatchRequest& request,
                       uint8_t* partner, uint8_t* out) const {
  copy_example(column, mix.partner, request, partner);
  const bool in_place =
      mix.boxed && column.height == mixing_.image.height && column.width == mixing_.image.width;
  if (in_place) {
    const size_t pixel_bytes = static_cast<size_t>(column.channels) * dtype_bytes(column.dtype);
    copy_box(mix.box, column.width, pixel_bytes, partner, out);
  } else {
    blend(column.dtype, mix.share, partner, column.out_elements, out);
  }
}

void Feed::gather(const Instance& instance, const BatchRequest& request,
                  const gradc_rt_thread& thread) const {
  const int64_t batch = instance.model().batch_size;
  const int64_t begin = batch * thread.index / thread.count;
  const int64_t end = batch * (thread.index + 1) / thread.count;
  const bool mixes = request.training && mixing_.on();
  uint8_t* partner =
      partners_.data() + (mixes ? static_cast<size_t>(thread.index) * partner_bytes_ : 0);
  for (const FeedColumn& column : columns_) {
    const size_t row_bytes = column.out_elements * dtype_bytes(column.dtype);
    uint8_t* out = static_cast<uint8_t*>(instance.data(column.tensor));
    for (int64_t row = begin; row < end; ++row) {
      if (row + kRowsAhead < end) {
        prefetch_example(column, request.order[(row + kRowsAhead) % request.valid]);
      }
      const int64_t example = request.order[row % request.valid];
      uint8_t* row_out = out + static_cast<size_t>(row) * row_bytes;
      copy_example(column, example, request, row_out);
      if (!mixes) continue;
      const Mix mix = draw_mix(mixing_, rows_, request.seed, request.epoch, example);
      mix_example(column, mix, request, partner, row_out);
    }
  }
}

uint64_t Feed::digest() const {
  Digest digest;
  digest.add(&rows_, sizeof rows_);
  if (draws_ > 0) digest.add(&draws_, sizeof draws_);
  for (const FeedColumn& column : columns_) {
    const uint64_t facts[] = {column.tensor, column.row_elements, column.out_elements};
    digest.add(facts, sizeof facts);
    if (column.row_step != column.row_elements)
      digest.add(&column.row_step, sizeof column.row_step);
    digest.add(column.bytes(), column.rows.size() + column.lent.size());
    digest.add(column.table.data(), column.table.size());
  }
  return digest.value();
}

void set_tail_weight(Instance& instance, int64_t valid) {
  const int64_t index = instance.nth(GRADC_RT_TAIL_WEIGHT, 0);
  if (index < 0) return;
  const size_t i = static_cast<size_t>(index);
  const Dtype dtype = static_cast<Dtype>(instance.tensor(i).dtype);
  for (int64_t row = 0; row < instance.model().batch_size; ++row) {
    store_f64(instance.data(i), dtype, static_cast<size_t>(row),
              row < valid ? 1.0 / static_cast<double>(valid) : 0.0);
  }
}

}  // namespace gradc::rt
