// Protocol buffers' wire format, as far as writing goes: fields are a key (number and kind) and a
// varint, four bytes, or a length and bytes.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace gradc::exchange::onnx {

class Message {
 public:
  void integer(uint32_t field, int64_t value) {
    key(field, 0);
    varint(static_cast<uint64_t>(value));
  }
  void number(uint32_t field, float value) {
    key(field, 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int i = 0; i < 4; ++i)
      bytes_ += static_cast<char>(bits >> (8 * i) & 0xFFU);
  }
  void text(uint32_t field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(uint32_t field, const Message& value) { text(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  void key(uint32_t field, uint32_t kind) { varint(field << 3U | kind); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7U)
      bytes_ += static_cast<char>((value & 0x7FU) | 0x80U);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace gradc::exchange::onnx
