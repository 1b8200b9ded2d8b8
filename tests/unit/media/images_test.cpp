// Decoding, sizes and damage of image files.
#include "runtime/model_abi.h"
#include "tests/support/png_file.h"
#include "tests/support/sanitized.h"

#include "exchange/media/images/image.h"
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <jpeglib.h>
#include <new>
#include <random>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace gradc::exchange {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

Bytes decoded(const test::PngFile& png, int64_t channels) {
  Image image;
  EXPECT_EQ(decode_png(bytes_of(test::png_bytes(png)), channels, &image), "");
  EXPECT_EQ(image.height, png.height);
  EXPECT_EQ(image.width, png.width);
  EXPECT_EQ(image.channels, channels);
  return image.pixels;
}

TEST(Png, GreysOfEveryDepth) {
  EXPECT_EQ(decoded({.width = 8, .height = 1, .depth = 1, .rows = {"\xA5"}}, 1),
            (Bytes{255, 0, 255, 0, 0, 255, 0, 255}));
  EXPECT_EQ(decoded({.width = 4, .height = 1, .depth = 2, .rows = {"\x1B"}}, 1),
            (Bytes{0, 85, 170, 255}));
  EXPECT_EQ(decoded({.width = 2, .height = 2, .depth = 4, .rows = {"\x1F", "\x80"}}, 1),
            (Bytes{17, 255, 136, 0}));
  EXPECT_EQ(decoded({.width = 2, .height = 1, .rows = {"\x07\xC8"}}, 1), (Bytes{7, 200}));
  EXPECT_EQ(decoded({.width = 2, .height = 1, .rows = {"\x07\xC8"}}, 3),
            (Bytes{7, 7, 7, 200, 200, 200}));
  const std::string wide("\x12\x34\xFF\xFF", 4);  // 0x1234 / 257 = 18.13
  EXPECT_EQ(decoded({.width = 2, .height = 1, .depth = 16, .rows = {wide}}, 1), (Bytes{18, 255}));
}

TEST(Png, ColoursPalettesAndOpacity) {
  const std::string pixels = "\x0A\x14\x1E\xFF\x80\x01";
  const test::PngFile colours{.width = 2, .height = 1, .colour = 2, .rows = {pixels}};
  EXPECT_EQ(decoded(colours, 3), (Bytes{10, 20, 30, 255, 128, 1}));
  EXPECT_EQ(decoded(colours, 4), (Bytes{10, 20, 30, 255, 255, 128, 1, 255}));
  // 0.299 R + 0.587 G + 0.114 B
  EXPECT_EQ(decoded(colours, 1), (Bytes{18, 151}));
  const test::PngFile palette{
      .width = 3, .height = 1, .depth = 2, .colour = 3, .rows = {"\x18"}, .palette = pixels};
  EXPECT_EQ(decoded(palette, 3), (Bytes{10, 20, 30, 255, 128, 1, 0, 0, 0})) << "0, 1, 2 of two";
  const test::PngFile opacity{.width = 2, .height = 1, .colour = 4, .rows = {"\x05\x40\x06\x80"}};
  EXPECT_EQ(decoded(opacity, 1), (Bytes{5, 6}));
  EXPECT_EQ(decoded(opacity, 4), (Bytes{5, 5, 5, 0x40, 6, 6, 6, 0x80}));
  const test::PngFile all{.width = 1, .height = 1, .colour = 6, .rows = {"\x01\x02\x03\x04"}};
  EXPECT_EQ(decoded(all, 3), (Bytes{1, 2, 3}));
  EXPECT_EQ(decoded(all, 4), (Bytes{1, 2, 3, 4}));
}

