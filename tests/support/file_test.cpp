#include "tests/support/file_test.h"

#include "support/diagnostic_render.h"
#include "support/source_file.h"
#include "tests/support/file_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace gradc::testing {

namespace {

constexpr std::string_view kErrorMark = "// error: ";
constexpr std::string_view kOutputMark = "// output:";

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// The file without expectations (and for JSON without any // line), every line kept.
std::string command_text(std::string_view contents, bool is_json) {
  std::string text;
  for (std::string_view line : split_lines(contents)) {
    const bool is_comment = trimmed(line).starts_with("//");
    if (!is_json || !is_comment)
      text += line.substr(0, std::min(line.find(kErrorMark), line.size()));
    text += '\n';
  }
  return text;
}

struct ExpectedError {
  size_t line = 0;
  std::string text;
};

std::vector<ExpectedError> expected_errors(const FileTest& test) {
  std::vector<ExpectedError> expected;
  size_t number = 0;
  for (std::string_view line : split_lines(test.all)) {
    ++number;
    for (size_t at = line.find(kErrorMark); at != std::string_view::npos;) {
      const size_t begin = at + kErrorMark.size();
      at = line.find(kErrorMark, begin);
      const size_t end = std::min(at, line.size());
      expected.push_back({number, std::string(trimmed(line.substr(begin, end - begin)))});
    }
  }
  return expected;
}

/// The line that a rendered diagnostic points to: "path:3:14: error: ..."; 1 when it has no place.
size_t line_of(const std::string& rendered, const std::string& path) {
  size_t line = 1;
  if (rendered.starts_with(path + ":")) {
    const char* begin = rendered.data() + path.size() + 1;
    std::from_chars(begin, rendered.data() + rendered.size(), line);
  }
  return line;
}

std::string compare_errors(const FileTest& test, const std::vector<Diagnostic>& diagnostics,
                           const SourceSet& sources) {
  std::vector<ExpectedError> expected = expected_errors(test);
  std::string report;
  for (const Diagnostic& diagnostic : diagnostics) {
    const std::string rendered = render_diagnostics({&diagnostic, 1}, sources);
    const size_t line = line_of(rendered, test.path);
    const auto match = std::find_if(expected.begin(), expected.end(), [&](const auto& e) {
      return e.line == line && rendered.find(e.text) != std::string::npos;
    });
    if (match == expected.end()) {
      report += "not expected:\n" + rendered;
    } else {
      expected.erase(match);
    }
  }
  for (const ExpectedError& missing : expected)
    report += fmt::format("missing on line {}: {}\n", missing.line, missing.text);
  return report;
}

/// The comment lines below "// output:"; nothing when the file has no such line.
std::optional<std::string> exact_output(std::string_view contents) {
  std::optional<std::string> output;
  for (std::string_view line : split_lines(contents)) {
    if (output) {
      if (line.starts_with("//")) line.remove_prefix(std::min<size_t>(line.size(), 2));
      if (line.starts_with(" ")) line.remove_prefix(1);
      *output += std::string(line) + "\n";
    } else if (line.starts_with(kOutputMark)) {
      output.emplace();
    }
  }
  return output;
}

std::string with_output(const std::string& contents, const std::string& output) {
  const size_t mark =
      contents.starts_with(kOutputMark) ? 0 : contents.find("\n" + std::string(kOutputMark)) + 1;
  std::string result = contents.substr(0, mark) + std::string(kOutputMark) + "\n";
  for (std::string_view line : split_lines(output))
    result += line.empty() ? "//\n" : fmt::format("// {}\n", line);
  return result;
}

const FileCommand* find_command(std::string_view name) {
  for (const FileCommand& command : file_commands()) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

}  // namespace

std::vector<std::string> FileTest::directives(std::string_view key) const {
  std::vector<std::string> values;
  const std::string mark = fmt::format("// {}: ", key);
  for (std::string_view line : split_lines(all)) {
    if (line.starts_with(mark)) values.emplace_back(trimmed(line.substr(mark.size())));
  }
  return values;
}

Result<FileTest> read_file_test(const std::string& path, std::string contents) {
  FileTest test;
  test.path = path;
  std::string_view line = std::string_view(contents).substr(0, contents.find('\n'));
  constexpr std::string_view kMark = "// test: ";
  if (!line.starts_with(kMark))
    return make_error(DiagKind::kInvalidUsage, {}, "{} does not begin with \"{}COMMAND\"", path,
                      kMark);
  line = trimmed(line.substr(kMark.size()));
  const size_t open = line.find('(');
  test.command = std::string(line.substr(0, open));
  if (open != std::string_view::npos && line.ends_with(')'))
    test.argument = std::string(line.substr(open + 1, line.size() - open - 2));
  test.text = command_text(contents, path.ends_with(".json"));
  test.all = std::move(contents);
  return test;
}

std::string run_file_test(const FileTest& test, std::string* new_contents) {
  const FileCommand* command = find_command(test.command);
  if (command == nullptr) return fmt::format("unknown command \"{}\"\n", test.command);
  const Result<std::string> result = command->run(test);
  SourceSet sources;
  sources.add(SourceFile(test.path, test.text));
  if (const std::optional<std::string> expected = exact_output(test.all)) {
    const std::string actual =
        result.ok() ? result.value() : render_diagnostics(result.diagnostics(), sources);
    if (actual == *expected) return {};
    *new_contents = with_output(test.all, actual);
    return fmt::format("the output is not the one in the file; GRADC_UPDATE=1 takes it over:\n{}",
                       actual);
  }
  if (!expected_errors(test).empty())
    return compare_errors(test, result.ok() ? std::vector<Diagnostic>() : result.diagnostics(),
                          sources);
  if (!result.ok()) return render_diagnostics(result.diagnostics(), sources);
  if (test.all.find("// CHECK") != std::string::npos)
    return file_check(test.all, test.path, result.value());
  if (!command->checks_itself) return "the file checks nothing: no CHECK, error or output lines\n";
  return {};
}

}  // namespace gradc::testing
