// A file's own bytes, mapped or in memory.
#pragma once

#include "exchange/h5/cursor.h"

#include <memory>
#include <string>

namespace gradc::exchange::h5 {

class FileBytes {
 public:
  /// Nothing where there is no regular file that has bytes.
  static std::unique_ptr<const FileBytes> open(const std::string& path);
  /// Bytes that outlive this.
  static std::unique_ptr<const FileBytes> image(Span bytes);
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;
  ~FileBytes();

  uint64_t size() const { return bytes_.size(); }
  /// Whether all of these bytes are there.
  bool holds(uint64_t offset, uint64_t count) const {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }
  /// Some of the bytes; empty where they are not all there.
  Span at(uint64_t offset, uint64_t count) const {
    return holds(offset, count) ? bytes_.subspan(offset, count) : Span();
  }
  /// All bytes from there on.
  Span from(uint64_t offset) const {
    return offset < bytes_.size() ? bytes_.subspan(offset) : Span();
  }

 private:
  FileBytes(Span bytes, bool mapped) : bytes_(bytes), mapped_(mapped) {}

  Span bytes_;
  bool mapped_;
};

}  // namespace gradc::exchange::h5
