// The reference random numbers of the IR: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel
// random numbers: as easy as 1, 2, 3", SC 2011), a pure function of (key, counter).
#pragma once

#include <array>
#include <cstdint>

namespace gradc {

using PhiloxWords = std::array<uint32_t, 4>;

/// Ten rounds on `counter` under the key (low word first); agrees with Random123's known answers.
constexpr PhiloxWords philox4x32_10(PhiloxWords counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t left = uint64_t{0xD2511F53U} * counter[0];
    const uint64_t right = uint64_t{0xCD9E8D57U} * counter[2];
    counter = {
        static_cast<uint32_t>(right >> 32U) ^ counter[1] ^ key[0], static_cast<uint32_t>(right),
        static_cast<uint32_t>(left >> 32U) ^ counter[3] ^ key[1], static_cast<uint32_t>(left)};
    key[0] += 0x9E3779B9U;
    key[1] += 0xBB67AE85U;
  }
  return counter;
}

/// The 32 random bits of one element, as op_attrs.h (RandomAttrs) defines them.
constexpr uint32_t random_bits(uint64_t seed, uint64_t iteration, uint64_t stream,
                               uint64_t element) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32U); };
  const uint64_t block = element / 4;
  const PhiloxWords counter = {low(block), low(iteration), low(stream),
                               high(block) ^ high(iteration) ^ high(stream)};
  return philox4x32_10(counter, {low(seed), high(seed)})[element % 4];
}

/// Uniform in [0, 1): the top 24 bits, every value exact in f32.
constexpr double random_uniform(uint32_t bits) {
  return static_cast<double>(bits >> 8U) * 0x1p-24;
}

}  // namespace gradc
