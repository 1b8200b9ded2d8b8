#include "tools/gradc/command.h"

#include "driver/output.h"
#include "support/diagnostic_render.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace gradc::tool {

namespace {

/// Adds the file of a place to the set so that its line can be shown; unreadable files are simply
/// not shown.
void add_source(SourceSet& sources, const Place& place) {
  if (place.file.empty() || sources.find(place.file) != nullptr) return;
  auto file = read_source_file(place.file);
  if (file.ok()) sources.add(file.take());
}

}  // namespace

int report(const std::vector<Diagnostic>& diagnostics) {
  SourceSet sources;
  size_t errors = 0;
  size_t usage_errors = 0;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == Severity::kError) {
      ++errors;
      if (diagnostic.kind == DiagKind::kInvalidUsage) ++usage_errors;
    }
    add_source(sources, diagnostic.place);
    for (const Note& note : diagnostic.notes)
      add_source(sources, note.place);
  }
  RenderOptions options;
  options.color = wants_color(stderr);
  const std::string text = render_diagnostics(diagnostics, sources, options);
  std::fwrite(text.data(), 1, text.size(), stderr);
  if (errors == 0) return kSuccess;
  return errors == usage_errors ? kUsageError : kUserError;
}

CLI::Validator whole_number(int64_t least) {
  return CLI::Validator(
      [least](std::string& text) -> std::string {
        uint64_t value = 0;
        const char* end = text.data() + text.size();
        const auto read = std::from_chars(text.data(), end, value);
        if (read.ec == std::errc() && read.ptr == end && value >= static_cast<uint64_t>(least))
          return {};
        return fmt::format("\"{}\" is no whole number of at least {}", text, least);
      },
      "");
}

CLI::Validator positive_number() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        if (end != text.c_str() && *end == '\0' && std::isfinite(value) && value > 0) return {};
        return fmt::format("\"{}\" is no number above 0", text);
      },
      "");
}

CLI::Validator output_name() {
  return CLI::Validator(
      [](std::string& text) { return text.empty() ? std::string("a file name is empty") : ""; },
      "");
}

void add_batch_size(CLI::App& command, int64_t& batch_size) {
  command.add_option("--batch-size", batch_size, "rows of a batch (default: the model's)")
      ->check(whole_number(1));
}

void add_threads(CLI::App& command, int& threads) {
  command.add_option("--threads", threads, "threads; 0: one per core (default 1)")
      ->check(whole_number(0));
}

Status write_text(const std::string& path, std::string_view text) {
  return write_output(path.empty() ? "-" : path, text);
}

bool has_extension(std::string_view path, std::string_view extension) {
  return path.size() > extension.size() + 1 &&
         path.substr(path.size() - extension.size()) == extension &&
         path[path.size() - extension.size() - 1] == '.';
}

}  // namespace gradc::tool
