// A short number that tells apart data sets and models: not cryptographic, the same on every run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace gradc::rt {

class Digest {
 public:
  /// Eight bytes at a time, each mixed into all bits; the length counts too.
  void add(const void* data, size_t bytes) {
    const char* at = static_cast<const char*>(data);
    for (size_t left = bytes; left > 0;) {
      uint64_t word = 0;
      const size_t n = left < 8 ? left : 8;
      memcpy(&word, at, n);
      mix(word);
      at += n;
      left -= n;
    }
    mix(bytes);
  }
  uint64_t value() const { return state_; }

 private:
  void mix(uint64_t word) {
    state_ = (state_ ^ word) * 0x9E3779B97F4A7C15u;
    state_ ^= state_ >> 32;
  }
  uint64_t state_ = 0x243F6A8885A308D3u;
};

}  // namespace gradc::rt
