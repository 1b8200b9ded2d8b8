// Numbers as text: exact, shortest, and never by the process's locale.
#include "runtime/number.h"

#include "runtime/json.h"
#include "tests/support/locales.h"

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace gradc::rt {
namespace {

std::string text_of(double value) {
  return number_text(value).c_str();
}

TEST(Number, ReadsWholeTextsOnly) {
  double value = -1;
  EXPECT_TRUE(parse_double("0.1", &value));
  EXPECT_EQ(value, 0.1);
  EXPECT_TRUE(parse_double("+1.5e3", &value));
  EXPECT_EQ(value, 1500.0);
  EXPECT_TRUE(parse_double("-.5", &value));
  EXPECT_EQ(value, -0.5);
  EXPECT_TRUE(parse_double("1e999", &value));
  EXPECT_TRUE(std::isinf(value));
  EXPECT_TRUE(parse_double("1e-999", &value));
  EXPECT_EQ(value, 0.0);
  EXPECT_TRUE(parse_double("NaN", &value));
  EXPECT_TRUE(std::isnan(value));
  value = 7;
  for (const char* text :
       {"", "+", "-", "+-1", "1,5", "1 ", " 1", "0x10", "1e", "1.5.2", "e5", "1_000", "1'000"}) {
    EXPECT_FALSE(parse_double(text, &value)) << text;
  }
  EXPECT_EQ(value, 7.0);
}

TEST(Number, IntegersHaveTheirRange) {
  int64_t value = 0;
  EXPECT_TRUE(parse_integer("-9223372036854775808", &value));
  EXPECT_EQ(value, std::numeric_limits<int64_t>::min());
  EXPECT_TRUE(parse_integer("9223372036854775807", &value));
  EXPECT_FALSE(parse_integer("9223372036854775808", &value));
  EXPECT_FALSE(parse_integer("-9223372036854775809", &value));
  EXPECT_FALSE(parse_integer("1.0", &value));
  EXPECT_FALSE(parse_integer("--1", &value));
  EXPECT_FALSE(parse_integer("", &value));
  uint64_t large = 0;
  EXPECT_TRUE(parse_unsigned("18446744073709551615", &large));
  EXPECT_EQ(large, std::numeric_limits<uint64_t>::max());
  EXPECT_FALSE(parse_unsigned("18446744073709551616", &large));
  EXPECT_FALSE(parse_unsigned("-1", &large));
}

TEST(Number, WritesTheShortestText) {
  EXPECT_EQ(text_of(0.1), "0.1");
  EXPECT_EQ(text_of(-0.0), "-0");
  EXPECT_EQ(text_of(1e20), "1e+20");
  EXPECT_EQ(text_of(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(text_of(5e-324), "5e-324");
  EXPECT_EQ(text_of(std::numeric_limits<double>::infinity()), "inf");
  EXPECT_STREQ(number_text(0.1f).c_str(), "0.1");
  EXPECT_STREQ(number_text(16777216.0f).c_str(), "16777216");
  EXPECT_STREQ(number_text(1e-45f).c_str(), "1e-45");
}

TEST(Number, EveryValueSurvives) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    double value = 0;
    memcpy(&value, &bits, sizeof value);
    if (std::isnan(value)) continue;
    double again = 0;
    ASSERT_TRUE(parse_double(number_text(value).c_str(), &again)) << value;
    ASSERT_EQ(memcmp(&again, &value, sizeof value), 0) << value;
    const float narrow = static_cast<float>(value);
    ASSERT_TRUE(parse_double(number_text(narrow).c_str(), &again)) << narrow;
    ASSERT_EQ(static_cast<float>(again), narrow);
  }
}

TEST(Number, TheProcessLocaleChangesNothing) {
  const test::LocaleFolder locales;
  if (!locales.reason().empty()) GTEST_SKIP() << locales.reason();
  for (const char* name : {"de_DE.UTF-8", "de_CH.UTF-8", "en_IN.UTF-8", "ps_AF.UTF-8"}) {
    const test::ScopedLocale locale(name);
    ASSERT_TRUE(locale.ok()) << name;
    double value = 0;
    EXPECT_TRUE(parse_double("1234567.25", &value)) << name;
    EXPECT_EQ(value, 1234567.25) << name;
    EXPECT_FALSE(parse_double("1,5", &value)) << name;
    EXPECT_EQ(text_of(1234567.25), "1234567.25") << name;
    EXPECT_STREQ(format("%g %d %.2f %a", 0.5, 1234567, 1.25, 1.5).c_str(),
                 "0.5 1234567 1.25 0x1.8p+0")
        << name;
    Str json;
    append_json_number(json, 0.30000000000000004);
    EXPECT_STREQ(json.c_str(), "0.30000000000000004") << name;
    char own[32];
    snprintf(own, sizeof own, "%.1f", 0.5);  // the host's locale is as it was
    EXPECT_EQ(own[1] != '.',
              std::string_view(name) != "de_CH.UTF-8" && std::string_view(name) != "en_IN.UTF-8")
        << name << own;
  }
}

}  // namespace
}  // namespace gradc::rt
