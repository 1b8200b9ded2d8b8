// What a graph asks of the integers that it is given.
#include "passes/index_ranges.h"

#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

constexpr int64_t kLow = std::numeric_limits<int64_t>::min();
constexpr int64_t kHigh = std::numeric_limits<int64_t>::max();
using Ranges = std::vector<IndexRange>;

/// The ranges of input/x in a graph whose nodes are given, with tables of 5 rows and of 3.
Ranges ranges_of(const std::string& type, const std::string& nodes, const std::string& result) {
  const auto graph =
      testing::parsed("graph @g {\n  input %x : " + type +
                      " {name=input/x}\n  param %t : f32[5x2]\n  param %u : f32[3]\n" + nodes +
                      "  return " + result + "\n}\n");
  if (graph == nullptr) return {};
  const IndexRanges all = index_ranges(*graph);
  EXPECT_LE(all.size(), 1U);
  return all.contains("input/x") ? all.at("input/x") : Ranges{};
}

TEST(IndexRanges, OfTheOpsThatTakeIndices) {
  EXPECT_EQ(ranges_of("i32[4]", "  %g = gather %t, %x : f32[4x2]\n", "%g"), (Ranges{{0, 4}}));
  EXPECT_EQ(ranges_of("i64[4]", "  %g = one_hot %x {depth=7} : f32[4x7]\n", "%g"),
            (Ranges{{0, 6}}));
  EXPECT_EQ(ranges_of("i32[5]", "  %g = scatter_add %x, %t {rows=9} : f32[9x2]\n", "%g"),
            (Ranges{{0, 8}}));
  EXPECT_EQ(ranges_of("i32[5]", "  %g = sparse_softmax_cross_entropy %t, %x : f32[5]\n", "%g"),
            (Ranges{{0, 1}}));
  EXPECT_EQ(ranges_of("i32[4]", "  %g = neg %x : i32[4]\n", "%g"), Ranges{});
  // Two uses: the narrower of both.
  EXPECT_EQ(ranges_of("i32[4]", "  %g = gather %t, %x : f32[4x2]\n  %h = gather %u, %x : f32[4]\n",
                      "%g, %h"),
            (Ranges{{0, 2}}));
}

TEST(IndexRanges, BehindViewsAndCasts) {
  EXPECT_EQ(ranges_of("i32[2x6]",
                      "  %r = reshape %x {shape=[2, 3, 2]} : i32[2x3x2]\n"
                      "  %p = transpose %r {perm=[0, 2, 1]} : i32[2x2x3]\n"
                      "  %v = reverse %p {axes=[1]} : i32[2x2x3]\n"
                      "  %c = cast %v : i64[2x2x3]\n"
                      "  %g = gather %t, %c : f32[2x2x3x2]\n",
                      "%g"),
            (Ranges{{0, 4}}));
  EXPECT_EQ(ranges_of("f32[4]", "  %c = cast %x : i32[4]\n  %g = gather %t, %c : f32[4x2]\n", "%g"),
            (Ranges{{0, 4}}));
  EXPECT_EQ(ranges_of("i32[4]",
                      "  %b = broadcast %x {shape=[4, 3], dims=[0]} : i32[4x3]\n"
                      "  %g = gather %t, %b : f32[4x3x2]\n",
                      "%g"),
            (Ranges{{0, 4}}));
  EXPECT_EQ(ranges_of("i32[4x1]",
                      "  %q = pad %x {low=[0, 1], high=[0, 1], value=0.0} : i32[4x3]\n"
                      "  %g = gather %t, %q : f32[4x3x2]\n",
                      "%g"),
            (Ranges{{0, 4}}));
}

// A table of categories: each column has an embedding of its own, one has none.
TEST(IndexRanges, ColumnsHaveTheirOwn) {
  EXPECT_EQ(ranges_of("i32[4x3]",
                      "  %a = slice %x {start=[0, 0], limit=[4, 1]} : i32[4x1]\n"
                      "  %b = slice %x {start=[0, 2], limit=[4, 3]} : i32[4x1]\n"
                      "  %g = gather %t, %a : f32[4x1x2]\n"
                      "  %h = gather %u, %b : f32[4x1]\n",
                      "%g, %h"),
            (Ranges{{0, 4}, {kLow, kHigh}, {0, 2}}));
  EXPECT_EQ(ranges_of("i32[4x2]",
                      "  %p = transpose %x {perm=[1, 0]} : i32[2x4]\n"
                      "  %a = slice %p {start=[1, 0], limit=[2, 4]} : i32[1x4]\n"
                      "  %g = gather %t, %a : f32[1x4x2]\n",
                      "%g"),
            (Ranges{{kLow, kHigh}, {0, 4}}));
  EXPECT_EQ(ranges_of("i32[4x2]",
                      "  %n = neg %x : i32[4x2]\n"
                      "  %c = concat %x, %n {axis=1} : i32[4x4]\n"
                      "  %a = slice %c {start=[0, 1], limit=[4, 3]} : i32[4x2]\n"
                      "  %g = gather %t, %a : f32[4x2x2]\n",
                      "%g"),
            (Ranges{{-4, 0}, {0, 4}}));
}

TEST(IndexRanges, BehindArithmeticWithConstants) {
  const auto behind = [](const std::string& node) {
    return ranges_of(
        "i32[4]",
        "  %c = constant {value=2} : i32[4]\n  %d = constant {value=9} : i32[4]\n  %y = " + node +
            " : i32[4]\n  %g = gather %t, %y : f32[4x2]\n",
        "%g");
  };
  EXPECT_EQ(behind("add %x, %c"), (Ranges{{-2, 2}}));
  EXPECT_EQ(behind("add %c, %x"), (Ranges{{-2, 2}}));
  EXPECT_EQ(behind("sub %x, %c"), (Ranges{{2, 6}}));
  EXPECT_EQ(behind("sub %c, %x"), (Ranges{{-2, 2}}));
  EXPECT_EQ(behind("mul %x, %c"), (Ranges{{0, 2}}));
  EXPECT_EQ(behind("max %x, %c"), (Ranges{{kLow, 4}}));
  EXPECT_EQ(behind("min %x, %c"), (Ranges{{0, kHigh}}));
  EXPECT_EQ(behind("min %x, %d"), (Ranges{{0, 4}}));
  EXPECT_EQ(behind("add %x, %x"), Ranges{});  // not decided here
}

TEST(IndexRanges, AClampNeedsNothing) {
  EXPECT_EQ(ranges_of("i32[4]",
                      "  %a = constant {value=0} : i32[4]\n  %b = constant {value=4} : i32[4]\n"
                      "  %l = max %x, %a : i32[4]\n  %y = min %l, %b : i32[4]\n"
                      "  %g = gather %t, %y : f32[4x2]\n",
                      "%g"),
            Ranges{});
}

}  // namespace
}  // namespace gradc
