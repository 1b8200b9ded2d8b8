// Errors of the text form: all of a text at once, each at its place; and no crash on any input.
#include "ir/parser.h"

#include "ir/structural_hash.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

namespace gradc {
namespace {

using testing::errors_of;
using testing::parsed;

TEST(Parser, ReportsAllErrorsOfATextAtTheirPlaces) {
  EXPECT_EQ(errors_of(R"(graph @bad {
  input %x : f32[2x3]
  input %y : f33[2]
forward:
  %0 = matmull %x, %x : f32[2x2]
  %1 = add %x, %yy : f32[2x3]
  %2 = add %x, : f32[2x3]
  %3 = add %x, %y : f32[2x3]
  %4 = reduce_sum %x {axis=[0]} : f32[3]
  %5 = neg %4 : f32[3]
  return %5
}
)"),
            R"(test.gir:3:14: error: expected a type such as f32[32x784], found "f33" [ir-syntax]
   3 |   input %y : f33[2]
     |              ^~~
test.gir:5:8: error: unknown op "matmull" [ir-invalid]
   5 |   %0 = matmull %x, %x : f32[2x2]
     |        ^~~~~~~
  help: did you mean "matmul"?
test.gir:6:16: error: %yy is not defined [ir-invalid]
   6 |   %1 = add %x, %yy : f32[2x3]
     |                ^~~
  help: did you mean %y?
test.gir:7:16: error: expected a value such as %x, found ":" [ir-syntax]
   7 |   %2 = add %x, : f32[2x3]
     |                ^
test.gir:9:23: error: reduce_sum: unknown attribute "axis"; known: axes [ir-invalid]
   9 |   %4 = reduce_sum %x {axis=[0]} : f32[3]
     |                       ^~~~~~~~
)");
}

TEST(Parser, TypesAreCheckedAgainstInference) {
  const std::string errors = errors_of(R"(graph @types {
  input %x : f32[2x3]
forward:
  %0 = transpose %x {perm=[1, 0]} : f32[2x3]
  %1 = matmul %x, %x : f32[2x2]
  return %0, %1
}
)");
  EXPECT_NE(errors.find("test.gir:4:3: error: %0 has type f32[2x3], the operands of transpose give "
                        "f32[3x2] [ir-invalid]"),
            std::string::npos)
      << errors;
  EXPECT_NE(errors.find("test.gir:5:3: error: matmul inner sizes differ: f32[2x3] x f32[2x3]"),
            std::string::npos)
      << errors;
}

TEST(Parser, TypesMayBeLeftOut) {
  const auto graph = parsed(R"(graph @inferred {
  input %x : f32[2x3]
  %0 = transpose %x {perm=[1, 0]}
  %1 = matmul %0, %x  // comment
  return %1
}
)");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(to_string(graph->type(graph->outputs()[0].value)), "f32[3x3]");
  EXPECT_EQ(graph->location(graph->node(graph->last_node()).loc), "comment");
}

TEST(Parser, UseBeforeDefinitionIsAnErrorOfTheGraph) {
  const std::string errors = errors_of(R"(graph @order {
  input %x : f32[2]
  %a = neg %b : f32[2]
  %b = neg %x : f32[2]
  return %a
}
)");
  EXPECT_NE(errors.find("test.gir:3:3: error: %b is used before it is defined"), std::string::npos)
      << errors;
  EXPECT_NE(errors_of("graph @cycle {\n  %a = neg %a : f32[2]\n}\n").find("depends on itself"),
            std::string::npos);
}

TEST(Parser, NumbersAsNamesKeepTheirValues) {
  const auto graph = parsed(R"(graph @numbers {
  input %1 : f32[2]
  %3 = neg %1 : f32[2]
  %2 = exp %3 : f32[2]
  %0 = tanh %2 : f32[2]
  return %0
}
)");
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(print_node(*graph, graph->last_node()), "%0 = tanh %2 : f32[2]");
  EXPECT_EQ(print_node(*graph, graph->first_node()), "%3 = neg %1 : f32[2]");
}

TEST(Parser, SeveralGraphsInOneText) {
  const auto graphs = parse_graphs("graph @a {\n}\n// between\ngraph @b {\n}\n", "two.gir");
  ASSERT_TRUE(graphs.ok());
  ASSERT_EQ(graphs->size(), 2U);
  EXPECT_EQ((*graphs)[1]->name(), "b");
  EXPECT_FALSE(parse_graph("graph @a {\n}\ngraph @b {\n}\n", "two.gir").ok());
}

TEST(Parser, RefusesWhatHasNoMeaning) {
  for (const char* text :
       {"",
        "graph",
        "graph @",
        "graph @a",
        "graph @a {",
        "}",
        "graph @a { return }",
        "graph @a {\n  input %x : f32[0]\n}\n",
        "graph @a {\n  input %x : f32[-1]\n}\n",
        "graph @a {\n  input %x : f32[1x1x1x1x1x1x1x1x1]\n}\n",
        "graph @a {\n  input %x : f32[99999999999999999999]\n}\n",
        "graph @a {\n  input %x : f32[999999999x999999999x999999999]\n}\n",
        "graph @a {\n  input %x : f32[2\n}\n",
        "graph @a {\n  input %x f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2] {color=red}\n}\n",
        "graph @a {\n  param %x : f32[2] {init=zeros(c=1.0)}\n}\n",
        "graph @a {\n  input %x : f32[2]\n  input %x : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y, %z = neg %x : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y, %y = neg %x : f32[2], f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y = neg %x {a=1} : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y = neg : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y = reverse %x {axes=[0], axes=[0]} : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y = neg @k(%x) : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y = kernel @k(%x) : f32[2]\n}\n",
        "graph @a {\n  input %x : f32[2]\n  %y = neg(%x) : f32[2] {\n  yield %x\n  }\n}\n",
        "graph @a {\n  return %x\n}\n",
        "graph @a {\n  return\n  return\n}\n",
        "graph @a {\n  %c = constant {value=dense<1.0>\n}\n",
        "graph @a {\n  /* never closed\n}\n",
        "graph @a {\n  %c = constant {value=1e999} : f32[]\n}\n",
        "graph @a {\n  input %x : f32[2] {name=\"open\n}\n"}) {
    EXPECT_NE(errors_of(text), "") << text;
  }
}

