// The order of groups under merging: against a plain search on random graphs, and its cost.
#include "passes/group_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <set>

namespace gradc {
namespace {

/// Groups as sets of edges, merged as GroupOrder is told.
class Groups : public GroupEdges {
 public:
  explicit Groups(size_t count) : to_(count), from_(count) {}
  void add(uint32_t a, uint32_t b) {
    to_[a].insert(b);
    from_[b].insert(a);
  }
  void merge(uint32_t first, uint32_t second) {
    for (uint32_t next : to_[second])
      from_[next].erase(second);
    for (uint32_t previous : from_[second])
      to_[previous].erase(second);
    for (uint32_t next : to_[second])
      if (next != first) add(first, next);
    for (uint32_t previous : from_[second])
      if (previous != first) add(previous, first);
    to_[second].clear();
    from_[second].clear();
  }
  bool consumers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const override {
    return give(to_[group], limit, result);
  }
  bool producers(uint32_t group, size_t limit, std::vector<uint32_t>& result) const override {
    return give(from_[group], limit, result);
  }
  const std::set<uint32_t>& to(uint32_t group) const { return to_[group]; }

  /// Whether another group lies on a way.
  bool way_between(uint32_t first, uint32_t second) const {
    std::set<uint32_t> seen;
    std::function<bool(uint32_t)> reaches = [&](uint32_t at) {
      if (at == second) return true;
      if (!seen.insert(at).second) return false;
      return std::any_of(to_[at].begin(), to_[at].end(), reaches);
    };
    return std::any_of(to_[first].begin(), to_[first].end(),
                       [&](uint32_t next) { return next != second && reaches(next); });
  }

 private:
  static bool give(const std::set<uint32_t>& all, size_t limit, std::vector<uint32_t>& result) {
    if (result.size() + all.size() > limit) return false;
    result.insert(result.end(), all.begin(), all.end());
    return true;
  }
  std::vector<std::set<uint32_t>> to_, from_;
};

void expect_topological(const Groups& groups, const GroupOrder& order) {
  for (uint32_t group : order.groups()) {
    for (uint32_t next : groups.to(group))
      ASSERT_TRUE(order.before(group, next)) << group << " -> " << next;
  }
}

TEST(GroupOrder, AgreesWithAPlainSearchWhileGroupsMerge) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    std::mt19937 random(seed);
    const uint32_t count = 20 + seed;
    Groups groups(count);
    for (uint32_t i = 0; i < 2 * count; ++i) {
      const auto a = static_cast<uint32_t>(random() % count);
      const auto b = static_cast<uint32_t>(random() % count);
      if (a != b) groups.add(std::min(a, b), std::max(a, b));
    }
    GroupOrder order(count, groups);
    for (uint32_t i = 0; i < 10 * count; ++i) {
      const std::vector<uint32_t> left = order.groups();
      if (left.size() < 2) break;
      uint32_t a = left[random() % left.size()];
      uint32_t b = left[random() % left.size()];
      if (a == b) continue;
      if (order.before(b, a)) std::swap(a, b);
      const bool may = order.may_merge(a, b);
      ASSERT_EQ(may, !groups.way_between(a, b)) << "seed " << seed;
      if (!may) continue;
      groups.merge(a, b);
      order.merge(a, b);
      ASSERT_EQ(order.groups().size(), left.size() - 1);
      expect_topological(groups, order);
    }
  }
}

/// Thousands of groups put between the same two: labels there are spread out.
TEST(GroupOrder, FindsRoomBetweenTwoGroups) {
  constexpr uint32_t kCount = 5000;
  constexpr uint32_t kBelow = kCount;
  constexpr uint32_t kAbove = kCount + 2;
  Groups groups(kCount + 3);
  uint32_t between = kCount + 1;
  groups.add(kBelow, between);
  groups.add(between, kAbove);
  GroupOrder order(kCount + 3, groups);
  for (uint32_t i = 0; i < kCount; ++i) {
    ASSERT_TRUE(order.may_merge(i, between));
    order.merge(i, between);
    groups.merge(i, between);
    between = i;
    ASSERT_TRUE(order.before(kBelow, between) && order.before(between, kAbove));
  }
  EXPECT_EQ(order.groups(), (std::vector<uint32_t>{kBelow, between, kAbove}));
}

/// A training step in small: a forward chain, a backward chain that reads it in reverse, and for
/// each link a group that hangs on it. What is seen per merge does not grow with the chain.
TEST(GroupOrder, LooksAsFarAsNeeded) {
  std::vector<double> per_merge;
  for (const uint32_t links : {100U, 1000U, 10000U}) {
    Groups groups(3 * links);
    for (uint32_t i = 0; i + 1 < links; ++i) {
      groups.add(i, i + 1);
      groups.add(links + i, links + i + 1);
    }
    for (uint32_t i = 0; i < links; ++i) {
      groups.add(i, 2 * links - 1 - i);
      groups.add(links + i, 2 * links + i);
    }
    GroupOrder order(3 * links, groups);
    size_t merged = 0;
    for (uint32_t i = 0; i < links; ++i) {
      // The way from the forward link to its gradient leads through the next links.
      if (i + 1 < links) {
        EXPECT_FALSE(order.may_merge(i, 2 * links - 1 - i));
      }
      ASSERT_TRUE(order.may_merge(links + i, 2 * links + i));
      order.merge(links + i, 2 * links + i);
      groups.merge(links + i, 2 * links + i);
      ++merged;
    }
    expect_topological(groups, order);
    EXPECT_EQ(order.searches_given_up(), 0U);
    per_merge.push_back(static_cast<double>(order.edges_seen()) / static_cast<double>(merged));
  }
  EXPECT_LT(per_merge[2], 30);
  EXPECT_LT(per_merge[2], 1.1 * per_merge[0]);
}

/// What cannot be seen is no merge, and it is counted.
TEST(GroupOrder, GivesUpWhereNeitherEndIsNear) {
  constexpr uint32_t kLong = 2000;
  Groups groups(2 * kLong + 2);
  // Two long ladders side by side, one below the first group and one above the second.
  const uint32_t second = 2 * kLong + 1;
  for (uint32_t i = 0; i < kLong; ++i)
    groups.add(i == 0 ? 0 : 2 * i, 2 * i + 2);
  for (uint32_t i = 0; i + 1 < kLong; ++i)
    groups.add(2 * i + 1, 2 * i + 3);
  groups.add(2 * kLong - 1, second);
  GroupOrder order(2 * kLong + 2, groups);
  EXPECT_FALSE(order.may_merge(0, second));
  EXPECT_EQ(order.searches_given_up(), 1U);
  EXPECT_LE(order.edges_seen(), 4 * GroupOrder::kMaxEdges);
}

}  // namespace
}  // namespace gradc
