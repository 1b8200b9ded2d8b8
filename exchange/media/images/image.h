// One image in memory, and the files that it comes from. Nothing in a file is taken on trust: sizes
// are checked before memory is taken for them.
#pragma once

#include "runtime/array.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gradc::exchange {

/// What is made of each file.
struct ImageForm {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 1;  ///< 1 grey, 3 colours, 4 with what is transparent
  int64_t fit = 0;       ///< gradc_rt_resize_fit
  int64_t filter = 0;    ///< gradc_rt_resize_filter
};

/// Rows of pixels, each of so many bytes: 1 grey, 3 red, green, blue, 4 with opacity behind.
struct Image {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::vector<uint8_t> pixels;

  size_t bytes() const { return static_cast<size_t>(height * width * channels); }
};

/// What is larger is refused: 2^26 pixels, of at most 2^16 rows and columns.
inline constexpr int64_t kMostPixels = int64_t{1} << 26;
inline constexpr int64_t kLongestSide = int64_t{1} << 16;

/// Decodes a file's bytes to as many channels. "" when all is well, else what is wrong. Greys of a
/// PNG are ITU-R 601's of its colours, those of a JPEG its own; opacity is left out where 4
/// channels are not asked for, and 255 where a file has none.
std::string decode_png(const std::vector<uint8_t>& file, int64_t channels, Image* out);
std::string decode_jpeg(const std::vector<uint8_t>& file, int64_t channels, Image* out);

/// The image in another size. Bilinear weights reach as far as the step between pixels is where the
/// image becomes smaller, so that every pixel counts (antialiasing, as PIL and PyTorch have it).
Image resized(const Image& image, const ImageForm& form);

/// "" when the size is one that is read.
std::string size_problem(int64_t height, int64_t width);

/// u8 [paths, height, width(, channels)] of all files, as the input and its rule want them: without
/// "resize" all have the size of the first. Damaged files are told together, by their names.
rt::Status read_images(const gradc_rt_tensor& input, rt::Span<const rt::Str> paths, rt::Array* out);

}  // namespace gradc::exchange
