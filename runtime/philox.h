// Philox 4x32-10: counter-based random numbers (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011). A value is a pure function of (key, counter), so it
// depends on no order and no thread.
#pragma once

#include <cmath>
#include <cstdint>

namespace gradc::rt {

struct PhiloxBlock {
  uint32_t word[4];
};

/// Ten rounds of Philox 4x32 on `counter` under the 64-bit key (low word first).
inline PhiloxBlock philox4x32(PhiloxBlock counter, uint64_t key) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53u;
  constexpr uint64_t kMultiplier1 = 0xCD9E8D57u;
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  PhiloxBlock x = counter;
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * x.word[0];
    const uint64_t product1 = kMultiplier1 * x.word[2];
    x = {{static_cast<uint32_t>(product1 >> 32) ^ x.word[1] ^ key0, static_cast<uint32_t>(product1),
          static_cast<uint32_t>(product0 >> 32) ^ x.word[3] ^ key1,
          static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return x;
}

/// What a stream of random numbers is for; enters the key, so that uses never share numbers.
enum class RandomUse : uint32_t {
  kOp = 0,  // random ops inside compiled code use the plain seed as key
  kInitialize = 0x494E4954,
  kShuffle = 0x53485546,
  kAugment = 0x4155474D,
  kCutout = 0x4355544F,
  kMix = 0x4D495850,
  kGenerate = 0x47454E45,
  kHide = 0x48494445,
  kSplit = 0x53504C54,
};

/// The key of `seed` for `use`.
inline uint64_t random_key(uint64_t seed, RandomUse use) {
  return seed ^ (static_cast<uint64_t>(use) << 32);
}

/// The numbers of one stream in order: counter = (block, low and high of stream, lane).
class RandomStream {
 public:
  RandomStream(uint64_t key, uint64_t stream, uint32_t lane = 0)
      : key_(key), stream_(stream), lane_(lane) {}

  uint32_t next_u32() {
    if (used_ == 4) {
      block_ = philox4x32({{next_block_++, lane_, static_cast<uint32_t>(stream_),
                            static_cast<uint32_t>(stream_ >> 32)}},
                          key_);
      used_ = 0;
    }
    return block_.word[used_++];
  }
  uint64_t next_u64() {
    const uint64_t low = next_u32();
    return low | (static_cast<uint64_t>(next_u32()) << 32);
  }
  /// Uniform in [0, 1), 53 random bits.
  double uniform() { return static_cast<double>(next_u64() >> 11) * 0x1.0p-53; }
  /// Standard normal, Box-Muller, two numbers per pair of uniforms.
  double normal() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    constexpr double kTwoPi = 6.283185307179586476925;
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // 1 - u lies in (0, 1]
    const double angle = kTwoPi * uniform();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }
  /// Uniform integer in [0, bound), bound > 0; unbiased by rejection.
  uint64_t below(uint64_t bound) {
    const uint64_t reject_under = (0 - bound) % bound;  // 2^64 mod bound
    uint64_t value = next_u64();
    while (value < reject_under)
      value = next_u64();
    return value % bound;
  }

 private:
  uint64_t key_;
  uint64_t stream_;
  uint32_t lane_;
  uint32_t next_block_ = 0;
  PhiloxBlock block_{};
  int used_ = 4;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace gradc::rt
