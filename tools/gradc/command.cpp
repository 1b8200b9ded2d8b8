#include "tools/gradc/command.h"

#include "support/diagnostic_render.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <unistd.h>

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
  bool failed = false;
  for (const Diagnostic& diagnostic : diagnostics) {
    failed = failed || diagnostic.severity == Severity::kError;
    add_source(sources, diagnostic.place);
    for (const Note& note : diagnostic.notes)
      add_source(sources, note.place);
  }
  RenderOptions options;
  options.color = wants_color(stderr);
  const std::string text = render_diagnostics(diagnostics, sources, options);
  std::fwrite(text.data(), 1, text.size(), stderr);
  return failed ? kUserError : kSuccess;
}

Status write_text(const std::string& path, std::string_view text) {
  if (path.empty()) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return Ok{};
  }
  const std::string temporary = fmt::format("{}.{}.tmp", path, getpid());
  std::FILE* file = std::fopen(temporary.c_str(), "wb");
  bool written = file != nullptr;
  if (written) {
    written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
    written = std::fclose(file) == 0 && written;
  }
  if (!written || std::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    std::remove(temporary.c_str());
    return make_error(DiagKind::kFileUnwritable, {}, "cannot write \"{}\": {}", path,
                      std::strerror(error));
  }
  return Ok{};
}

bool has_extension(std::string_view path, std::string_view extension) {
  return path.size() > extension.size() + 1 &&
         path.substr(path.size() - extension.size()) == extension &&
         path[path.size() - extension.size() - 1] == '.';
}

}  // namespace gradc::tool
