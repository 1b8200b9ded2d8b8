// PNG files for tests, written from the specification with zlib alone: what libpng reads is not
// what libpng wrote.
#pragma once

#include <cstdint>
#include <string>
#include <vector>
#include <zlib.h>

namespace gradc::test {

/// What a file says of itself; `rows` are its packed rows without filter bytes.
struct PngFile {
  uint32_t width = 0;
  uint32_t height = 0;
  int depth = 8;   ///< bits of a channel
  int colour = 0;  ///< 0 grey, 2 colours, 3 palette, 4 grey and opacity, 6 colours and opacity
  std::vector<std::string> rows = {};
  std::string palette = {};  ///< 3 bytes each
};

inline std::string big_endian(uint32_t value) {
  std::string text;
  for (unsigned shift = 32; shift > 0; shift -= 8)
    text += static_cast<char>(value >> (shift - 8) & 0xFF);
  return text;
}

inline std::string png_chunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  const auto sum = static_cast<uint32_t>(
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size())));
  return big_endian(static_cast<uint32_t>(data.size())) + body + big_endian(sum);
}

inline std::string png_bytes(const PngFile& png) {
  std::string head = big_endian(png.width) + big_endian(png.height);
  for (const int byte : {png.depth, png.colour, 0, 0, 0})
    head += static_cast<char>(byte);
  std::string raw;
  for (const std::string& row : png.rows)
    raw += '\0' + row;
  std::vector<Bytef> packed(compressBound(static_cast<uLong>(raw.size())));
  auto size = static_cast<uLongf>(packed.size());
  compress2(packed.data(), &size, reinterpret_cast<const Bytef*>(raw.data()),
            static_cast<uLong>(raw.size()), 1);
  std::string text = "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", head);
  if (!png.palette.empty()) text += png_chunk("PLTE", png.palette);
  text += png_chunk("IDAT", {reinterpret_cast<const char*>(packed.data()), size});
  return text + png_chunk("IEND", "");
}

/// An image of bytes, grey or in colours.
inline std::string png_bytes(const uint8_t* pixels, uint32_t height, uint32_t width,
                             uint32_t channels) {
  PngFile png{.width = width,
              .height = height,
              .colour = channels == 1   ? 0
                        : channels == 3 ? 2
                                        : 6};
  for (uint32_t y = 0; y < height; ++y) {
    const auto* row = reinterpret_cast<const char*>(pixels) + size_t{y} * width * channels;
    png.rows.emplace_back(row, size_t{width} * channels);
  }
  return png_bytes(png);
}

}  // namespace gradc::test
