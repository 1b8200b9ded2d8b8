// Philox against the known-answer vectors published with Random123 (kat_vectors, philox 4x32 10).
#include "runtime/philox.h"

#include "runtime/shuffle.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace gradc::rt {
namespace {

void expect_block(PhiloxBlock counter, uint64_t key, PhiloxBlock want) {
  const PhiloxBlock got = philox4x32(counter, key);
  for (int i = 0; i < 4; ++i)
    EXPECT_EQ(got.word[i], want.word[i]) << i;
}

TEST(Philox, KnownAnswers) {
  expect_block({{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  expect_block({{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}}, 0xffffffffffffffffull,
               {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  expect_block({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822ull,
               {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(Philox, BelowIsUniformAndInRange) {
  RandomStream random(1, 2);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) {
    const uint64_t value = random.below(7);
    ASSERT_LT(value, 7u);
    ++counts[value];
  }
  for (int count : counts)
    EXPECT_NEAR(count, 10000, 450);  // about 4.5 standard deviations
}

TEST(Philox, NormalHasMeanZeroAndVarianceOne) {
  RandomStream random(3, 4);
  double sum = 0;
  double squares = 0;
  constexpr int kCount = 200000;
  for (int i = 0; i < kCount; ++i) {
    const double z = random.normal();
    sum += z;
    squares += z * z;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.011);
  EXPECT_NEAR(squares / kCount, 1, 0.016);
}

TEST(Shuffle, IsAPermutationThatDependsOnSeedAndEpoch) {
  std::vector<int64_t> a(1000), b(1000), c(1000), d(1000);
  epoch_order(5, 0, true, {a.data(), a.size()});
  epoch_order(5, 0, true, {b.data(), b.size()});
  epoch_order(5, 1, true, {c.data(), c.size()});
  epoch_order(6, 0, true, {d.data(), d.size()});
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_NE(a, d);
  EXPECT_EQ(std::set<int64_t>(a.begin(), a.end()).size(), 1000u);
  EXPECT_EQ(*std::max_element(a.begin(), a.end()), 999);
  epoch_order(5, 1, false, {a.data(), a.size()});
  EXPECT_EQ(a[0], 0);
  EXPECT_EQ(a[999], 999);
}

TEST(Shuffle, EveryPlaceIsEquallyLikely) {
  std::vector<int> where(5);
  for (int64_t epoch = 0; epoch < 10000; ++epoch) {
    int64_t order[5];
    epoch_order(1, epoch, true, {order, 5});
    for (size_t i = 0; i < 5; ++i)
      where[i] += order[i] == 0 ? 1 : 0;
  }
  for (int count : where)
    EXPECT_NEAR(count, 2000, 180);
}

}  // namespace
}  // namespace gradc::rt
