// CIFAR's binary files: records of a class (CIFAR-100: a coarse class in front of it), then 1024
// bytes each of red, green and blue, row by row.
#include "runtime/array.h"
#include "runtime/byte_stream.h"

namespace gradc::rt {
namespace {

constexpr size_t kSide = 32;
constexpr size_t kPixels = kSide * kSide;
constexpr size_t kChannels = 3;

// What a record begins with.
struct CifarKind {
  size_t labels;
  int limits[2];  // of each label; the last is the class
};

constexpr CifarKind kKinds[] = {{1, {10, 0}}, {2, {20, 100}}};

bool fits(const CifarKind& kind, const Bytes& bytes) {
  const size_t record = kind.labels + kChannels * kPixels;
  if (bytes.empty() || bytes.size() % record != 0) return false;
  for (size_t at = 0; at < bytes.size(); at += record) {
    for (size_t i = 0; i < kind.labels; ++i)
      if (bytes[at + i] >= kind.limits[i]) return false;
  }
  return true;
}

void append_record(const uint8_t* planes, Bytes* pixels) {
  uint8_t image[kPixels * kChannels];
  for (size_t p = 0; p < kPixels; ++p) {
    for (size_t c = 0; c < kChannels; ++c)
      image[p * kChannels + c] = planes[c * kPixels + p];
  }
  pixels->append(image, sizeof image);
}

}  // namespace

Status append_cifar(const char* path, Array* images, Array* labels) {
  Bytes bytes;
  GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
  const CifarKind* kind = nullptr;
  for (const CifarKind& candidate : kKinds)
    if (kind == nullptr && fits(candidate, bytes)) kind = &candidate;
  if (kind == nullptr) {
    return error(
        "%s: %zu bytes are no CIFAR file: records of 3073 bytes that begin with a class below 10, "
        "or "
        "of 3074 that begin with two below 20 and 100, were expected",
        path, bytes.size());
  }
  const size_t record = kind->labels + kChannels * kPixels;
  const size_t rows = bytes.size() / record;
  if (images->dims.empty()) {
    images->source = Str(path);
    labels->source = Str(path);
    images->dtype = labels->dtype = Dtype::kU8;
    for (const size_t extent : {size_t{0}, kSide, kSide, kChannels})
      images->dims.push(static_cast<int64_t>(extent));
    labels->dims.push(0);
  }
  images->data.reserve(images->data.size() + rows * kChannels * kPixels);
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* at = bytes.data() + r * record + kind->labels;
    labels->data.push(at[-1]);
    append_record(at, &images->data);
  }
  images->dims[0] += static_cast<int64_t>(rows);
  labels->dims[0] += static_cast<int64_t>(rows);
  return {};
}

}  // namespace gradc::rt
