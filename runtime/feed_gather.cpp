// The hot part of batch assembly: one example from its stored form to the model's buffer.
// Augmentation depends on (seed, epoch, example) only, never on the order of examples or on
// threads.
#include "runtime/feed.h"
#include "runtime/philox.h"

namespace gradc::rt {
namespace {

// Eight bytes are fetched at once; the table stays in the first-level cache.
template <class T>
void lookup(const uint8_t* in, size_t count, const uint8_t* table_bytes, uint8_t* out_bytes) {
  const T* table = reinterpret_cast<const T*>(table_bytes);
  T* out = reinterpret_cast<T*>(out_bytes);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t eight;
    memcpy(&eight, in + i, 8);
    for (size_t k = 0; k < 8; ++k)
      out[i + k] = table[(eight >> (8 * k)) & 255];
  }
  for (; i < count; ++i)
    out[i] = table[in[i]];
}

[[gnu::always_inline]] inline void line_loop(const ByteLine line, const uint8_t* __restrict in,
                                             size_t count, float* __restrict out) {
  for (size_t i = 0; i < count; ++i) {
    const float b = static_cast<float>(in[i]);
    out[i] = (b * line.high + line.offset_high) + (b * line.low + line.offset_low);
  }
}

#if defined(__x86_64__)
// The same operations, eight at a time: the same bits.
[[gnu::target("avx2")]] void line_avx2(const ByteLine& line, const uint8_t* in, size_t count,
                                       float* out) {
  line_loop(line, in, count, out);
}
#endif

// `count` stored elements starting at element `at` of the column's rows, as the model's dtype.
void copy_elements(const FeedColumn& column, size_t at, size_t count, uint8_t* out) {
  const size_t bytes = dtype_bytes(column.dtype);
  if (column.form == RowForm::kLinear) {
    apply_line(column.line, column.bytes() + at, count, reinterpret_cast<float*>(out));
    return;
  }
  if (column.form != RowForm::kLookup) {
    memcpy(out, column.bytes() + at * bytes, count * bytes);
    return;
  }
  const uint8_t* in = column.bytes() + at;
  switch (bytes) {
    case 2:
      return lookup<uint16_t>(in, count, column.table.data(), out);
    case 4:
      return lookup<uint32_t>(in, count, column.table.data(), out);
    case 8:
      return lookup<uint64_t>(in, count, column.table.data(), out);
  }
}

void copy_one_hot(const FeedColumn& column, size_t example, uint8_t* out) {
  const size_t depth = static_cast<size_t>(column.data->one_hot_depth);
  const size_t bytes = dtype_bytes(column.dtype);
  memset(out, 0, column.out_elements * bytes);
  for (size_t k = 0; k < column.row_elements; ++k) {
    const int64_t id = load_i64(column.bytes(), Dtype::kI32, example * column.row_step + k);
    store_f64(out, column.dtype, k * depth + static_cast<size_t>(id), 1.0);
  }
}

struct Placement {
  int64_t top = 0;  // source row and column of the output's first pixel; may be negative (filled)
  int64_t left = 0;
  bool flip = false;
  bool upside_down = false;
};

int64_t draw(RandomStream& random, int64_t low, int64_t high) {  // both ends included
  return low + static_cast<int64_t>(random.below(static_cast<uint64_t>(high - low + 1)));
}

Placement place(const FeedColumn& column, int64_t example, const BatchRequest& request) {
  const int64_t spare_height = column.source_height - column.height;
  const int64_t spare_width = column.source_width - column.width;
  Placement at{spare_height / 2, spare_width / 2};
  if (!request.training) return at;
  RandomStream random(random_key(request.seed, RandomUse::kAugment), static_cast<uint64_t>(example),
                      static_cast<uint32_t>(request.epoch) * 2 + 1);
  const gradc_rt_data& data = *column.data;
  if (column.crops) {
    at.top = draw(random, 0, spare_height);
    at.left = draw(random, 0, spare_width);
  }
  if (data.shift_height > 0) at.top += draw(random, -data.shift_height, data.shift_height);
  if (data.shift_width > 0) at.left += draw(random, -data.shift_width, data.shift_width);
  if (data.flip_horizontal != 0) at.flip = random.below(2) == 1;
  if (data.flip_vertical != 0) at.upside_down = random.below(2) == 1;
  return at;
}

void copy_placed(const FeedColumn& column, size_t example, const Placement& at, uint8_t* out) {
  const size_t pixel = static_cast<size_t>(column.channels);
  const size_t pixel_bytes = pixel * dtype_bytes(column.dtype);
  const size_t base = example * column.row_step;
  for (int64_t y = 0; y < column.height; ++y) {
    const int64_t sy = (at.upside_down ? column.height - 1 - y : y) + at.top;
    for (int64_t x = 0; x < column.width; ++x) {
      const int64_t sx = (at.flip ? column.width - 1 - x : x) + at.left;
      const size_t here = static_cast<size_t>(y * column.width + x);
      uint8_t* place_out = out + here * pixel_bytes;
      const bool inside =
          sy >= 0 && sy < column.source_height && sx >= 0 && sx < column.source_width;
      if (inside) {
        const size_t source = static_cast<size_t>(sy * column.source_width + sx);
        copy_elements(column, base + source * pixel, pixel, place_out);
      } else {
        memcpy(place_out, column.fill.data() + here * pixel_bytes, pixel_bytes);
      }
    }
  }
}

void add_noise(const FeedColumn& column, int64_t example, const BatchRequest& request,
               uint8_t* out) {
  RandomStream random(random_key(request.seed, RandomUse::kAugment), static_cast<uint64_t>(example),
                      static_cast<uint32_t>(request.epoch) * 2);
  for (size_t i = 0; i < column.out_elements; ++i) {
    const double value = load_f64(out, column.dtype, i);
    store_f64(out, column.dtype, i, value + column.data->noise_stddev * random.normal());
  }
}

void cut_out(const FeedColumn& column, int64_t example, const BatchRequest& request, uint8_t* out) {
  RandomStream random(random_key(request.seed, RandomUse::kCutout), static_cast<uint64_t>(example),
                      static_cast<uint32_t>(request.epoch));
  const gradc_rt_data& data = *column.data;
  const Box hole =
      draw_box(random, {data.cutout_height, data.cutout_width}, {column.height, column.width});
  const size_t pixel_bytes = static_cast<size_t>(column.channels) * dtype_bytes(column.dtype);
  copy_box(hole, column.width, pixel_bytes, column.hole.data(), out);
}

// Some tokens are asked for, drawn by (seed, epoch, example): the input has the mask, another token
// or the token itself there, the target what it ignores everywhere else.
void hide(const FeedColumn& column, int64_t example, const BatchRequest& request, uint8_t* out) {
  RandomStream random(random_key(request.seed, RandomUse::kHide), static_cast<uint64_t>(example),
                      static_cast<uint32_t>(request.epoch));
  const HiddenTokens& hidden = column.hidden;
  const gradc_rt_data& rule = *hidden.rule;
  for (size_t i = 0; i < column.out_elements; ++i) {
    const bool asked = random.uniform() < rule.mask_selection_rate;
    const double what = random.uniform();
    const uint64_t other = random.below(static_cast<uint64_t>(hidden.high - hidden.low));
    if (column.asks) {
      if (!asked) store_i64(out, column.dtype, i, column.ignored);
    } else if (asked && what < rule.mask_token_rate) {
      store_i64(out, column.dtype, i, hidden.mask);
    } else if (asked && what < rule.mask_token_rate + rule.random_token_rate) {
      store_i64(out, column.dtype, i, hidden.low + static_cast<int64_t>(other));
    }
  }
}

}  // namespace

void apply_line(const ByteLine& line, const uint8_t* in, size_t count, float* out) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return line_avx2(line, in, count, out);
#endif
  line_loop(line, in, count, out);
}

void copy_example(const FeedColumn& column, int64_t example, const BatchRequest& request,
                  uint8_t* out) {
  const size_t e = static_cast<size_t>(example);
  if (column.form == RowForm::kOneHot) {
    copy_one_hot(column, e, out);
    return;
  }
  if (column.augments && (request.training || column.crops)) {
    copy_placed(column, e, place(column, example, request), out);
  } else {
    copy_elements(column, e * column.row_step, column.row_elements, out);
  }
  if (column.hidden.rule != nullptr) hide(column, example, request, out);
  if (request.training && column.data != nullptr && column.data->noise_stddev > 0 &&
      is_float(column.dtype)) {
    add_noise(column, example, request, out);
  }
  if (request.training && !column.hole.empty()) cut_out(column, example, request, out);
}

}  // namespace gradc::rt
