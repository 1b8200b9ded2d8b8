// Numbers as element types hold them, against values taken apart by hand.
#include "ir/element.h"

#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/structural_hash.h"
#include "tests/unit/ir/text.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace gradc {
namespace {

using testing::errors_of;
using testing::parsed;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// All finite numbers of a short float that are not negative, ascending, and the one that would
/// follow if exponents did not end.
std::vector<double> numbers(int exponent_bits, int fraction_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int fractions = 1 << fraction_bits;
  std::vector<double> all;
  for (int exponent = 0; exponent < (1 << exponent_bits) - 1; ++exponent) {
    for (int fraction = 0; fraction < fractions; ++fraction) {
      const int whole = exponent == 0 ? fraction : fractions + fraction;
      all.push_back(std::ldexp(whole, std::max(exponent, 1) - bias - fraction_bits));
    }
  }
  all.push_back(std::ldexp(1.0, bias + 1));
  return all;
}

void expect_rounding(DType dtype, const std::vector<double>& all) {
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    const double low = all[i];
    const bool last = i + 2 == all.size();
    const double high = last ? kInf : all[i + 1];
    const double middle = (low + all[i + 1]) / 2;
    const double even = i % 2 == 0 ? low : high;
    for (const double sign : {1.0, -1.0}) {
      ASSERT_EQ(as_element(sign * low, dtype), sign * low);
      ASSERT_EQ(as_element(sign * middle, dtype), sign * even) << middle;
      ASSERT_EQ(as_element(sign * std::nextafter(middle, 0.0), dtype), sign * low) << middle;
      ASSERT_EQ(as_element(sign * std::nextafter(middle, kInf), dtype), sign * high) << middle;
    }
    const double read = std::stod(element_text(low, dtype));
    ASSERT_EQ(as_element(read, dtype), low);
  }
}

TEST(Elements, ShortFloatsAreTheNearestTiesToEven) {
  expect_rounding(DType::kF16, numbers(5, 10));
  expect_rounding(DType::kBF16, numbers(8, 7));
  EXPECT_EQ(element_text(0.10009765625, DType::kBF16), "0.1");
  EXPECT_EQ(element_text(65504.0, DType::kF16), "65500");
  EXPECT_EQ(as_element(65519.999, DType::kF16), 65504.0);
  EXPECT_EQ(as_element(65520.0, DType::kF16), kInf);
  EXPECT_EQ(as_element(-0x1p-25, DType::kF16), 0.0);
  EXPECT_TRUE(std::signbit(as_element(-0x1p-25, DType::kF16)));
  EXPECT_EQ(as_element(0x1.8p-24, DType::kF16), 0x1p-23);
  // In two roundings, by way of f32, this would be 1.
  EXPECT_EQ(as_element(1.0 + 0x1p-8 + 0x1p-40, DType::kBF16), 1.0 + 0x1p-7);
}

TEST(Elements, OfTheOtherTypes) {
  for (const double x : {0.1, 1.0 + 0x1p-24, 1.0 + 0x1.8p-23, 0x1.FFFFFEFFp127, -0x1.8p-149, 1e300})
    EXPECT_EQ(as_element(x, DType::kF32), static_cast<double>(static_cast<float>(x)));
  EXPECT_EQ(as_element(0x1.FFFFFFp127, DType::kF32), kInf);
  EXPECT_EQ(as_element(0.1, DType::kF64), 0.1);
  EXPECT_TRUE(std::isnan(as_element(kNan, DType::kBF16)));
  EXPECT_EQ(as_element(kNan, DType::kI32), 0.0);
  EXPECT_EQ(as_element(-1.9, DType::kI32), -1.0);
  EXPECT_EQ(as_element(1e10, DType::kI32), 2147483647.0);
  EXPECT_EQ(as_element(-kInf, DType::kI64), -0x1p63);
  EXPECT_EQ(as_element(300.5, DType::kU8), 255.0);
  EXPECT_EQ(as_element(-3.0, DType::kU8), 0.0);
  EXPECT_EQ(as_element(kNan, DType::kBool), 1.0);
  EXPECT_FALSE(is_element(0x1p53 + 2, DType::kI64));
  EXPECT_TRUE(is_element(-0x1p53, DType::kI64));
  EXPECT_FALSE(is_element(0.5, DType::kI32));
  EXPECT_FALSE(is_element(256.0, DType::kU8));
}

std::vector<double> elements_of(const std::string& constant) {
  const auto graph = parsed("graph @g {\n  %0 = constant " + constant + "\n  return %0\n}\n");
  if (graph == nullptr) return {};
  return *graph->node(graph->first_node()).attrs.as<ConstantAttrs>().value;
}

TEST(Elements, ConstantsOfShortFloatsAreRoundedHoweverTheyAreMade) {
  EXPECT_EQ(elements_of("{value=0.1} : bf16[]"), std::vector<double>{0.10009765625});
  EXPECT_EQ(elements_of("{value=70000} : f16[]"), std::vector<double>{kInf});
  EXPECT_EQ(elements_of("{value=dense<0.1, 257, 1e-60>} : bf16[3]"),
            (std::vector<double>{0.10009765625, 256.0, 0.0}));
  Graph graph("g");
  Builder builder(graph);
  const Val x = builder.splat(1.0 / 3.0, {DType::kF16, {4}});
  EXPECT_EQ(graph.node(graph.def(x.id())).attrs.as<ConstantAttrs>().value->front(), 0x1.554p-2);
  graph.add_output("x", x.id());
  const std::string text = print_graph(graph);
  EXPECT_NE(text.find("constant {value=0.3333} : f16[4]"), std::string::npos) << text;
  EXPECT_TRUE(structurally_equal(graph, *parsed(text)));
}

std::string error_of_constant(const std::string& constant) {
  return errors_of("graph @g {\n  %0 = constant " + constant + "\n  return %0\n}\n");
}

TEST(Elements, ConstantsThatTheirTypeCannotHoldAreDiagnosed) {
  const auto says = [](const std::string& constant, const std::string& problem) {
    const std::string errors = error_of_constant(constant);
    EXPECT_NE(errors.find(problem), std::string::npos) << errors;
  };
  says("{value=256} : u8[]", "constant of type u8[] cannot hold 256");
  says("{value=dense<1, 2.5>} : i32[2]", "constant of type i32[2] cannot hold 2.5");
  says("{value=nan} : i64[]", "constant of type i64[] cannot hold nan");
  says("{value=2} : bool[]", "constant of type bool[] cannot hold 2");
  says("{value=9007199254740993} : i64[]",
       "a constant cannot hold 9007199254740993: integers go up");
  says("{value=dense<1, 9007199254740993>} : i64[2]", "9007199254740993");
  EXPECT_EQ(error_of_constant("{value=-9007199254740992} : i64[]"), "");
  const std::string pad = errors_of(
      "graph @g {\n  input %x : u8[2]\n  %0 = pad %x {low=[1], high=[0], value=-1.0} : u8[3]\n"
      "  return %0\n}\n");
  EXPECT_NE(pad.find("pad of u8[2] cannot hold -1"), std::string::npos) << pad;
}

}  // namespace
}  // namespace gradc
