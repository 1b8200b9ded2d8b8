// Recordings: samples of one file, and what an input gets of them.
#pragma once

#include "runtime/array.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gradc::exchange {

/// What is known of a file before its samples are read.
struct SoundFacts {
  int64_t rate = 0;  ///< samples a second
  int64_t channels = 0;
  int64_t samples = 0;  ///< of a channel
};

/// "" when all is well, else what is wrong.
std::string look_at_sound(const char* path, SoundFacts* out);

/// Exactly `wanted` samples of a recording of `rate` samples a second, in [-1, 1) where the file
/// has whole numbers; channels are averaged. Of more the part that `align` (gradc_rt_sound_align)
/// says is taken, fewer have zeros beside them. "" when all is well, else what is wrong: another
/// rate is.
std::string read_sound(const char* path, int64_t rate, int64_t align, size_t wanted,
                       std::vector<float>* out);

/// f32 [paths, samples], or with a spectrogram [paths, frames, bands], as the input has them.
/// Damaged files are told together, by their names.
rt::Status read_sounds(const gradc_rt_tensor& input, rt::Span<const rt::Str> paths, rt::Array* out);

}  // namespace gradc::exchange
