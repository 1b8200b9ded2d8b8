// All files of a folder, on all processors.
#include "runtime/text.h"

#include "exchange/images/image.h"
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

namespace gradc::exchange {
namespace {

constexpr size_t kMostFileBytes = size_t{1} << 30;
constexpr size_t kMostTold = 20;

bool starts(const std::vector<uint8_t>& file, std::initializer_list<uint8_t> bytes) {
  return file.size() >= bytes.size() && std::equal(bytes.begin(), bytes.end(), file.begin());
}

std::string read_bytes(const char* path, std::vector<uint8_t>* out) {
  std::FILE* file = std::fopen(path, "rbe");
  if (file == nullptr) return "cannot be opened";
  uint8_t buffer[16384];
  size_t count = 0;
  while ((count = std::fread(buffer, 1, sizeof buffer, file)) > 0 && out->size() < kMostFileBytes)
    out->insert(out->end(), buffer, buffer + count);
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  return failed ? "cannot be read" : out->size() >= kMostFileBytes ? "is too large" : "";
}

/// What a file is, its content says.
std::string decode(const char* path, int64_t channels, Image* out) {
  std::vector<uint8_t> file;
  if (std::string problem = read_bytes(path, &file); !problem.empty()) return problem;
  if (starts(file, {0x89, 'P', 'N', 'G'})) return decode_png(file, channels, out);
  if (starts(file, {0xFF, 0xD8})) return decode_jpeg(file, channels, out);
  return file.empty() ? "is empty" : "is neither PNG nor JPEG";
}

class Folder {
 public:
  Folder(rt::Span<const rt::Str> paths, const rt::ImageForm& form, bool resize, rt::Bytes* pixels)
      : paths_(paths), form_(form), resize_(resize), pixels_(pixels) {}

  void read() {
    const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1,
                                              std::min<size_t>(paths_.size(), 64));
    std::vector<std::thread> others;
    for (size_t t = 1; t < threads; ++t)
      others.emplace_back([this] { work(); });
    work();
    for (std::thread& thread : others)
      thread.join();
  }

  rt::Status result() const {
    rt::Status status;
    std::vector<std::pair<size_t, std::string>> sorted = problems_;
    std::ranges::sort(sorted);
    for (size_t i = 0; i < std::min(sorted.size(), kMostTold); ++i) {
      rt::add_problem(status, "%s: %s", rt::shown(paths_[sorted[i].first], 200).c_str(),
                      sorted[i].second.c_str());
    }
    if (sorted.size() > kMostTold)
      rt::add_problem(status, "and %zu more files", sorted.size() - kMostTold);
    return status;
  }

 private:
  void work() {
    for (size_t i = next_++; i < paths_.size(); i = next_++) {
      std::string problem;
      try {
        problem = one(i);
      } catch (const std::bad_alloc&) {
        problem = "there is no memory for it";
      }
      if (problem.empty()) continue;
      const std::scoped_lock lock(mutex_);
      problems_.emplace_back(i, std::move(problem));
    }
  }

  std::string one(size_t i) {
    Image image;
    if (std::string problem = decode(paths_[i].c_str(), form_.channels, &image); !problem.empty())
      return problem;
    if (resize_) {
      image = resized(image, form_);
    } else if (image.height != form_.height || image.width != form_.width) {
      return fmt::format(
          "is {}x{}, the first image is {}x{}: \"resize\": {{}} in the model's "
          "\"data\" makes all alike",
          image.height, image.width, form_.height, form_.width);
    }
    std::copy(image.pixels.begin(), image.pixels.end(), pixels_->data() + i * image.bytes());
    return {};
  }

  rt::Span<const rt::Str> paths_;
  const rt::ImageForm& form_;
  bool resize_;
  rt::Bytes* pixels_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  std::vector<std::pair<size_t, std::string>> problems_;
};

rt::Status read_all(rt::Span<const rt::Str> paths, rt::ImageForm* form, rt::Bytes* pixels) {
  const bool resize = form->height > 0;
  if (!resize) {
    Image first;
    const std::string problem = decode(paths[0].c_str(), form->channels, &first);
    if (!problem.empty())
      return rt::error("%s: %s", rt::shown(paths[0], 200).c_str(), problem.c_str());
    form->height = first.height;
    form->width = first.width;
  }
  pixels->resize(paths.size() * static_cast<size_t>(form->height * form->width * form->channels));
  Folder folder(paths, *form, resize, pixels);
  folder.read();
  return folder.result();
}

constexpr rt::ImageReader kReader{read_all};

}  // namespace

std::string size_problem(int64_t height, int64_t width) {
  const bool possible = height > 0 && width > 0 && height <= kLongestSide && width <= kLongestSide;
  if (possible && height * width <= kMostPixels) return {};
  return fmt::format("is {}x{}, at most {} pixels are read", height, width, kMostPixels);
}

const rt::ImageReader* image_reader() {
  return &kReader;
}

}  // namespace gradc::exchange
