// A file's own bytes, beside libhdf5's view of it. Two things that libhdf5 1.10 takes on trust are
// read without it: heaps of texts (which it walks without end where an object takes no room), and
// texts of variable length (of which it writes as many bytes as the heap states into a buffer of
// as many as the reference states).
// Layout: HDF5 File Format Specification 2.0, sections II.A and III.E.
#pragma once

#include "runtime/file.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace gradc::exchange {

class H5Bytes {
 public:
  /// Nothing where the file cannot be read, or is not of the form that is relied on: a superblock
  /// at its begin, addresses and lengths of 8 bytes, heaps whose objects follow each other.
  static std::shared_ptr<const H5Bytes> open(const std::string& path);
  /// The same of bytes that outlive this.
  static std::shared_ptr<const H5Bytes> image(std::span<const uint8_t> bytes);
  H5Bytes(const H5Bytes&) = delete;
  H5Bytes& operator=(const H5Bytes&) = delete;
  ~H5Bytes();

  size_t size() const { return bytes_.size(); }
  /// Some of the bytes; empty where they are not all there.
  std::span<const uint8_t> at(uint64_t offset, uint64_t size) const {
    if (offset > bytes_.size() || size > bytes_.size() - offset) return {};
    return bytes_.subspan(offset, size);
  }
  /// The text that a stored reference of `kReference` bytes leads to, up to its first NUL; nothing
  /// where no heap has an object of that number and length there.
  static constexpr size_t kReference = 16;
  std::optional<std::string> text(const uint8_t* reference) const;

 private:
  H5Bytes(std::span<const uint8_t> bytes, bool mapped) : bytes_(bytes), mapped_(mapped) {}

  std::span<const uint8_t> bytes_;
  bool mapped_;
};

}  // namespace gradc::exchange
