#include "exchange/media/sound/log_mel.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradc::exchange {
namespace {

constexpr double kLinearMel = 15.0;  // Slaney: of 1000 Hz
constexpr double kLinearHz = 1000.0;
constexpr double kLogStep = 27.0;  // mels from 1000 to 6400 Hz
constexpr double kLogRatio = 6.4;

double to_mel(double hz, int64_t scale) {
  if (scale == GRADC_RT_MEL_HTK) return 2595.0 * std::log10(1.0 + hz / 700.0);
  if (hz < kLinearHz) return hz * kLinearMel / kLinearHz;
  return kLinearMel + std::log(hz / kLinearHz) / std::log(kLogRatio) * kLogStep;
}

double to_hz(double mel, int64_t scale) {
  if (scale == GRADC_RT_MEL_HTK) return 700.0 * (std::pow(10.0, mel / 2595.0) - 1.0);
  if (mel < kLinearMel) return mel * kLinearHz / kLinearMel;
  return kLinearHz * std::exp((mel - kLinearMel) * std::log(kLogRatio) / kLogStep);
}

}  // namespace

LogMel::LogMel(const gradc_rt_data& rule, int64_t frames, int64_t bands)
    : rule_(rule), frames_(frames) {
  for (int64_t i = 0; i < rule.mel_frame; ++i) {
    const double turn = static_cast<double>(i) / static_cast<double>(rule.mel_frame);
    window_.push_back(0.5 - 0.5 * std::cos(2.0 * std::numbers::pi * turn));
  }
  for (int64_t i = 0; i < rule.mel_fft / 2; ++i) {
    const double turn = static_cast<double>(i) / static_cast<double>(rule.mel_fft);
    roots_.push_back(std::polar(1.0, -2.0 * std::numbers::pi * turn));
  }
  const double low = to_mel(rule.mel_low, rule.mel_scale);
  const double step =
      (to_mel(rule.mel_high, rule.mel_scale) - low) / static_cast<double>(bands + 1);
  const auto edge = [&](int64_t m) {
    return to_hz(low + step * static_cast<double>(m), rule.mel_scale);
  };
  for (int64_t m = 0; m < bands; ++m) {
    const double from = edge(m), top = edge(m + 1), to = edge(m + 2);
    Band& band = bands_.emplace_back();
    for (int64_t j = 0; j <= rule.mel_fft / 2; ++j) {
      const double hz =
          static_cast<double>(j * rule.sound_rate) / static_cast<double>(rule.mel_fft);
      const double weight = std::min((hz - from) / (top - from), (to - hz) / (to - top));
      if (weight <= 0.0) continue;
      if (band.weights.empty()) band.first = static_cast<size_t>(j);
      const bool slaney = rule.mel_scale == GRADC_RT_MEL_SLANEY;
      band.weights.push_back(slaney ? weight * 2.0 / (to - from) : weight);
    }
  }
}

std::string LogMel::problem() const {
  const auto empty = std::ranges::find_if(bands_, [](const Band& b) { return b.weights.empty(); });
  if (empty == bands_.end()) return {};
  return fmt::format(
      "band {} of {} from {} to {} Hz has no frequency of a transform of {} samples in it "
      "({:.4g} Hz apart): fewer bands or a longer \"fft_length\" help",
      empty - bands_.begin() + 1, bands_.size(), rule_.mel_low, rule_.mel_high, rule_.mel_fft,
      static_cast<double>(rule_.sound_rate) / static_cast<double>(rule_.mel_fft));
}

size_t LogMel::samples() const {
  return static_cast<size_t>((frames_ - 1) * rule_.mel_stride + rule_.mel_frame);
}

// In place: the places of a power of two with their bits turned round, then sums of twos, fours ...
void LogMel::transform(std::vector<std::complex<double>>& x) const {
  const size_t n = x.size();
  for (size_t i = 1, j = 0; i < n; ++i) {
    size_t bit = n / 2;
    for (; (j & bit) != 0; bit /= 2)
      j ^= bit;
    j |= bit;
    if (i < j) std::swap(x[i], x[j]);
  }
  for (size_t half = 1; half < n; half *= 2) {
    const size_t step = n / (2 * half);
    for (size_t first = 0; first < n; first += 2 * half) {
      for (size_t i = 0; i < half; ++i) {
        const std::complex<double> w = roots_[i * step];
        const std::complex<double> b = x[first + half + i];
        // std::complex's product looks for infinities
        const std::complex<double> turned(w.real() * b.real() - w.imag() * b.imag(),
                                          w.real() * b.imag() + w.imag() * b.real());
        x[first + half + i] = x[first + i] - turned;
        x[first + i] += turned;
      }
    }
  }
}

void LogMel::compute(const float* samples, float* out) const {
  std::vector<std::complex<double>> x(static_cast<size_t>(rule_.mel_fft));
  std::vector<double> power(x.size() / 2 + 1);
  for (int64_t k = 0; k < frames_; ++k) {
    const float* frame = samples + k * rule_.mel_stride;
    std::ranges::fill(x, 0.0);
    for (size_t i = 0; i < window_.size(); ++i)
      x[i] = window_[i] * static_cast<double>(frame[i]);
    transform(x);
    for (size_t j = 0; j < power.size(); ++j)
      power[j] = std::norm(x[j]);
    for (const Band& band : bands_) {
      double sum = 0.0;
      for (size_t j = 0; j < band.weights.size(); ++j)
        sum += band.weights[j] * power[band.first + j];
      *out++ = static_cast<float>(std::log(std::max(sum, rule_.mel_least)));
    }
  }
}

}  // namespace gradc::exchange
