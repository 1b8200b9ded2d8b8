// Numbers, texts and arrays as bytes, for what a build writes and the same build reads again or
// compares: no names, no versions. No two sequences of puts of the same kinds give the same bytes.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace gradc {

class ByteWriter {
 public:
  /// Small numbers are short.
  void put(uint64_t value) {
    for (; value >= 0x80; value >>= 7)
      bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }
  void put(std::string_view text) {
    put(uint64_t{text.size()});
    bytes_ += text;
  }
  template <class T>
  void put_array(std::span<const T> items) {
    static_assert(std::is_trivially_copyable_v<T>);
    put(std::string_view(reinterpret_cast<const char*>(items.data()), items.size_bytes()));
  }

  const std::string& bytes() const { return bytes_; }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Every get is false, once the bytes are not what it expects.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}

  bool get(uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes_.empty()) return false;
      const auto byte = static_cast<unsigned char>(bytes_.front());
      bytes_.remove_prefix(1);
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool get(int64_t& value) {
    uint64_t bits = 0;
    const bool ok = get(bits);
    value = static_cast<int64_t>(bits);
    return ok;
  }
  /// The text stays where it is.
  bool get(std::string_view& text) {
    uint64_t size = 0;
    if (!get(size) || size > bytes_.size()) return false;
    text = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return true;
  }
  bool get(std::string& text) {
    std::string_view view;
    const bool ok = get(view);
    text = view;
    return ok;
  }
  /// How many of something follow, each at least a byte.
  bool get_count(uint64_t& count) { return get(count) && count <= bytes_.size(); }
  template <class T>
  bool get_array(std::vector<T>& items) {
    static_assert(std::is_trivially_copyable_v<T>);
    std::string_view bytes;
    if (!get(bytes) || bytes.size() % sizeof(T) != 0) return false;
    items.resize(bytes.size() / sizeof(T));
    if (!items.empty()) std::memcpy(items.data(), bytes.data(), bytes.size());
    return true;
  }
  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

}  // namespace gradc