TEST(Png, NothingInAFileIsTakenOnTrust) {
  std::mt19937 random(7);
  Bytes pixels(16 * 16 * 3);
  for (uint8_t& p : pixels)
    p = static_cast<uint8_t>(random());
  const Bytes whole = bytes_of(test::png_bytes(pixels.data(), 16, 16, 3));
  Image image;
  for (size_t size = 8; size + 12 < whole.size(); ++size) {  // without IEND all pixels are there
    EXPECT_NE(
        decode_png({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}, 3, &image),
        "")
        << size;
  }
  for (int i = 0; i < 2000; ++i) {
    Bytes damaged = whole;
    for (int k = 0; k < 3; ++k)
      damaged[8 + random() % (damaged.size() - 8)] ^= static_cast<uint8_t>(1 + random() % 255);
    decode_png(damaged, 3, &image);  // an error or an image, no crash
  }
  // 2^16 x 2^16 of one colour are 16 MB packed and 4 GB unpacked: refused by its header.
  const test::PngFile huge{.width = 65536, .height = 65536, .rows = {""}};
  EXPECT_NE(decode_png(bytes_of(test::png_bytes(huge)), 1, &image).find("65536x65536"),
            std::string::npos);
  const test::PngFile endless{.width = 0x7FFFFFFF, .height = 1, .rows = {""}};
  EXPECT_NE(decode_png(bytes_of(test::png_bytes(endless)), 1, &image), "");
  const test::PngFile none{.width = 0, .height = 1, .rows = {""}};
  EXPECT_NE(decode_png(bytes_of(test::png_bytes(none)), 1, &image), "");
}

Bytes encode_jpeg(const Bytes& pixels, unsigned height, unsigned width, int channels, bool steps) {
  jpeg_error_mgr errors;
  jpeg_compress_struct jpeg{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &memory, &size);
  jpeg.image_width = width;
  jpeg.image_height = height;
  jpeg.input_components = channels;
  jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 98, TRUE);
  if (steps) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  for (unsigned y = 0; y < height; ++y) {
    auto* row =
        const_cast<JSAMPROW>(pixels.data()) + size_t{y} * width * static_cast<unsigned>(channels);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  Bytes file(memory, memory + size);
  std::free(memory);
  jpeg_destroy_compress(&jpeg);
  return file;
}

// Of smooth images little is lost.
Bytes smooth(unsigned height, unsigned width, unsigned channels) {
  Bytes pixels;
  for (unsigned y = 0; y < height; ++y)
    for (unsigned x = 0; x < width; ++x)
      for (unsigned c = 0; c < channels; ++c)
        pixels.push_back(static_cast<uint8_t>(40 + 3 * y + 2 * x + 20 * c));
  return pixels;
}

int farthest(const Bytes& a, const Bytes& b) {
  EXPECT_EQ(a.size(), b.size());
  int most = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    most = std::max(most, std::abs(int{a[i]} - int{b[i]}));
  return most;
}

TEST(Jpeg, GreysAndColours) {
  for (const bool steps : {false, true}) {
    Image image;
    const Bytes grey = smooth(17, 23, 1);
    ASSERT_EQ(decode_jpeg(encode_jpeg(grey, 17, 23, 1, steps), 1, &image), "");
    EXPECT_LE(farthest(image.pixels, grey), 3);
    const Bytes colours = smooth(17, 23, 3);
    ASSERT_EQ(decode_jpeg(encode_jpeg(colours, 17, 23, 3, steps), 3, &image), "");
    EXPECT_LE(farthest(image.pixels, colours), 6);
    ASSERT_EQ(decode_jpeg(encode_jpeg(colours, 17, 23, 3, steps), 4, &image), "");
    EXPECT_EQ(image.pixels[3], 255);
    EXPECT_EQ(image.bytes(), size_t{17 * 23 * 4});
    ASSERT_EQ(decode_jpeg(encode_jpeg(grey, 17, 23, 1, steps), 3, &image), "");
    EXPECT_EQ(image.bytes(), size_t{17 * 23 * 3});
    // Luminance of the colours' file: 0.299, 0.587, 0.114 of 0, 20, 40 more.
    ASSERT_EQ(decode_jpeg(encode_jpeg(colours, 17, 23, 3, steps), 1, &image), "");
    Bytes luminance = grey;
    for (uint8_t& p : luminance)
      p = static_cast<uint8_t>(p + 16);
    EXPECT_LE(farthest(image.pixels, luminance), 4);
  }
}

