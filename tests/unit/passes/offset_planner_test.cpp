// The offset planner: small cases with known answers, random instances against the independent
// check and against exhaustive search, CSV round trip and bad CSV, huge numbers.
#include "passes/offset_planner.h"

#include "passes/offset_planner_csv.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace gradc {
namespace {

BufferSpec buffer(std::string name, int64_t bytes, int64_t first, int64_t last,
                  int64_t alignment = 1) {
  return {std::move(name), bytes, first, last, alignment, std::nullopt};
}

std::vector<BufferSpec> random_buffers(uint32_t seed, int n, int64_t max_bytes) {
  std::mt19937 random(seed);
  std::vector<BufferSpec> result;
  for (int i = 0; i < n; ++i) {
    const auto first = static_cast<int64_t>(random() % 20);
    const auto length = static_cast<int64_t>(random() % 8);
    const int64_t bytes = 1 + static_cast<int64_t>(random()) % max_bytes;
    result.push_back(buffer(std::to_string(i), bytes, first, first + length));
  }
  return result;
}

/// The smallest block over all placement orders: first fit reaches the optimum for some order.
int64_t best_of_all_orders(std::span<const BufferSpec> buffers) {
  std::vector<uint32_t> order(buffers.size());
  std::iota(order.begin(), order.end(), 0U);
  int64_t best = INT64_MAX;
  std::vector<int64_t> offsets;
  do {
    best = std::min(
        best, offset_detail::place_in_order(buffers, order, offset_detail::Fit::kFirst, offsets));
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

TEST(OffsetPlanner, NothingNeedsNothing) {
  const auto plan = plan_offsets({});
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->bytes, 0);
}

TEST(OffsetPlanner, BuffersThatDoNotMeetShareMemory) {
  const std::vector<BufferSpec> buffers = {buffer("a", 100, 0, 1), buffer("b", 100, 2, 3)};
  const auto plan = plan_offsets(buffers);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->bytes, 100);
  EXPECT_EQ(plan->naive_bytes, 200);
}

TEST(OffsetPlanner, LastIsIncluded) {
  const std::vector<BufferSpec> buffers = {buffer("a", 100, 0, 2), buffer("b", 100, 2, 3)};
  EXPECT_EQ(plan_offsets(buffers)->bytes, 200);
}

TEST(OffsetPlanner, OffsetsAreAligned) {
  const std::vector<BufferSpec> buffers = {buffer("a", 10, 0, 2, 64), buffer("b", 10, 0, 2, 64)};
  const auto plan = plan_offsets(buffers);
  EXPECT_EQ(plan->bytes, 74);
  EXPECT_EQ(verify_offsets(buffers, plan->offsets, plan->bytes), "");
}

TEST(OffsetPlanner, FixedBuffersStay) {
  std::vector<BufferSpec> buffers = {buffer("a", 100, 0, 9), buffer("b", 50, 0, 9)};
  buffers[0].fixed = 60;
  const auto plan = plan_offsets(buffers);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->offsets[0], 60);
  EXPECT_EQ(plan->offsets[1], 0);
  buffers[1].fixed = 30;
  EXPECT_FALSE(plan_offsets(buffers).ok());
}

TEST(OffsetPlanner, AlongTimeEverythingHasItsOwnPlace) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::vector<BufferSpec> buffers = random_buffers(seed, 80, 1000);
    for (size_t i = 0; i < buffers.size(); ++i)
      buffers[i].alignment = i % 2 == 0 ? 64 : 16;
    for (const bool backwards : {false, true}) {
      std::vector<int64_t> offsets;
      const int64_t bytes = offset_detail::place_along_time(buffers, backwards, offsets);
      EXPECT_EQ(verify_offsets(buffers, offsets, bytes), "") << "seed " << seed;
      EXPECT_GE(bytes, live_bytes_lower_bound(buffers));
    }
    std::vector<int64_t> offsets;
    const int64_t bytes = offset_detail::place_around_peak(buffers, offsets);
    EXPECT_EQ(verify_offsets(buffers, offsets, bytes), "") << "seed " << seed;
  }
}

/// A training step's activations: made one after the other, read again in reverse.
std::vector<BufferSpec> activations(int64_t count) {
  std::vector<BufferSpec> buffers;
  for (int64_t i = 0; i < count; ++i) {
    buffers.push_back(buffer("a", 64 * (1 + i % 7), i, 2 * count - i));
    buffers.push_back(buffer("g", 64 * (1 + i % 5), 2 * count - i, 2 * count - i + 1));
  }
  for (BufferSpec& b : buffers)
    b.alignment = 64;
  return buffers;
}

