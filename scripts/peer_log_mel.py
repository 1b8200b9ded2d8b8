#!/usr/bin/python3
"""Log-mel spectrograms in double precision by numpy, from the formulas of exchange/media/sound/log_mel.h, for
tests/unit/media/log_mel_values.h:  scripts/peer_log_mel.py > tests/unit/media/log_mel_values.h"""
import numpy as np

# rate, fft, frame, stride, low, high, least, scale, frames, bands
SETTINGS = [(8000, 256, 200, 80, 50.0, 4000.0, 1e-6, "htk", 4, 12),
            (16000, 512, 400, 160, 0.0, 8000.0, 1e-10, "slaney", 3, 20),
            (22050, 1024, 1024, 300, 20.0, 7600.0, 1e-3, "htk", 5, 8)]


def signal(rate, count):
    """What the test makes too: two tones, one of them rising, and a silent end; as f32."""
    t = np.arange(count) / rate
    x = 0.5 * np.sin(2 * np.pi * 440 * t) + 0.25 * np.sin(2 * np.pi * (300 + 20000 * t) * t)
    x[count * 4 // 5:] = 0
    return x.astype("f4").astype("f8")


def to_mel(hz, scale):
    if scale == "htk":
        return 2595 * np.log10(1 + hz / 700)
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def to_hz(mel, scale):
    if scale == "htk":
        return 700 * (10 ** (mel / 2595) - 1)
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def log_mel(rate, fft, frame, stride, low, high, least, scale, frames, bands):
    x = signal(rate, (frames - 1) * stride + frame)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)
    power = np.abs(np.array([np.fft.rfft(x[k * stride:k * stride + frame] * window, fft) for k in range(frames)])) ** 2
    edges = to_hz(np.linspace(to_mel(np.float64(low), scale), to_mel(np.float64(high), scale), bands + 2), scale)
    hz = np.arange(fft // 2 + 1) * rate / fft
    rise = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    weights = np.maximum(0, np.minimum(rise, fall))
    if scale == "slaney":
        weights *= (2 / (edges[2:] - edges[:-2]))[:, None]
    return np.log(np.maximum(power @ weights.T, least))


print("""// Written by scripts/peer_log_mel.py: numpy in double precision.
#pragma once

#include "runtime/model_abi.h"

#include <vector>

namespace gradc::exchange {

struct LogMelCase {
  int64_t rate, fft, frame, stride;
  double low, high, least;
  int64_t scale, frames, bands;
  std::vector<double> values;
};

inline const std::vector<LogMelCase> kLogMelCases = {""")
for setting in SETTINGS:
    *numbers, scale, frames, bands = setting
    values = ", ".join(f"{v:.12g}" for v in log_mel(*setting).reshape(-1))
    print(f"    {{{', '.join(map(str, numbers))}, GRADC_RT_MEL_{scale.upper()}, {frames}, {bands},\n     {{{values}}}}},")
print("""};

}  // namespace gradc::exchange""")
