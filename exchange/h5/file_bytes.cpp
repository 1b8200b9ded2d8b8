#include "exchange/h5/file_bytes.h"

#include "runtime/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace gradc::exchange::h5 {

std::unique_ptr<const FileBytes> FileBytes::open(const std::string& path) {
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
  return std::unique_ptr<const FileBytes>(new FileBytes(all, true));
}

std::unique_ptr<const FileBytes> FileBytes::image(Span bytes) {
  return std::unique_ptr<const FileBytes>(new FileBytes(bytes, false));
}

FileBytes::~FileBytes() {
  if (mapped_) munmap(const_cast<uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace gradc::exchange::h5
