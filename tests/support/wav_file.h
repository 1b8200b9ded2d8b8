// WAV files for tests, written from the format's description: what libsndfile reads is not what
// libsndfile wrote.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gradc::test {

/// Channels in turn for each sample, of 16 bits.
inline std::string wav_bytes(const std::vector<int16_t>& samples, uint32_t rate,
                             uint16_t channels = 1) {
  std::string bytes;
  const auto put = [&bytes](uint32_t value, int count) {
    for (int i = 0; i < count; ++i)
      bytes.push_back(static_cast<char>(value >> (8 * i) & 0xFF));
  };
  const auto data = static_cast<uint32_t>(samples.size() * 2);
  bytes += "RIFF";
  put(36 + data, 4);
  bytes += "WAVEfmt ";
  put(16, 4);  // of this chunk
  put(1, 2);   // whole numbers
  put(channels, 2);
  put(rate, 4);
  put(rate * channels * 2, 4);
  put(channels * 2U, 2);
  put(16, 2);
  bytes += "data";
  put(data, 4);
  for (const int16_t sample : samples)
    put(static_cast<uint16_t>(sample), 2);
  return bytes;
}

}  // namespace gradc::test
