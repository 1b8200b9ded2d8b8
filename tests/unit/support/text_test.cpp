// Numbers without a locale, UTF-8 and what of it is printed, names that are nearly right.
#include "support/json.h"
#include "support/numbers.h"
#include "support/suggest.h"
#include "support/utf8.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace gradc {
namespace {

TEST(Numbers, ReadBackToTheBit) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t bits = random();
    double value = 0.0;
    static_assert(sizeof bits == sizeof value);
    std::memcpy(&value, &bits, sizeof value);
    if (!std::isfinite(value)) continue;
    const auto read = parse_double(fmt::format("{}", value));
    ASSERT_TRUE(read) << value;
    EXPECT_EQ(*read, value);
  }
}

TEST(Numbers, ThatDoNotFitSayOnWhichSide) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(parse_double("1e999"), kInfinity);
  EXPECT_EQ(parse_double("-1e999999999999999999999999"), -kInfinity);
  EXPECT_EQ(parse_double(std::string(400, '9')), kInfinity);
  EXPECT_EQ(parse_double("0." + std::string(400, '0') + "1"), 0.0);
  EXPECT_EQ(parse_double("1e-99999999999999999999999999"), 0.0);
  EXPECT_EQ(parse_double("0e99999999999999999999999999"), 0.0);
  EXPECT_EQ(parse_double("1" + std::string(1000, '0') + "e-1000"), 1.0);
  EXPECT_EQ(parse_double("4.9406564584124654e-324"), std::numeric_limits<double>::denorm_min());
  for (const char* text : {"", "-", "+1", " 1", "1 ", "0x1p3", "inf", "nan", "1,5", "1.5.", "e5"})
    EXPECT_FALSE(parse_double(text)) << text;
}

TEST(Utf8, OnlyWhatTheStandardAllows) {
  uint32_t code = 0;
  EXPECT_EQ(decode_utf8("\xE2\x82\xAC", 0, &code), 3U);
  EXPECT_EQ(code, 0x20ACU);
  for (const char* wrong : {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                            "\xF8\x88\x80\x80\x80", "\x80", "\xE2\x82", "\xFF"})
    EXPECT_EQ(decode_utf8(wrong, 0, &code), 0U) << wrong;
  for (const uint32_t each : {0x24U, 0xA2U, 0x20ACU, 0x10348U}) {
    std::string text;
    append_utf8(text, each);
    EXPECT_EQ(decode_utf8(text, 0, &code), text.size());
    EXPECT_EQ(code, each);
  }
}

TEST(Printable, EscapesWhatATerminalActsOn) {
  EXPECT_EQ(printable("größe 日本"), "größe 日本");
  EXPECT_EQ(printable("a\x1b[31mb\r\n\t\x7f"), "a\\x1b[31mb\\r\\n\\t\\x7f");
  EXPECT_EQ(printable("\xC2\x9B\xE2\x80\xAE\xE2\x81\xA6\xEF\xBB\xBF"),
            "\\x9b\\u202e\\u2066\\ufeff");
  EXPECT_EQ(printable(std::string_view("a\0b\xFF", 4)), "a\\x00b\\xff");
  EXPECT_TRUE(is_all_printable("größe"));
  EXPECT_FALSE(is_all_printable("a\nb"));
  EXPECT_FALSE(is_all_printable("\xFF"));
}

TEST(Printable, LinesKeepTheirBreaks) {
  EXPECT_EQ(printable_lines("a\nb\x1b\n\nc\n"), "a\nb\\x1b\n\nc\n");
  EXPECT_EQ(printable_lines(""), "");
}

TEST(Printable, ShortensTheMiddle) {
  const std::string text = "begin" + std::string(1000000, 'x') + "end";
  const std::string shown = printable(text, 100);
  EXPECT_LT(shown.size(), 130U);
  EXPECT_EQ(shown.substr(0, 6), "beginx");
  EXPECT_EQ(shown.substr(shown.size() - 3), "end");
  EXPECT_NE(shown.find("...(999908 bytes)..."), std::string::npos) << shown;
  std::string wide;
  for (int i = 0; i < 1000; ++i)
    wide += "€";
  for (size_t most = 20; most < 40; ++most)
    EXPECT_EQ(printable(wide, most).find("\\x"), std::string::npos) << most;
}

// ---- names -------------------------------------------------------------------------------------

TEST(EditDistance, TheLimitChangesNothingBelowIt) {
  std::mt19937 random(3);
  const auto word = [&] {
    std::string text;
    for (size_t i = random() % 9; i > 0; --i)
      text += static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int i = 0; i < 5000; ++i) {
    const std::string a = word();
    const std::string b = word();
    const size_t exact = edit_distance(a, b);
    for (size_t limit = 0; limit < 10; ++limit)
      ASSERT_EQ(edit_distance(a, b, limit), std::min(exact, limit + 1))
          << a << " " << b << " " << limit;
  }
}

TEST(NameIndex, OfFewNamesIsExact) {
  const std::vector<std::string> names = {"dense", "dropout", "conv2d", "batch_normalization"};
  const NameIndex index(names);
  for (const char* written : {"dence", "Conv2D", "zzz", "BatchNormalisation", ""})
    EXPECT_EQ(index.suggestion(written), suggestion(written, names)) << written;
}

TEST(NameIndex, OfManyNamesFindsTheNearest) {
  std::vector<std::string> names;
  for (int i = 0; i < 20000; ++i)
    names.push_back(fmt::format("encoder_{}_attention_{}", i / 100, i % 100));
  const NameIndex index(names);
  EXPECT_EQ(index.nearest("encoder_17_atention_42"), "encoder_17_attention_42");
  EXPECT_EQ(index.nearest("encodr_199_attention_99"), "encoder_199_attention_99");
  EXPECT_EQ(index.nearest("Encoder-0-Attention-0"), "encoder_0_attention_0");
  EXPECT_EQ(index.nearest("something_else"), std::nullopt);
  EXPECT_EQ(index.suggestion("something_else"), "");
  // Swapped, missing, added and wrong letters anywhere.
  size_t found = 0;
  std::mt19937 random(5);
  for (int i = 0; i < 500; ++i) {
    const std::string& right = names[random() % names.size()];
    std::string wrong = right;
    const size_t at = random() % (wrong.size() - 1);
    const int kind = i % 4;
    if (kind == 0) std::swap(wrong[at], wrong[at + 1]);
    if (kind == 1) wrong.erase(at, 1);
    if (kind == 2) wrong.insert(at, 1, 'q');
    if (kind == 3) wrong[at] = 'q';
    const auto nearest = index.nearest(wrong);
    // Another name may be as near ("encoder_1_..." for "encoder_12_..." less a digit).
    ASSERT_TRUE(nearest) << wrong;
    found += edit_distance(wrong, *nearest) <= edit_distance(wrong, right) ? 1 : 0;
  }
  EXPECT_GE(found, 475U);  // of many names not all are compared
}

}  // namespace
}  // namespace gradc
