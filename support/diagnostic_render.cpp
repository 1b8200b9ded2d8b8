// Rendering works on display cells: tabs become four spaces, control bytes and broken UTF-8 become
// "?", East Asian wide characters take two cells, so that the caret stands under what it means.
#include "support/diagnostic_render.h"

#include "support/json_locator.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <tuple>
#include <unistd.h>

namespace gradc {
namespace {

constexpr std::string_view kBold = "\x1b[1m";
constexpr std::string_view kRed = "\x1b[1;31m";
constexpr std::string_view kMagenta = "\x1b[1;35m";
constexpr std::string_view kGreen = "\x1b[1;32m";
constexpr std::string_view kCyan = "\x1b[1;36m";
constexpr std::string_view kReset = "\x1b[0m";

struct Cell {
  std::string text;  ///< what is printed
  size_t width = 1;  ///< terminal columns
  size_t byte = 0;   ///< where it comes from in the line
};

/// Length in bytes of the valid UTF-8 sequence at `i`, 0 when there is none; sets its code point.
size_t decode_utf8(std::string_view text, size_t i, uint32_t* code) {
  const auto lead = static_cast<unsigned char>(text[i]);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  if (length == 0 || i + length > text.size()) return 0;
  *code = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  for (size_t k = 1; k < length; ++k) {
    const auto next = static_cast<unsigned char>(text[i + k]);
    if ((next & 0xC0U) != 0x80U) return 0;
    *code = (*code << 6U) | (next & 0x3FU);
  }
  return length;
}

size_t display_width(uint32_t code) {
  const auto within = [code](uint32_t first, uint32_t last) {
    return code >= first && code <= last;
  };
  if (within(0x300, 0x36F) || within(0x200B, 0x200F) || within(0xFE00, 0xFE0F)) return 0;
  const bool wide = within(0x1100, 0x115F) || within(0x2E80, 0xA4CF) || within(0xAC00, 0xD7A3) ||
                    within(0xF900, 0xFAFF) || within(0xFE30, 0xFE6F) || within(0xFF00, 0xFF60) ||
                    within(0xFFE0, 0xFFE6) || within(0x1F300, 0x1FAFF) || within(0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

std::vector<Cell> to_cells(std::string_view line) {
  std::vector<Cell> cells;
  for (size_t i = 0; i < line.size();) {
    uint32_t code = 0;
    const size_t length = decode_utf8(line, i, &code);
    if (line[i] == '\t') {
      cells.push_back({"    ", 4, i});
    } else if (length == 0 || code < 0x20 || (code >= 0x7F && code < 0xA0)) {
      cells.push_back({"?", 1, i});
    } else {
      cells.push_back({std::string(line.substr(i, length)), display_width(code), i});
    }
    i += std::max<size_t>(length, 1);
  }
  return cells;
}

/// Where a place is in a file whose text is known.
struct Located {
  const SourceFile* file = nullptr;
  ByteRange range;
  LineColumn at;
};

std::optional<Located> locate(const Place& place, const SourceSet& sources) {
  const SourceFile* file = place.file.empty() ? nullptr : sources.find(place.file);
  if (file == nullptr) return std::nullopt;
  ByteRange range;
  if (place.byte_begin != SIZE_MAX) {
    range = {place.byte_begin, place.byte_end == SIZE_MAX ? place.byte_begin + 1 : place.byte_end};
  } else if (!place.pointer.empty()) {
    const auto part = place.at_key ? JsonPart::kKey : JsonPart::kValue;
    auto found = locate_json(file->text(), place.pointer, part);
    // The place may be a member that is missing: then the nearest enclosing value is shown.
    for (std::string pointer = place.pointer; !found && !pointer.empty();) {
      pointer.resize(pointer.rfind('/'));
      found = locate_json(file->text(), pointer, JsonPart::kValue);
    }
    if (!found) return std::nullopt;
    range = *found;
  } else {
    return std::nullopt;
  }
  range.begin = std::min(range.begin, file->text().size());
  range.end = std::clamp(range.end, range.begin, file->text().size());
  return Located{file, range, file->line_column(range.begin)};
}

class Renderer {
 public:
  Renderer(const SourceSet& sources, const RenderOptions& options)
      : sources_(sources), options_(options) {}

  void render(const Diagnostic& diagnostic) {
    const auto located = locate(diagnostic.place, sources_);
    const bool error = diagnostic.severity == Severity::kError;
    paint(kBold, position(diagnostic.place, located) + ": ");
    paint(error ? kRed : kMagenta, error ? "error: " : "warning: ");
    paint(kBold, clean(diagnostic.message));
    out_ += fmt::format(" [{}]\n", diag_name(diagnostic.kind));
    if (located) snippet(*located);
    if (!diagnostic.place.pointer.empty()) {
      out_ += fmt::format("  at {}\n", clean(diagnostic.place.pointer));
    }
    for (const Note& note : diagnostic.notes)
      render_note(note);
    if (!diagnostic.help.empty()) {
      paint(kGreen, "  help: ");
      out_ += clean(diagnostic.help) + "\n";
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void paint(std::string_view color, const std::string& text) {
    if (options_.color) {
      out_ += fmt::format("{}{}{}", color, text, kReset);
    } else {
      out_ += text;
    }
  }

  /// User text may hold control bytes; they must not reach the terminal.
  static std::string clean(std::string_view text) {
    std::string out;
    for (const Cell& cell : to_cells(text))
      out += cell.text;
    return out;
  }

  static std::string position(const Place& place, const std::optional<Located>& located) {
    if (place.file.empty()) return "gradc";
    if (!located) return clean(place.file);
    return fmt::format("{}:{}:{}", clean(place.file), located->at.line, located->at.column);
  }

  void render_note(const Note& note) {
    const auto located = locate(note.place, sources_);
    paint(kCyan, "  note: ");
    out_ += clean(note.message);
    if (!note.place.file.empty()) {
      out_ += fmt::format(" ({}{}{})", position(note.place, located),
                          note.place.pointer.empty() ? "" : " at ", clean(note.place.pointer));
    }
    out_ += "\n";
  }

  void snippet(const Located& located) {
    const std::string_view line = located.file->line(located.at.line);
    const size_t line_begin = located.file->line_begin(located.at.line);
    const size_t from = std::min(located.range.begin - line_begin, line.size());
    const size_t to = std::min(std::max(located.range.end - line_begin, from), line.size());
    const std::vector<Cell> cells = to_cells(line);
    const auto cell_at = [&cells](size_t byte) {
      const auto found = std::lower_bound(cells.begin(), cells.end(), byte,
                                          [](const Cell& cell, size_t b) { return cell.byte < b; });
      return static_cast<size_t>(found - cells.begin());
    };
    const auto [first, last] = window(cells, cell_at(from), cell_at(to));
    std::string shown = first > 0 ? "..." : "";
    std::string under(shown.size(), ' ');
    std::string marks;
    for (size_t i = first; i < last; ++i) {
      shown += cells[i].text;
      if (i < cell_at(from)) {
        under += std::string(cells[i].width, ' ');
      } else if (i < cell_at(to)) {
        marks += std::string(cells[i].width, '~');
      }
    }
    if (last < cells.size()) shown += "...";
    if (marks.empty()) marks = "~";
    marks[0] = '^';
    out_ += fmt::format("{:4} | {}\n", located.at.line, shown);
    out_ += fmt::format("{:>4} | {}", "", under);
    paint(kGreen, marks);
    out_ += "\n";
  }

  /// The cells to show: the whole line when it fits, else a part that has the start of the marked
  /// cells in it.
  std::pair<size_t, size_t> window(const std::vector<Cell>& cells, size_t from, size_t to) const {
    size_t width = 0;
    for (const Cell& cell : cells)
      width += cell.width;
    if (width <= options_.max_columns) return {0, cells.size()};
    const size_t marked = std::min(to - from, options_.max_columns / 2);
    const size_t before = (options_.max_columns - marked) / 2;
    const size_t first = from > before ? from - before : 0;
    size_t last = first;
    for (size_t used = 0; last < cells.size() && used < options_.max_columns; ++last) {
      used += cells[last].width;
    }
    return {first, last};
  }

  const SourceSet& sources_;
  const RenderOptions& options_;
  std::string out_;
};

}  // namespace

std::string render_diagnostics(std::span<const Diagnostic> diagnostics, const SourceSet& sources,
                               const RenderOptions& options) {
  // File by file and from top to bottom; what has no place in its file comes after the rest of it.
  std::vector<std::string> files;
  std::vector<std::tuple<size_t, size_t, const Diagnostic*>> ordered;
  for (const Diagnostic& diagnostic : diagnostics) {
    const auto located = locate(diagnostic.place, sources);
    auto file = std::find(files.begin(), files.end(), diagnostic.place.file);
    if (file == files.end()) file = files.insert(file, diagnostic.place.file);
    ordered.emplace_back(file - files.begin(), located ? located->range.begin : SIZE_MAX,
                         &diagnostic);
  }
  std::ranges::sort(ordered);  // at the same place in the order given: they are one array
  Renderer renderer(sources, options);
  const size_t shown = std::min(diagnostics.size(), options.max_shown);
  for (const auto& entry : std::span(ordered).first(shown))
    renderer.render(*std::get<2>(entry));
  std::string text = renderer.take();
  if (shown < diagnostics.size()) {
    text += fmt::format("gradc: {} more problems are not shown\n", diagnostics.size() - shown);
  }
  return text;
}

bool wants_color(FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  return isatty(fileno(stream)) != 0;
}

}  // namespace gradc