TEST(Jpeg, NothingInAFileIsTakenOnTrust) {
  std::mt19937 random(8);
  const Bytes whole = encode_jpeg(smooth(24, 24, 3), 24, 24, 3, true);
  Image image;
  for (size_t size = 2; size + 2 < whole.size(); size += 3) {
    EXPECT_NE(
        decode_jpeg({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)}, 3, &image),
        "")
        << size;
  }
  for (int i = 0; i < 2000; ++i) {
    Bytes damaged = whole;
    for (int k = 0; k < 3; ++k)
      damaged[2 + random() % (damaged.size() - 2)] ^= static_cast<uint8_t>(1 + random() % 255);
    decode_jpeg(damaged, 3, &image);
  }
  Bytes huge = whole;  // the frame's height and width
  for (size_t i = 0; i + 9 < huge.size(); ++i) {
    if (huge[i] != 0xFF || huge[i + 1] != 0xC2) continue;
    huge[i + 5] = huge[i + 6] = huge[i + 7] = huge[i + 8] = 0xF0;
    break;
  }
  EXPECT_NE(decode_jpeg(huge, 3, &image).find("61680x61680"), std::string::npos);
}

Image image_of(int64_t height, int64_t width, Bytes pixels) {
  return {height, width, 1, std::move(pixels)};
}

TEST(Resize, BilinearIsWhatItsFormulaSays) {
  // Twice as wide: between centres, a quarter and three quarters.
  ImageForm form{.height = 1, .width = 4};
  EXPECT_EQ(resized(image_of(1, 2, {0, 200}), form).pixels, (Bytes{0, 50, 150, 200}));
  // Half as wide: a triangle of 2 pixels to each side, 1 3 3 1 / 8, at borders 3 3 1 / 7.
  form.width = 2;
  EXPECT_EQ(resized(image_of(1, 4, {70, 140, 0, 210}), form).pixels,
            (Bytes{static_cast<uint8_t>(std::lround((3 * 70 + 3 * 140 + 0) / 7.0)),
                   static_cast<uint8_t>(std::lround((140 + 0 + 3 * 210) / 7.0))}));
  form = {.height = 2, .width = 2, .filter = GRADC_RT_RESIZE_NEAREST};
  EXPECT_EQ(
      resized(image_of(4, 4, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}), form).pixels,
      (Bytes{5, 7, 13, 15}));
}

TEST(Resize, CropsAndPadsKeepTheShape) {
  ImageForm form{.height = 2, .width = 2, .fit = GRADC_RT_RESIZE_CROP};
  EXPECT_EQ(resized(image_of(2, 4, {9, 1, 2, 9, 9, 3, 4, 9}), form).pixels, (Bytes{1, 2, 3, 4}));
  form = {.height = 4, .width = 4, .fit = GRADC_RT_RESIZE_PAD};
  EXPECT_EQ(resized(image_of(2, 4, {1, 2, 3, 4, 5, 6, 7, 8}), form).pixels,
            (Bytes{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0}));
  form = {.height = 7, .width = 5, .channels = 3};
  const Image flat{3, 11, 3, Bytes(3 * 11 * 3, 77)};
  EXPECT_EQ(resized(flat, form).pixels, Bytes(7 * 5 * 3, 77)) << "weights sum to 1";
}

// An image of few bytes in a file may have 2^16 lines: what making it smaller takes is as large as
// the result, not as all lines in the result's width.
TEST(Resize, TakesTheMemoryOfTheResult) {
  if (GRADC_SANITIZED) GTEST_SKIP() << "sanitizers reserve address space without bound";
  Image image{kLongestSide, 16, 1, {}};
  image.pixels.assign(image.bytes(), 7);
  const ImageForm form{.height = 4, .width = 1024};  // all lines: 512 MiB
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit memory{size_t{384} << 20, size_t{384} << 20};
    setrlimit(RLIMIT_AS, &memory);
    try {
      _exit(resized(image, form).pixels == Bytes(4 * 1024, 7) ? 0 : 1);
    } catch (const std::bad_alloc&) {
      _exit(2);
    }
  }
  int state = 0;
  ASSERT_EQ(waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state) && WEXITSTATUS(state) == 0) << state;
}

}  // namespace
}  // namespace gradc::exchange
