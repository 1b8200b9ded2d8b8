// parse_json: what it accepts, and where it puts each complaint.
#include "support/json.h"

#include "support/diagnostic_render.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

std::string errors_of(const std::string& text) {
  SourceSet sources;
  const SourceFile& file = sources.add(SourceFile("m.json", text));
  const Result<OwnJson> result = parse_json(file);
  return result.ok() ? std::string("ok") : render_diagnostics(result.diagnostics(), sources);
}

TEST(Json, KeepsMemberOrder) {
  const SourceFile file("m.json", R"({"b": 1, "a": [1.5, true, null, "x"]})");
  const Result<OwnJson> result = parse_json(file);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ((*result.value()).dump(), R"({"b":1,"a":[1.5,true,null,"x"]})");
}

TEST(Json, IsTakenApartInPlace) {
  const SourceFile file("m.json",
                        R"({"a": [1, [2, {"b": "c"}], "text"], "d": {}, "e": {"f": []}})");
  Result<OwnJson> result = parse_json(file);
  ASSERT_TRUE(result.ok());
  take_apart(**result);
  EXPECT_EQ((**result).dump(), "{}");
}

TEST(Json, TrailingCommaIsExplained) {
  EXPECT_EQ(
      errors_of("{\n  \"a\": [1, 2,],\n  \"b\": 2\n}\n"),
      "m.json:2:14: error: invalid JSON while parsing value: unexpected ']'; expected a value "
      "[json-syntax]\n"
      "   2 |   \"a\": [1, 2,],\n"
      "     |              ^\n"
      "  help: remove the comma before the closing bracket\n");
}

TEST(Json, EndOfFileHasAPlace) {
  const std::string text = errors_of("{\"a\": [1, 2");
  EXPECT_NE(text.find("m.json:1:12: error: invalid JSON"), std::string::npos) << text;
  EXPECT_NE(text.find("help: the file ends too early"), std::string::npos) << text;
}

TEST(Json, EmptyTextIsAnError) {
  EXPECT_NE(errors_of(""), "ok");
}

TEST(Json, DuplicateKeysAreAllReported) {
  EXPECT_EQ(errors_of(R"({"a": 1, "b": [{"x": 1, "x": 2, "x": 3}]})"),
            "m.json:1:25: error: member \"x\" is given more than once [json-duplicate-key]\n"
            "   1 | {\"a\": 1, \"b\": [{\"x\": 1, \"x\": 2, \"x\": 3}]}\n"
            "     |                         ^~~\n"
            "  at /b/0/x\n"
            "  note: first given here (m.json:1:17 at /b/0/x)\n"
            "m.json:1:33: error: member \"x\" is given more than once [json-duplicate-key]\n"
            "   1 | {\"a\": 1, \"b\": [{\"x\": 1, \"x\": 2, \"x\": 3}]}\n"
            "     |                                 ^~~\n"
            "  at /b/0/x\n"
            "  note: first given here (m.json:1:17 at /b/0/x)\n");
}

TEST(Json, NumbersOutOfRange) {
  EXPECT_NE(errors_of(R"({"a": [1, 99999999999999999999]})")
                .find("m.json:1:11: error: integer 99999999999999999999"),
            std::string::npos);
  EXPECT_NE(errors_of(R"({"a": 9223372036854775808})").find("number-out-of-range"),
            std::string::npos);
  EXPECT_EQ(errors_of(R"({"a": 9223372036854775807, "b": -9223372036854775808})"), "ok");
  EXPECT_NE(errors_of(R"({"a": 1e999})").find("m.json:1:7: error: number 1e999 is too large"),
            std::string::npos);
}

TEST(Json, DeepNestingIsRefusedWithoutRecursion) {
  const std::string deep = std::string(1000000, '[');
  const std::string text = errors_of(deep);
  EXPECT_NE(text.find("m.json:1:201: error: nested more than 200 levels deep [json-depth]"),
            std::string::npos)
      << text;
  EXPECT_EQ(errors_of(std::string(200, '[') + std::string(200, ']')), "ok");
}

TEST(Json, WritingMistakesGetAdvice) {
  EXPECT_NE(errors_of("{'a': 1}").find("help: JSON strings stand in double quotes"),
            std::string::npos);
  EXPECT_NE(errors_of("{\"a\": NaN}").find("help: JSON has no NaN or Infinity"), std::string::npos);
  EXPECT_NE(errors_of("// x\n{}").find("help: JSON has no comments"), std::string::npos);
  EXPECT_NE(errors_of("{\"a\": True}").find("help: JSON writes true and false"), std::string::npos);
  EXPECT_NE(errors_of("{\"a\": \"\xff\"}").find("json-syntax"), std::string::npos);
}

TEST(Json, StringsAreDecodedAndChecked) {
  const auto text_of = [](const std::string& text) {
    const SourceFile file("m.json", text);
    const Result<OwnJson> result = parse_json(file);
    return result.ok() ? (*result.value()).get<std::string>() : "error: " + result.message();
  };
  EXPECT_EQ(text_of(R"("a\\\"\/\b\f\n\r\t\u00e4\u20ac\ud834\udd1e")"),
            "a\\\"/\b\f\n\r\t\xC3\xA4\xE2\x82\xAC\xF0\x9D\x84\x9E");
  for (const char* wrong : {R"("\ud834")", R"("\ud834x")", R"("\ud834\u0041")", R"("\udd1e")",
                            R"("\u12g4")", R"("\u12)", R"("\x41")", "\"\x01\"", "\"a\nb\"",
                            "\"\xC0\x80\"", "\"\xED\xA0\x80\"", "\"abc", "\"abc\\"})
    EXPECT_EQ(text_of(wrong).substr(0, 20), "error: invalid JSON ") << wrong;
}

TEST(Json, NumbersHaveTheirForm) {
  const auto ok = [](const std::string& text) { return errors_of(text) == "ok"; };
  for (const char* right : {"0", "-0", "0.5", "-1.25e+3", "1E5", "10", "1e-400"})
    EXPECT_TRUE(ok(right)) << right << errors_of(right);
  for (const char* wrong :
       {"01", "-", ".5", "5.", "1e", "1e+", "+1", "0x10", "1,5", "1 2", "--1", "1.e5"})
    EXPECT_FALSE(ok(wrong)) << wrong;
}

TEST(Json, FilesThatAreNoUtf8TextAreNamed) {
  const auto names = [](const std::string& text, const char* what) {
    EXPECT_NE(errors_of(text).find(what), std::string::npos) << errors_of(text);
  };
  names(std::string("\xFF\xFE{\0}\0", 6), "the file is UTF-16");
  names(std::string("\xFE\xFF\0{\0}", 6), "the file is UTF-16");
  names(std::string("{\0\"\0", 4), "the file is UTF-16");
  names(std::string("\0{\0\"", 4), "the file is UTF-16");
  names("\x1F\x8B\x08", "compressed (gzip)");
  names("PK\x03\x04", "a zip archive");
  names(std::string("\x7F"
                    "ELF\x02\x01\x01\0\0",
                    9),
        "binary data");
  names("", "the file is empty");
  names("\xEF\xBB\xBF", "the file ends too early");
  EXPECT_EQ(errors_of("\xEF\xBB\xBF{}\r\n"), "ok");
}

TEST(Json, LongKeysAreRefused) {
  const std::string text = errors_of("{\"" + std::string(2000000, 'k') + "\": 1}");
  EXPECT_NE(text.find("the member's name is 2000000 bytes long"), std::string::npos);
  EXPECT_LT(text.size(), 1000U);
}

}  // namespace
}  // namespace gradc
