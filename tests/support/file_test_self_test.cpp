// The runner itself: files that must fail do fail, with a message that says why.
#include "tests/support/file_test.h"

#include <gtest/gtest.h>

namespace gradc::testing {
namespace {

constexpr const char* kGraph =
    "// test: parse\n"
    "graph @g {\n"
    "  input %x : f32[2]\n"
    "  %0 = neg %x : f32[2]\n"
    "  return %0\n"
    "}\n";

std::string problem(const std::string& contents, std::string* rewritten = nullptr,
                    const std::string& path = "a/b.gir") {
  const Result<FileTest> test = read_file_test(path, contents);
  if (!test.ok()) return test.message();
  std::string new_contents;
  std::string result = run_file_test(*test, &new_contents);
  if (rewritten != nullptr) *rewritten = new_contents;
  return result;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(FileTest, WhatHoldsPasses) {
  EXPECT_EQ(problem(kGraph), "");
  EXPECT_EQ(problem(std::string(kGraph) + "// CHECK: neg %x\n"), "");
}

TEST(FileTest, UnknownCommandsFail) {
  EXPECT_TRUE(has(problem("graph @g {\n}\n"), "does not begin with"));
  EXPECT_TRUE(has(problem("// test: pars\n"), "unknown command \"pars\""));
}

TEST(FileTest, AFileThatChecksNothingFails) {
  EXPECT_TRUE(has(problem("// test: passes(dce)\ngraph @g {\n}\n"), "checks nothing"));
}

TEST(FileTest, CheckLinesThatDoNotMatchFail) {
  EXPECT_TRUE(has(problem(std::string(kGraph) + "// CHECK: exp %x\n"),
                  "expected string not found in input"));
}

TEST(FileTest, ErrorsMustBeNamedOnTheirLines) {
  const std::string bad =
      "// test: parse\n"
      "graph @g {\n"
      "  %0 = neg %x : f32[2]\n"
      "}\n";
  EXPECT_TRUE(has(problem(bad), "a/b.gir:3:12: error: %x is not defined"));
  std::string named = bad;
  named.insert(named.find("\n}"), " // error: %x is not defined");
  EXPECT_EQ(problem(named), "");
  std::string elsewhere = bad;
  elsewhere.insert(elsewhere.find(" {\n") + 2, " // error: %x is not defined");
  EXPECT_TRUE(has(problem(elsewhere), "missing on line 2: %x is not defined"));
  EXPECT_TRUE(has(problem(elsewhere), "not expected:"));
  EXPECT_TRUE(
      has(problem(std::string(kGraph) + "// error: something\n"), "missing on line 7: something"));
}

TEST(FileTest, ExactOutputIsComparedAndRewritten) {
  std::string rewritten;
  EXPECT_TRUE(
      has(problem(std::string(kGraph) + "// output:\n// old\n", &rewritten), "GRADC_UPDATE=1"));
  EXPECT_EQ(rewritten, std::string(kGraph) +
                           "// output:\n"
                           "// graph @g {\n"
                           "//   input %x : f32[2]\n"
                           "// forward:\n"
                           "//   %0 = neg %x : f32[2]\n"
                           "//   return %0\n"
                           "// }\n");
  EXPECT_EQ(problem(rewritten), "");
}

}  // namespace
}  // namespace gradc::testing
