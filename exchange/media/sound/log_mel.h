// Log-mel spectrograms. Frame k is the samples from k * stride on, times Hann's window
// 1/2 - 1/2 cos(2 pi i / frame); P[j] is |X[j]|^2 of its Fourier transform of fft samples, zeros
// behind the frame. Bands are triangles over frequencies f: from edge m at 0 to edge m + 1 at 1 to
// edge m + 2 at 0, where the edges are evenly spaced on the mel scale from the lowest to the
// highest frequency. A value is ln(max(sum_j w[m][j] P[j], least)).
//
// The scales: HTK's, mel = 2595 log10(1 + f / 700) (Young et al., The HTK Book), of triangles as
// above; and that of Slaney's Auditory Toolbox, mel = 3 f / 200 below 1000 Hz and
// 15 + 27 ln(f / 1000) / ln(6.4) from there on, of triangles whose area is 1 Hz (as librosa has
// them by default).
#pragma once

#include "runtime/model_abi.h"

#include <complex>
#include <string>
#include <vector>

namespace gradc::exchange {

class LogMel {
 public:
  /// By the mel_ fields and the rate of an input's rule.
  LogMel(const gradc_rt_data& rule, int64_t frames, int64_t bands);

  /// "" or why there is no such spectrogram: a band without a frequency of the transform in it.
  std::string problem() const;
  /// Samples that the frames lie in.
  size_t samples() const;
  /// [frames, bands] of that many samples. Changes nothing: threads may share it.
  void compute(const float* samples, float* out) const;

 private:
  struct Band {
    size_t first = 0;
    std::vector<double> weights;
  };

  void transform(std::vector<std::complex<double>>& x) const;

  const gradc_rt_data& rule_;
  int64_t frames_;
  std::vector<double> window_;
  std::vector<std::complex<double>> roots_;
  std::vector<Band> bands_;
};

}  // namespace gradc::exchange