TEST(Parser, ReadsTheExampleOfTheDocumentation) {
  std::ifstream file(std::string(GRADC_SOURCE_DIR) + "/docs/ir.md");
  const std::string page((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const size_t begin = page.find("\ngraph @") + 1;
  const size_t end = page.find("```", begin);
  ASSERT_NE(end, std::string::npos);
  const auto graph = parsed(page.substr(begin, end - begin));
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(graph->name(), "mnist_mlp");
}

TEST(Parser, DeepNestingIsRefused) {
  std::string text = "graph @deep {\n  input %x : f32[2]\n";
  for (int i = 0; i < 5000; ++i)
    text += "  %y = kernel @k(%x) : f32[2] {\n";
  EXPECT_NE(errors_of(text).find("nested more than 16 deep"), std::string::npos);
}

TEST(Parser, GarbageStopsAfterABoundedNumberOfErrors) {
  std::string text = "graph @many {\n";
  for (int i = 0; i < 100000; ++i)
    text += "  ) ) )\n";
  const auto result = parse_graph(text, "many.gir");
  ASSERT_FALSE(result.ok());
  EXPECT_LE(result.diagnostics().size(), 110U);
}

// Random edits of valid texts: the parser and the inference rules behind it must survive them all,
// and what still parses must print and read back.
TEST(Parser, SurvivesRandomEdits) {
  const std::vector<std::string> seeds = {
      R"(graph @seed {
  input %x : f32[2x4x4x3] {name=input/x} // /inputs/0
  input %ids : i32[5]
  param %w : f32[3x3x3x4] {name="conv/kernel", init=variance_scaling(a=2.0, mode=fan_in, stream=1)}
  param %e : f32[7x6]
forward:
  %0 = conv %x, %w {strides=[1, 1], pad_low=[1, 1], pad_high=[1, 1], dilation=[1, 1]} : f32[2x4x4x4]
  %1 = max_pool %0 {window=[2, 2], strides=[2, 2], pad_low=[0, 0], pad_high=[0, 0]} : f32[2x2x2x4]
  %2 = reshape %1 : f32[2x16]
  %3 = slice %2 {start=[0, 0], limit=[2, 8], stride=[1, 2]} : f32[2x4]
  %4 = pad %3 {low=[0, 1], high=[0, 1], value=-1.5} : f32[2x6]
  %5 = gather %e, %ids : f32[5x6]
  %6 = matmul %4, %5 {transpose_b=true} : f32[2x5]
  %7 = concat %6, %6 {axis=1} : f32[2x10]
  %8 = reduce_max %7 {axes=[1]} : f32[2]
  %9 = argmax %7 {axis=1} : i32[2]
  return loss=%8, metric/best=%9
}
)",
      R"(graph @seed2 {
  input %x : f32[2x3]
  param %w : f32[3x4]
  state %i : i64[] {name=optimizer/iteration, init=zeros}
forward:
  %h, %g = kernel @dense(%a=%x, %w) {kind=contraction} : f32[2x4], bool[2x4] { // /layers/0
    %0 = matmul %a, %w : f32[2x4]
    %z = constant {value=dense<1.0, -inf, 3.5e-08, nan>} : f32[4]
    %b = broadcast %z {dims=[1]} : f32[2x4]
    %c = greater %0, %b : bool[2x4]
    yield %0, %c
  }
  %s = select %g, %h, %h : f32[2x4]
  %t = transpose %s {perm=[1, 0]} : f32[4x2]
  %u = cast %t : i32[4x2]
update:
  %one = constant {value=1} : i64[]
  %n = add %i, %one : i64[]
  update %i <- %n
  return %u
}
)"};
  const std::string alphabet = "%@{}[]()<>=,:./\"\\-x0123456789abefinu \n\t\x80";
  std::mt19937 random(7);
  int survived = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string text = seeds[static_cast<size_t>(round) % seeds.size()];
    for (uint32_t edits = random() % 4 + 1; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = alphabet[random() % alphabet.size()];
          break;
        case 1:
          text.erase(at, random() % 6 + 1);
          break;
        case 2:
          text.insert(at, 1, alphabet[random() % alphabet.size()]);
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 12));
          break;
      }
    }
    const auto result = parse_graph(text, "fuzz.gir");
    if (!result.ok()) {
      ASSERT_FALSE(result.diagnostics().empty()) << text;
      continue;
    }
    ++survived;
    const auto again = parse_graph(print_graph(**result), "again.gir");
    ASSERT_TRUE(again.ok()) << text << "\n" << print_graph(**result) << again.message();
    ASSERT_EQ(first_difference(**result, **again), "") << text;
  }
  EXPECT_GT(survived, 100);  // the edits are small enough to reach past the parser
}

}  // namespace
}  // namespace gradc