TEST(OffsetPlanner, LargePlansArePlacedAlongTime) {
  OffsetPlannerOptions options;
  const auto small = plan_offsets(activations(100), options);
  ASSERT_TRUE(small.ok());
  EXPECT_GT(small->compared, 0);
  const std::vector<BufferSpec> buffers = activations(40'000);
  const auto large = plan_offsets(buffers, options);
  ASSERT_TRUE(large.ok());
  EXPECT_EQ(large->compared, 0);
  EXPECT_EQ(large->method, "around_peak");
  EXPECT_EQ(large->bytes, large->lower_bound);
}

TEST(OffsetPlanner, WhatStaysAndWhatGoesDoNotMixAroundThePeak) {
  // Between what a chain keeps stand values of other sizes that go at once: along time they leave
  // holes.
  std::vector<BufferSpec> buffers;
  constexpr int64_t kBlocks = 3000;
  for (int64_t i = 0; i < kBlocks; ++i) {
    buffers.push_back(buffer("temporary", 64 * (1 + i % 3), 2 * i, 2 * i + 1));
    buffers.push_back(buffer("kept", 64 * (2 + i % 5), 2 * i + 1, 4 * kBlocks - 2 * i));
    buffers.push_back(
        buffer("gradient", 64 * (1 + i % 2), 4 * kBlocks - 2 * i, 4 * kBlocks - 2 * i + 2));
  }
  for (BufferSpec& b : buffers)
    b.alignment = 64;
  const auto plan = plan_offsets(buffers);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->bytes, plan->lower_bound);
  EXPECT_EQ(plan->compared, 0);
}

TEST(OffsetPlanner, ManyBuffersAreTriedAlongTimeFirst) {
  const auto plan = plan_offsets(activations(2000));
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->bytes, plan->lower_bound);
  EXPECT_EQ(plan->compared, 0);
  // Where that is over the bound, the orders are tried as of few buffers.
  OffsetPlannerOptions options;
  options.search_steps = options.exact_nodes = 0;
  std::vector<BufferSpec> buffers;
  for (int64_t i = 0; i < 1500; ++i) {
    const int64_t first = i * 7919 % 1500;
    buffers.push_back(buffer("b", 1 + i * 7 % 997, first, first + i * 104'729 % 60));
  }
  const auto random = plan_offsets(buffers, options);
  ASSERT_TRUE(random.ok());
  std::vector<int64_t> offsets;
  EXPECT_GT(offset_detail::place_around_peak(buffers, offsets), random->lower_bound);
  EXPECT_GT(random->compared, 0);
}

TEST(OffsetPlanner, ThePortfolioEndsWhenEnoughWasCompared) {
  const std::vector<BufferSpec> buffers = random_buffers(5, 200, 1000);
  OffsetPlannerOptions options;
  options.search_steps = options.exact_nodes = 0;
  options.comparisons = 50'000;  // two orders
  const auto plan = plan_offsets(buffers, options);
  ASSERT_TRUE(plan.ok());
  EXPECT_GT(plan->bytes, plan->lower_bound);
  EXPECT_EQ(plan->compared, 40'000);
}

TEST(OffsetPlanner, ExactSearchProvesWhatHeuristicsMiss) {
  int improved = 0;
  for (uint32_t seed = 0; seed < 60; ++seed) {
    const std::vector<BufferSpec> buffers = random_buffers(seed, 7, 9);
    const int64_t best = best_of_all_orders(buffers);
    OffsetPlannerOptions options;
    options.search_steps = 0;
    const auto plan = plan_offsets(buffers, options);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(plan->bytes, best) << "seed " << seed;
    EXPECT_TRUE(plan->proven_optimal) << "seed " << seed;
    improved += plan->method == "exact" ? 1 : 0;
    if (best > plan->lower_bound) {
      int64_t nodes = 1'000'000;
      std::vector<int64_t> offsets;
      EXPECT_EQ(offset_detail::search_exact(buffers, best - 1, nodes, offsets),
                offset_detail::ExactOutcome::kInfeasible);
    }
  }
  EXPECT_GT(improved, 0);
}

TEST(OffsetPlanner, ExactSearchWithAlignmentIsNeverBelowTheBest) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::vector<BufferSpec> buffers = random_buffers(seed, 6, 40);
    for (size_t i = 0; i < buffers.size(); ++i)
      buffers[i].alignment = i % 2 == 0 ? 16 : 4;
    const int64_t best = best_of_all_orders(buffers);
    const auto plan = plan_offsets(buffers);
    EXPECT_EQ(plan->bytes, best) << "seed " << seed;
  }
}

