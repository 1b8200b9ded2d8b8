// PNG by libpng. Its errors jump: nothing with a destructor is made between a mark and its jumps.
#include "exchange/media/images/image.h"

#include <csetjmp>
#include <cstring>
#include <png.h>

namespace gradc::exchange {
namespace {

// What one decoding has in hand when libpng jumps.
struct Work {
  const std::vector<uint8_t>* file;
  size_t at = 0;
  char text[160] = "";
  png_structp png = nullptr;
  png_infop info = nullptr;
};

void fail(png_structp png, png_const_charp text) {
  Work* work = static_cast<Work*>(png_get_error_ptr(png));
  std::strncpy(work->text, text, sizeof work->text - 1);
  png_longjmp(png, 1);
}

void ignore(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, size_t count) {
  Work* work = static_cast<Work*>(png_get_io_ptr(png));
  if (count > work->file->size() - work->at) png_error(png, "the file ends too early");
  std::memcpy(out, work->file->data() + work->at, count);
  work->at += count;
}

// 8 bits of grey or colours, palettes and short greys widened, opacity as its own channel.
void set_transforms(png_structp png, png_infop info) {
  png_set_expand(png);
  png_set_scale_16(png);
  (void)png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

// The sizes of what will be read; false with work->text set.
bool read_header(Work* work, Image* raw) {
  if (setjmp(png_jmpbuf(work->png)) != 0) return false;
  png_set_read_fn(work->png, work, read_bytes);
  png_set_user_limits(work->png, kLongestSide, kLongestSide);
  png_set_chunk_malloc_max(work->png, 16 << 20);
  png_set_chunk_cache_max(work->png, 64);
  png_read_info(work->png, work->info);
  raw->height = png_get_image_height(work->png, work->info);
  raw->width = png_get_image_width(work->png, work->info);
  set_transforms(work->png, work->info);
  raw->channels = png_get_channels(work->png, work->info);
  if (png_get_rowbytes(work->png, work->info) == static_cast<size_t>(raw->width * raw->channels))
    return true;
  std::strcpy(work->text, "has rows of an unknown kind");
  return false;
}

bool read_rows(Work* work, png_bytep* rows) {
  if (setjmp(png_jmpbuf(work->png)) != 0) return false;
  png_read_image(work->png, rows);
  png_read_end(work->png, nullptr);
  return true;
}

// ITU-R 601: 0.299 R + 0.587 G + 0.114 B, in 2^-16.
uint8_t grey_of(const uint8_t* p) {
  return static_cast<uint8_t>((p[0] * 19595U + p[1] * 38470U + p[2] * 7471U + 0x8000U) >> 16U);
}

// Grey or colours, with opacity or not, as the channels that are wanted.
void convert(const Image& raw, int64_t channels, Image* out) {
  out->height = raw.height;
  out->width = raw.width;
  out->channels = channels;
  out->pixels.resize(out->bytes());
  const bool colours = raw.channels >= 3;
  const auto from = static_cast<size_t>(raw.channels);
  const auto to = static_cast<size_t>(channels);
  const auto count = static_cast<size_t>(raw.height * raw.width);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* p = raw.pixels.data() + i * from;
    uint8_t* q = out->pixels.data() + i * to;
    if (to == 1) {
      q[0] = colours ? grey_of(p) : p[0];
      continue;
    }
    for (size_t c = 0; c < 3; ++c)
      q[c] = colours ? p[c] : p[0];
    if (to == 4) q[3] = from % 2 == 0 ? p[from - 1] : 255;
  }
}

std::string decode(Work* work, Image* raw) {
  if (!read_header(work, raw)) return work->text;
  if (std::string problem = size_problem(raw->height, raw->width); !problem.empty()) return problem;
  raw->pixels.resize(raw->bytes());
  std::vector<png_bytep> rows;
  for (int64_t r = 0; r < raw->height; ++r)
    rows.push_back(raw->pixels.data() + static_cast<size_t>(r * raw->width * raw->channels));
  return read_rows(work, rows.data()) ? "" : work->text;
}

}  // namespace

std::string decode_png(const std::vector<uint8_t>& file, int64_t channels, Image* out) {
  Work work{.file = &file};
  work.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &work, fail, ignore);
  if (work.png != nullptr) work.info = png_create_info_struct(work.png);
  Image raw;
  std::string problem = work.info == nullptr ? "libpng has no memory" : decode(&work, &raw);
  png_destroy_read_struct(&work.png, &work.info, nullptr);
  if (!problem.empty()) return problem;
  if (raw.channels == channels)
    *out = std::move(raw);
  else
    convert(raw, channels, out);
  return {};
}

}  // namespace gradc::exchange
