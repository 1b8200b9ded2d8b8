// JPEG by libjpeg-turbo. Its errors jump: nothing with a destructor is made between a mark and its
// jumps.
#include "exchange/media/images/image.h"

#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <jpeglib.h>

namespace gradc::exchange {
namespace {

constexpr int kMostScans = 500;  // of a progressive file: each is a pass over the whole image

struct Work {
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  jpeg_decompress_struct jpeg;
  std::jmp_buf jump;
  char text[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void fail(j_common_ptr jpeg) {
  Work* work = static_cast<Work*>(jpeg->client_data);
  (*jpeg->err->format_message)(jpeg, work->text);
  std::longjmp(work->jump, 1);
}

// What is damaged is a warning to libjpeg, which goes on with grey.
void warn(j_common_ptr jpeg, int level) {
  if (level < 0) fail(jpeg);
}

void count_scans(j_common_ptr jpeg) {
  const auto* decompress = reinterpret_cast<j_decompress_ptr>(jpeg);
  if (decompress->input_scan_number <= kMostScans) return;
  Work* work = static_cast<Work*>(jpeg->client_data);
  std::snprintf(work->text, sizeof work->text, "has more than %d scans", kMostScans);
  std::longjmp(work->jump, 1);
}

bool read_header(Work* work, const std::vector<uint8_t>& file, int64_t channels) {
  if (setjmp(work->jump) != 0) return false;
  jpeg_create_decompress(&work->jpeg);
  work->progress.progress_monitor = count_scans;
  work->jpeg.progress = &work->progress;
  jpeg_mem_src(&work->jpeg, file.data(), file.size());
  jpeg_read_header(&work->jpeg, TRUE);
  work->jpeg.out_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_calc_output_dimensions(&work->jpeg);
  return true;
}

bool read_rows(Work* work, uint8_t* pixels) {
  if (setjmp(work->jump) != 0) return false;
  jpeg_start_decompress(&work->jpeg);
  const size_t row_bytes =
      size_t{work->jpeg.output_width} * static_cast<size_t>(work->jpeg.output_components);
  while (work->jpeg.output_scanline < work->jpeg.output_height) {
    JSAMPROW row = pixels + work->jpeg.output_scanline * row_bytes;
    jpeg_read_scanlines(&work->jpeg, &row, 1);
  }
  jpeg_finish_decompress(&work->jpeg);
  return true;
}

void add_opacity(Image* image) {
  std::vector<uint8_t> wide(static_cast<size_t>(image->height * image->width) * 4, 255);
  for (size_t i = 0; i < wide.size() / 4; ++i)
    std::memcpy(&wide[i * 4], &image->pixels[i * 3], 3);
  image->pixels = std::move(wide);
  image->channels = 4;
}

std::string decode(Work* work, const std::vector<uint8_t>& file, int64_t channels, Image* out) {
  if (!read_header(work, file, channels)) return work->text;
  out->height = work->jpeg.output_height;
  out->width = work->jpeg.output_width;
  out->channels = channels == 1 ? 1 : 3;
  if (std::string problem = size_problem(out->height, out->width); !problem.empty()) return problem;
  out->pixels.resize(out->bytes());
  return read_rows(work, out->pixels.data()) ? "" : work->text;
}

}  // namespace

std::string decode_jpeg(const std::vector<uint8_t>& file, int64_t channels, Image* out) {
  Work work{};
  work.jpeg.err = jpeg_std_error(&work.errors);
  work.jpeg.client_data = &work;
  work.errors.error_exit = fail;
  work.errors.emit_message = warn;
  std::string problem = decode(&work, file, channels, out);
  jpeg_destroy_decompress(&work.jpeg);
  if (problem.empty() && channels == 4) add_opacity(out);
  return problem;
}

}  // namespace gradc::exchange