TEST(OffsetPlanner, RandomInstancesVerifyAndRepeat) {
  for (uint32_t seed = 0; seed < 30; ++seed) {
    const std::vector<BufferSpec> buffers = random_buffers(seed, 60, 1000);
    OffsetPlannerOptions options;
    options.search_steps = 100;
    options.exact_nodes = 500;
    const auto plan = plan_offsets(buffers, options);
    ASSERT_TRUE(plan.ok());
    EXPECT_EQ(verify_offsets(buffers, plan->offsets, plan->bytes), "");
    EXPECT_GE(plan->bytes, plan->lower_bound);
    EXPECT_LE(plan->bytes, plan->naive_bytes);
    EXPECT_EQ(plan_offsets(buffers, options)->offsets, plan->offsets);
  }
}

TEST(OffsetPlanner, TheCheckSeesOverlapsAndBlocksThatAreTooSmall) {
  const std::vector<BufferSpec> buffers = {buffer("a", 100, 0, 2), buffer("b", 100, 2, 3)};
  const std::vector<int64_t> overlapping = {0, 99};
  const std::vector<int64_t> apart = {0, 100};
  EXPECT_NE(verify_offsets(buffers, overlapping, 200), "");
  EXPECT_EQ(verify_offsets(buffers, apart, 200), "");
  EXPECT_NE(verify_offsets(buffers, apart, 199), "");
}

TEST(OffsetPlanner, HugeAndWrongNumbersAreDiagnosed) {
  const std::vector<BufferSpec> huge = {buffer("a", INT64_MAX, 0, 2), buffer("b", INT64_MAX, 2, 3)};
  EXPECT_FALSE(plan_offsets(huge).ok());
  const std::vector<BufferSpec> negative = {buffer("a", -1, 0, 2)};
  EXPECT_FALSE(plan_offsets(negative).ok());
  const std::vector<BufferSpec> reversed = {buffer("a", 1, 2, 0)};
  EXPECT_FALSE(plan_offsets(reversed).ok());
  const std::vector<BufferSpec> whole_time = {buffer("a", 1, INT64_MIN, INT64_MAX),
                                              buffer("b", 3, 0, INT64_MAX)};
  EXPECT_EQ(plan_offsets(whole_time)->bytes, 4);
}

TEST(OffsetPlannerCsv, ReadsMiniMallocsExample) {
  const auto buffers = parse_buffers_csv(
      "id,lower,upper,size\nb1,0,3,4\nb2,3,9,4\nb3,0,9,4\nb4,9,21,4\nb5,0,21,4\n", "input.csv");
  ASSERT_TRUE(buffers.ok());
  const auto plan = plan_offsets(*buffers);
  EXPECT_EQ(plan->bytes, 12);
  const std::string out = print_buffers_csv(*buffers, plan->offsets);
  const auto again = parse_buffers_csv(out, "out.csv");
  ASSERT_TRUE(again.ok());
  for (size_t i = 0; i < again->size(); ++i)
    EXPECT_EQ((*again)[i].fixed, plan->offsets[i]);
  EXPECT_EQ(plan_offsets(*again)->bytes, 12);
}

TEST(OffsetPlannerCsv, ColumnsMayStandInAnyOrder) {
  const auto buffers = parse_buffers_csv("size, id ,upper,lower\r\n8,x,5,1\r\n", "a.csv");
  ASSERT_TRUE(buffers.ok());
  EXPECT_EQ((*buffers)[0].bytes, 8);
  EXPECT_EQ((*buffers)[0].first, 1);
  EXPECT_EQ((*buffers)[0].last, 4);
}

TEST(OffsetPlannerCsv, EveryBadLineIsReported) {
  const auto result = parse_buffers_csv(
      "id,lower,upper,size\na,0,3\nb,3,2,4\nc,x,9,4\nd,1,2,99999999999999999999\ne,0,1,-4\n"
      "f,0,1,1\nf,0,1,1\n",
      "bad.csv");
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.diagnostics().size(), 6U);
}

TEST(OffsetPlannerCsv, BadHeadersAreDiagnosed) {
  EXPECT_FALSE(parse_buffers_csv("", "a.csv").ok());
  EXPECT_FALSE(parse_buffers_csv("\n\n", "a.csv").ok());
  EXPECT_FALSE(parse_buffers_csv("id,lower,upper\n1,2,3\n", "a.csv").ok());
  EXPECT_FALSE(parse_buffers_csv("id,id,lower,upper,size\n1,2,3,4,5\n", "a.csv").ok());
  const std::string binary("\0\1\2,\xff\n\x80", 7);
  EXPECT_FALSE(parse_buffers_csv(binary, "a.csv").ok());
}

}  // namespace
}  // namespace gradc
