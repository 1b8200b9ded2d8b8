#include "runtime/model_abi.h"

#include "exchange/media/images/image.h"

#include <algorithm>
#include <cmath>

namespace gradc::exchange {
namespace {

// The pixels that one of the result is made of.
struct Reach {
  int64_t first = 0;
  std::vector<double> weights;  // their sum is 1
  int64_t end() const { return first + static_cast<int64_t>(weights.size()); }
};

// Pixels of `length`, from `begin` on, as `wanted` ones. Centres of pixels are at halves.
std::vector<Reach> reaches(double begin, double length, int64_t size, int64_t wanted,
                           bool nearest) {
  const double step = length / static_cast<double>(wanted);
  const double width = std::max(step, 1.0);
  std::vector<Reach> list;
  for (int64_t i = 0; i < wanted; ++i) {
    const double centre = begin + (static_cast<double>(i) + 0.5) * step;
    Reach& reach = list.emplace_back();
    if (nearest) {
      reach.first = std::clamp<int64_t>(static_cast<int64_t>(std::floor(centre)), 0, size - 1);
      reach.weights = {1.0};
      continue;
    }
    reach.first =
        std::clamp<int64_t>(static_cast<int64_t>(std::floor(centre - width + 0.5)), 0, size - 1);
    const int64_t last = std::clamp<int64_t>(static_cast<int64_t>(std::floor(centre + width + 0.5)),
                                             reach.first + 1, size);
    double sum = 0.0;
    for (int64_t k = reach.first; k < last; ++k) {
      const double distance = std::abs((static_cast<double>(k) + 0.5 - centre) / width);
      reach.weights.push_back(std::max(0.0, 1.0 - distance));
      sum += reach.weights.back();
    }
    for (double& weight : reach.weights)
      weight /= sum;
  }
  return list;
}

// A part of the image as height x width pixels.
Image scaled(const Image& image, double top, double left, double rows, double columns,
             int64_t height, int64_t width, bool nearest) {
  const std::vector<Reach> down = reaches(top, rows, image.height, height, nearest);
  const std::vector<Reach> across = reaches(left, columns, image.width, width, nearest);
  const auto channels = static_cast<size_t>(image.channels);
  const auto wide = static_cast<size_t>(width) * channels;
  // Line by line, each added to all rows of the result that it is part of: an image may be as high
  // as 2^16 lines, and a thread has one of its own.
  std::vector<double> line(wide);
  std::vector<double> sums(static_cast<size_t>(height) * wide);
  size_t begin = 0;
  for (int64_t y = 0; y < image.height; ++y) {
    while (begin < down.size() && down[begin].end() <= y)
      ++begin;
    if (begin == down.size()) break;
    if (down[begin].first > y) continue;
    const uint8_t* row = image.pixels.data() + static_cast<size_t>(y * image.width) * channels;
    std::fill(line.begin(), line.end(), 0.0);
    for (size_t x = 0; x < across.size(); ++x) {
      const uint8_t* from = row + static_cast<size_t>(across[x].first) * channels;
      for (const double weight : across[x].weights) {
        for (size_t c = 0; c < channels; ++c)
          line[x * channels + c] += weight * *from++;
      }
    }
    for (size_t r = begin; r < down.size() && down[r].first <= y; ++r) {
      const double weight = down[r].weights[static_cast<size_t>(y - down[r].first)];
      double* sum = sums.data() + r * wide;
      for (size_t x = 0; x < wide; ++x)
        sum[x] += weight * line[x];
    }
  }
  Image out{height, width, image.channels, {}};
  out.pixels.resize(out.bytes());
  for (size_t i = 0; i < sums.size(); ++i)
    out.pixels[i] = static_cast<uint8_t>(std::floor(sums[i] + 0.5));
  return out;
}

Image padded(const Image& image, const ImageForm& form, bool nearest) {
  const double factor =
      std::min(static_cast<double>(form.height) / static_cast<double>(image.height),
               static_cast<double>(form.width) / static_cast<double>(image.width));
  const auto fitting = [factor](int64_t side, int64_t most) {
    return std::clamp<int64_t>(std::llround(static_cast<double>(side) * factor), 1, most);
  };
  const Image inner =
      scaled(image, 0, 0, static_cast<double>(image.height), static_cast<double>(image.width),
             fitting(image.height, form.height), fitting(image.width, form.width), nearest);
  Image out{form.height, form.width, image.channels, {}};
  out.pixels.resize(out.bytes());
  const int64_t top = (form.height - inner.height) / 2;
  const int64_t left = (form.width - inner.width) / 2;
  const auto row_bytes = static_cast<size_t>(inner.width * inner.channels);
  for (int64_t y = 0; y < inner.height; ++y) {
    std::copy_n(
        inner.pixels.data() + static_cast<size_t>(y) * row_bytes, row_bytes,
        out.pixels.data() + static_cast<size_t>(((top + y) * form.width + left) * form.channels));
  }
  return out;
}

}  // namespace

Image resized(const Image& image, const ImageForm& form) {
  if (image.height == form.height && image.width == form.width) return image;
  const bool nearest = form.filter == GRADC_RT_RESIZE_NEAREST;
  if (form.fit == GRADC_RT_RESIZE_PAD) return padded(image, form, nearest);
  auto rows = static_cast<double>(image.height);
  auto columns = static_cast<double>(image.width);
  if (form.fit == GRADC_RT_RESIZE_CROP) {  // the largest part that has the shape, from the middle
    const double shape = static_cast<double>(form.width) / static_cast<double>(form.height);
    rows = std::min(rows, columns / shape);
    columns = rows * shape;
  }
  return scaled(image, (static_cast<double>(image.height) - rows) / 2,
                (static_cast<double>(image.width) - columns) / 2, rows, columns, form.height,
                form.width, nearest);
}

}  // namespace gradc::exchange
