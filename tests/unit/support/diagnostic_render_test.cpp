// The exact text of diagnostics: gutter, caret, window, tabs, UTF-8, notes, help, colour.
#include "support/diagnostic_render.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

std::string render(const std::string& text, const Diagnostic& diagnostic,
                   RenderOptions options = {}) {
  SourceSet sources;
  sources.add(SourceFile("model.json", text));
  return render_diagnostics({&diagnostic, 1}, sources, options);
}

TEST(DiagnosticRender, DesignExample) {
  const std::string text =
      "{\n  \"layers\": [\n    { \"type\": \"flatten\" },\n    { \"type\": \"dence\", \"units\": "
      "128 }\n  ]\n}\n";
  Diagnostic diagnostic =
      make_error(DiagKind::kUnsupported, {.file = "model.json", .pointer = "/layers/1/type"},
                 "unknown layer type \"dence\"");
  diagnostic.with_note("layers are listed by `gradc layers`").with_help("did you mean \"dense\"?");
  EXPECT_EQ(render(text, diagnostic),
            "model.json:4:15: error: unknown layer type \"dence\" [unsupported]\n"
            "   4 |     { \"type\": \"dence\", \"units\": 128 }\n"
            "     |               ^~~~~~~\n"
            "  at /layers/1/type\n"
            "  note: layers are listed by `gradc layers`\n"
            "  help: did you mean \"dense\"?\n");
}

TEST(DiagnosticRender, KeyAndMissingMember) {
  const std::string text = R"({"layers": [{"unitz": 3}]})";
  EXPECT_EQ(
      render(text, make_error(DiagKind::kUnsupported,
                              {.file = "model.json", .pointer = "/layers/0/unitz", .at_key = true},
                              "key")),
      "model.json:1:14: error: key [unsupported]\n"
      "   1 | {\"layers\": [{\"unitz\": 3}]}\n"
      "     |              ^~~~~~~\n"
      "  at /layers/0/unitz\n");
  // A member that is not there: the object that should have it is shown.
  EXPECT_EQ(
      render(text, make_error(DiagKind::kUnsupported,
                              {.file = "model.json", .pointer = "/layers/0/units"}, "missing")),
      "model.json:1:13: error: missing [unsupported]\n"
      "   1 | {\"layers\": [{\"unitz\": 3}]}\n"
      "     |             ^~~~~~~~~~~~\n"
      "  at /layers/0/units\n");
}

TEST(DiagnosticRender, LongLinesAreCutAroundTheCaret) {
  const std::string text =
      "[\"" + std::string(300, 'x') + "\", 12345, \"" + std::string(300, 'y') + "\"]";
  const std::string shown = render(
      text, make_error(DiagKind::kUnsupported, {.file = "model.json", .pointer = "/1"}, "no"),
      {.max_columns = 40});
  EXPECT_EQ(shown,
            "model.json:1:306: error: no [unsupported]\n"
            "   1 | ...xxxxxxxxxxxxxx\", 12345, \"yyyyyyyyyyyyyyy...\n"
            "     |                     ^~~~~\n"
            "  at /1\n");
}

TEST(DiagnosticRender, TabsUtf8AndControlBytes) {
  const std::string text = "{\t\"größe\": \"日本\x7f\", \"b\": 1}";
  EXPECT_EQ(render(text, make_error(DiagKind::kUnsupported, {.file = "model.json", .pointer = "/b"},
                                    "no")),
            "model.json:1:24: error: no [unsupported]\n"
            "   1 | {    \"größe\": \"日本?\", \"b\": 1}\n"
            "     |                             ^\n"
            "  at /b\n");
}

TEST(DiagnosticRender, WithoutTextOnlyFileAndPointer) {
  SourceSet none;
  const Diagnostic diagnostic =
      make_error(DiagKind::kFileNotFound, {.file = "gone.json"}, "no such file");
  EXPECT_EQ(render_diagnostics({&diagnostic, 1}, none),
            "gone.json: error: no such file [file-not-found]\n");
  const Diagnostic command = make_error(DiagKind::kInvalidUsage, {}, "no data");
  EXPECT_EQ(render_diagnostics({&command, 1}, none), "gradc: error: no data [invalid-usage]\n");
}

TEST(DiagnosticRender, PlacePastTheEndIsHarmless) {
  const Diagnostic diagnostic = make_error(
      DiagKind::kJsonSyntax, {.file = "model.json", .byte_begin = 900, .byte_end = 1000}, "end");
  EXPECT_EQ(render("{", diagnostic),
            "model.json:1:2: error: end [json-syntax]\n   1 | {\n     |  ^\n");
}

TEST(DiagnosticRender, ManyAreCounted) {
  const std::vector<Diagnostic> many(105, make_error(DiagKind::kInvalidUsage, {}, "x"));
  const std::string text = render_diagnostics(many, SourceSet());
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 101);
  EXPECT_NE(text.find("5 more problems"), std::string::npos);
}

TEST(DiagnosticRender, Color) {
  const std::string text =
      render("{}", make_error(DiagKind::kInvalidUsage, {}, "x"), {.color = true});
  EXPECT_NE(text.find("\x1b[1;31merror: \x1b[0m"), std::string::npos);
}

}  // namespace
}  // namespace gradc
