// Structural equality and hash: what counts and what does not.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/structural_hash.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

using testing::parsed;

std::string content(const Graph& graph) {
  ByteWriter out;
  put_content(out, graph);
  return out.take();
}

const std::string kText = R"(graph @g {
  input %x : f32[2x3] {name=input/x} // /inputs/0
  param %w : f32[2x3] {name=w, init=zeros}
forward:
  %0 = sub %x, %w : f32[2x3] // /layers/0
  %1 = reduce_sum %0 {axes=[0]} : f32[3]
  return loss=%1
}
)";

std::string edited(const std::string& from, const std::string& to) {
  std::string text = kText;
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(StructuralHash, NamesOfValuesAndLocationsDoNotCount) {
  const auto a = parsed(kText);
  const auto b = parsed(R"(graph @g {
  input %in : f32[2x3] {name=input/x}
  param %w : f32[2x3] {name=w, init=zeros}
  %diff = sub %in, %w
  %s = reduce_sum %diff {axes=[0]}
  return loss=%s
}
)");
  ASSERT_TRUE(a && b);
  EXPECT_TRUE(structurally_equal(*a, *b));
  EXPECT_EQ(structural_hash(*a), structural_hash(*b));
  EXPECT_EQ(content(*a), content(*b));
  EXPECT_FALSE(structurally_equal(*a, *b, {.value_names = true}));
  EXPECT_FALSE(structurally_equal(*a, *b, {.locations = true}));
}

TEST(StructuralHash, EverythingElseCounts) {
  const auto a = parsed(kText);
  ASSERT_NE(a, nullptr);
  const std::vector<std::pair<std::string, std::string>> edits = {
      {"@g", "@h"},
      {"input/x", "input/y"},
      {"input %x", "state %x"},
      {"init=zeros", "init=ones"},
      {"init=zeros", "init=zeros(stream=1)"},
      {"sub %x, %w", "sub %w, %x"},
      {"sub %x", "mul %x"},
      {"axes=[0]} : f32[3]", "axes=[1]} : f32[2]"},
      {"forward:", "backward:"},
      {"loss=", "cost="},
      {"return loss=%1", "return loss=%0"},
      {"return", "  %2 = neg %x : f32[2x3]\n  return"}};
  for (const auto& [from, to] : edits) {
    const auto b = parsed(edited(from, to));
    ASSERT_NE(b, nullptr) << to;
    EXPECT_NE(first_difference(*a, *b), "") << to;
    EXPECT_NE(structural_hash(*a), structural_hash(*b)) << to;
    EXPECT_NE(content(*a), content(*b)) << to;
  }
}

TEST(StructuralHash, BodiesCount) {
  const std::string text = R"(graph @g {
  input %x : f32[2]
  %0 = kernel @k(%x) : f32[2] {
    %a = neg %x : f32[2]
    yield %a
  }
  return %0
}
)";
  std::string other = text;
  other.replace(other.find("neg"), 3, "exp");
  const auto a = parsed(text);
  const auto b = parsed(other);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(first_difference(*a, *b),
            "node 0: node 0: the op, operands, attributes, types or phase");
  EXPECT_NE(structural_hash(*a), structural_hash(*b));
  EXPECT_NE(content(*a), content(*b));
}

TEST(StructuralHash, IdsDoNotCount) {
  const auto a = parsed(kText);
  const auto b = parsed(kText);
  ASSERT_TRUE(a && b);
  Builder builder(*b);  // a node that comes and goes leaves other ids behind
  builder.set_insertion_point(b->first_node());
  const Val extra = neg(builder.wrap(b->inputs()[0].value));
  EXPECT_NE(structural_hash(*a), structural_hash(*b));
  b->erase(b->def(extra.id()));
  EXPECT_EQ(structural_hash(*a), structural_hash(*b));
  EXPECT_EQ(structural_hash(*a), structural_hash(*a->clone()));
}

}  // namespace
}  // namespace gradc
