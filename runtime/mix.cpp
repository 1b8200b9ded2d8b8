#include "runtime/mix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace gradc::rt {
namespace {

double blended(double own, double other, double share) {
  return share * own + (1 - share) * other;
}

// The box of 1 - share of the pixels, in the image's shape, as its authors draw it: sides rounded
// down, the place drawn evenly.
void draw_cut(RandomStream& random, const MixRule& rule, Mix* mix) {
  const double side = std::sqrt(1 - draw_beta(random, rule.cutmix));
  const auto part = [side](int64_t whole) {
    return static_cast<int64_t>(side * static_cast<double>(whole));
  };
  mix->boxed = true;
  mix->box = draw_box(random, {part(rule.image.height), part(rule.image.width)}, rule.image);
  const double pixels = static_cast<double>(rule.image.height * rule.image.width);
  mix->share = 1 - static_cast<double>(mix->box.pixels()) / pixels;
}

}  // namespace

Box draw_box(RandomStream& random, Extent size, Extent image) {
  const auto y = static_cast<int64_t>(random.below(static_cast<uint64_t>(image.height)));
  const auto x = static_cast<int64_t>(random.below(static_cast<uint64_t>(image.width)));
  const int64_t top = y - size.height / 2;
  const int64_t left = x - size.width / 2;
  return {std::max<int64_t>(top, 0), std::max<int64_t>(left, 0),
          std::min(top + size.height, image.height), std::min(left + size.width, image.width)};
}

double draw_beta(RandomStream& random, double alpha) {
  constexpr double kTwoPi = 6.283185307179586476925;
  constexpr double kUnit = 0x1.0p24;
  const double u = 1 - random.uniform();  // in (0, 1]
  const double cosine = std::cos(kTwoPi * random.uniform());
  const double sign = random.below(2) == 0 ? 1 : -1;
  const double spread = std::expm1(-std::log(u) / alpha) * cosine * cosine;  // 0 to infinity
  const double value = (1 + sign / std::sqrt(1 + 1 / spread)) / 2;
  return std::nearbyint(value * kUnit) / kUnit;
}

Mix draw_mix(const MixRule& rule, int64_t rows, uint64_t seed, int64_t epoch, int64_t example) {
  RandomStream random(random_key(seed, RandomUse::kMix), static_cast<uint64_t>(example),
                      static_cast<uint32_t>(epoch));
  Mix mix;
  mix.partner = static_cast<int64_t>(random.below(static_cast<uint64_t>(rows)));
  const bool both = rule.mixup > 0 && rule.cutmix > 0;
  if (both ? random.below(2) == 0 : rule.cutmix > 0) {
    draw_cut(random, rule, &mix);
  } else {
    mix.share = draw_beta(random, rule.mixup);
  }
  return mix;
}

void copy_box(const Box& box, int64_t width, size_t pixel_bytes, const uint8_t* from, uint8_t* to) {
  if (box.pixels() == 0) return;
  const size_t bytes = static_cast<size_t>(box.right - box.left) * pixel_bytes;
  for (int64_t y = box.top; y < box.bottom; ++y) {
    const size_t at = static_cast<size_t>(y * width + box.left) * pixel_bytes;
    memcpy(to + at, from + at, bytes);
  }
}

void blend(Dtype dtype, double share, const uint8_t* partner, size_t count, uint8_t* values) {
  if (dtype == Dtype::kF32) {
    const float* from = reinterpret_cast<const float*>(partner);
    float* to = reinterpret_cast<float*>(values);
    for (size_t i = 0; i < count; ++i) {
      to[i] = static_cast<float>(
          blended(static_cast<double>(to[i]), static_cast<double>(from[i]), share));
    }
    return;
  }
  for (size_t i = 0; i < count; ++i) {
    const double own = load_f64(values, dtype, i);
    store_f64(values, dtype, i, blended(own, load_f64(partner, dtype, i), share));
  }
}

}  // namespace gradc::rt
