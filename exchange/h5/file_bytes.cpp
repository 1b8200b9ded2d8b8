#include "exchange/h5/file_bytes.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gradc::exchange {
namespace {

using Span = std::span<const uint8_t>;

constexpr std::string_view kSignature("\x89HDF\r\n\x1a\n", 8);
constexpr std::string_view kHeap("GCOL\x01\0\0\0", 8);
constexpr size_t kHeader = 16;  ///< of a heap and of each object in it

uint64_t little(const uint8_t* bytes, size_t count) {
  uint64_t value = 0;
  while (count-- > 0)
    value = value << 8U | bytes[count];
  return value;
}

bool starts_with(Span bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

/// Calls `visit(number, bytes)` for every object of the heap at the begin of `bytes`; whether they
/// follow each other to its end.
template <typename Visit>
bool for_each_object(Span bytes, Visit&& visit) {
  if (bytes.size() < kHeader) return false;
  const uint64_t size = little(bytes.data() + 8, 8);
  if (size < kHeader || size > bytes.size()) return false;
  const Span heap = bytes.first(size);
  size_t at = kHeader;
  while (heap.size() - at >= kHeader) {
    const uint64_t number = little(heap.data() + at, 2);
    const uint64_t length = little(heap.data() + at + 8, 8);
    if (length > heap.size() - at) return false;
    const uint64_t need = number == 0 ? length : kHeader + (length + 7) / 8 * 8;
    if (need < kHeader || need > heap.size() - at) return false;
    if (number != 0) visit(number, heap.subspan(at + kHeader, length));
    at += need;
  }
  return true;
}

bool is_sound(Span bytes) {
  constexpr size_t kSuperblock = 16;
  if (bytes.size() < kSuperblock || !starts_with(bytes, kSignature)) return false;
  const size_t sizes = bytes[8] < 2 ? 13 : 9;
  if (bytes[8] > 3 || bytes[sizes] != 8 || bytes[sizes + 1] != 8) return false;
  const uint8_t* const end = bytes.data() + bytes.size();
  for (const uint8_t* at = bytes.data();
       (at = static_cast<const uint8_t*>(
            memmem(at, static_cast<size_t>(end - at), kHeap.data(), kHeap.size()))) != nullptr;
       at += kHeap.size()) {
    if (!for_each_object(Span(at, end), [](uint64_t, Span) {})) return false;
  }
  return true;
}

}  // namespace

std::shared_ptr<const H5Bytes> H5Bytes::open(const std::string& path) {
  const int descriptor = rt::open_descriptor(path.c_str(), O_RDONLY, 0);
  if (descriptor < 0) return nullptr;
  struct stat status{};
  void* bytes = MAP_FAILED;
  if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
    bytes =
        mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
  }
  close(descriptor);
  if (bytes == MAP_FAILED) return nullptr;
  const Span all(static_cast<const uint8_t*>(bytes), static_cast<size_t>(status.st_size));
  std::shared_ptr<const H5Bytes> made(new H5Bytes(all, true));
  return is_sound(all) ? made : nullptr;
}

std::shared_ptr<const H5Bytes> H5Bytes::image(Span bytes) {
  if (!is_sound(bytes)) return nullptr;
  return std::shared_ptr<const H5Bytes>(new H5Bytes(bytes, false));
}

H5Bytes::~H5Bytes() {
  if (mapped_) munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

std::optional<std::string> H5Bytes::text(const uint8_t* reference) const {
  const uint64_t length = little(reference, 4);
  const uint64_t heap = little(reference + 4, 8);
  const uint64_t number = little(reference + 12, 4);
  if (length == 0) return std::string();
  if (heap >= bytes_.size() || !starts_with(bytes_.subspan(heap), kHeap)) return std::nullopt;
  std::optional<std::string> found;
  for_each_object(bytes_.subspan(heap), [&](uint64_t object, Span bytes) {
    if (object != number || bytes.size() != length || found) return;
    found.emplace(bytes.begin(), std::find(bytes.begin(), bytes.end(), uint8_t{0}));
  });
  return found;
}

}  // namespace gradc::exchange
