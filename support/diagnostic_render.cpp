// Rendering works on display cells: tabs become four spaces, what a terminal must not get and
// broken UTF-8 become "?", East Asian wide characters take two cells, so that the caret stands
// under what it means. Other text of the user's is escaped and, when it is very long, loses its
// middle.
#include "support/diagnostic_render.h"

#include "support/json_index.h"
#include "support/utf8.h"

#include <algorithm>
#include <cstdlib>
#include <map>
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
    } else if (length == 0 || !is_printable(code)) {
      cells.push_back({"?", 1, i});
    } else {
      cells.push_back({std::string(line.substr(i, length)), display_width(code), i});
    }
    i += std::max<size_t>(length, 1);
  }
  return cells;
}

/// The bytes of a JSON string in quotes that bytes of what it says come from: an escape is as many
/// as it stands for.
ByteRange part_of_string(std::string_view text, ByteRange string, ByteRange part) {
  const auto after = [&](size_t wanted) {
    size_t at = string.begin + 1;
    for (size_t said = 0; said < wanted && at + 1 < string.end;) {
      if (text[at] != '\\') {
        ++at;
        ++said;
        continue;
      }
      const size_t length = text[at + 1] == 'u' ? 6 : 2;
      uint32_t code = 0;
      if (length == 6) {
        for (size_t i = at + 2; i < std::min(at + 6, string.end); ++i) {
          const char c = text[i];
          const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
          code = code * 16 + static_cast<uint32_t>(digit);
        }
      }
      said += code < 0x80 ? 1 : code < 0x800 ? 2 : 3 - (code >> 11U == 0x1BU ? 1U : 0U);
      at += length;  // of a pair of surrogates each says two bytes of four
    }
    return std::min(at, string.end - 1);
  };
  return {after(part.begin), std::max(after(part.end), after(part.begin) + 1)};
}

/// Where a place is in a file whose text is known.
struct Located {
  const SourceFile* file = nullptr;
  ByteRange range;
};

/// Finds places; each file's JSON is scanned once, however many there are.
class Locator {
 public:
  explicit Locator(const SourceSet& sources) : sources_(sources) {}

  std::optional<Located> locate(const Place& place) {
    const SourceFile* file = place.file.empty() ? nullptr : sources_.find(place.file);
    if (file == nullptr) return std::nullopt;
    ByteRange range;
    if (place.byte_begin != SIZE_MAX) {
      range = {place.byte_begin,
               place.byte_end == SIZE_MAX ? place.byte_begin + 1 : place.byte_end};
    } else if (!place.pointer.empty()) {
      const JsonIndex& index = indices_.try_emplace(file, file->text()).first->second;
      auto found = index.find(place.pointer, place.at_key ? JsonPart::kKey : JsonPart::kValue);
      const bool in_string = found && !place.at_key && place.text_begin != SIZE_MAX &&
                             file->text()[found->begin] == '"';
      // The place may be a member that is missing: then the nearest enclosing value is shown.
      if (!found) found = index.find_enclosing(place.pointer);
      if (!found) return std::nullopt;
      range = in_string ? part_of_string(file->text(), *found, {place.text_begin, place.text_end})
                        : *found;
    } else {
      return std::nullopt;
    }
    range.begin = std::min(range.begin, file->text().size());
    range.end = std::clamp(range.end, range.begin, file->text().size());
    return Located{file, range};
  }

 private:
  const SourceSet& sources_;
  std::map<const SourceFile*, JsonIndex> indices_;
};

class Renderer {
 public:
  Renderer(Locator& locator, const RenderOptions& options) : locator_(locator), options_(options) {}

  void render(const Diagnostic& diagnostic) {
    const auto located = locator_.locate(diagnostic.place);
    const bool error = diagnostic.severity == Severity::kError;
    paint(kBold, position(diagnostic.place, located) + ": ");
    paint(error ? kRed : kMagenta, error ? "error: " : "warning: ");
    paint(kBold, clean(diagnostic.message));
    out_ += fmt::format(" [{}]\n", diag_name(diagnostic.kind));
    if (located) snippet(*located);
    if (!diagnostic.place.pointer.empty()) {
      out_ += fmt::format("  at {}\n", clean(diagnostic.place.pointer));
    }
    const size_t notes = std::min(diagnostic.notes.size(), kMaxNotes);
    for (size_t i = 0; i < notes; ++i)
      render_note(diagnostic.notes[i]);
    if (notes < diagnostic.notes.size()) {
      paint(kCyan, "  note: ");
      out_ += fmt::format("and {} more\n", diagnostic.notes.size() - notes);
    }
    if (!diagnostic.help.empty()) {
      paint(kGreen, "  help: ");
      out_ += clean(diagnostic.help) + "\n";
    }
  }

  std::string take() { return std::move(out_); }

 private:
  static constexpr size_t kMaxNotes = 20;
  static constexpr size_t kMaxTextBytes = 2000;

  void paint(std::string_view color, const std::string& text) {
    if (options_.color) {
      out_ += fmt::format("{}{}{}", color, text, kReset);
    } else {
      out_ += text;
    }
  }

  /// User text may hold anything, of any length.
  static std::string clean(std::string_view text) { return printable(text, kMaxTextBytes); }

  static std::string position(const Place& place, const std::optional<Located>& located) {
    if (place.file.empty()) return "gradc";
    if (!located) return clean(place.file);
    const LineColumn at = located->file->line_column(located->range.begin);
    return fmt::format("{}:{}:{}", clean(place.file), at.line, at.column);
  }

  void render_note(const Note& note) {
    const auto located = locator_.locate(note.place);
    paint(kCyan, "  note: ");
    out_ += clean(note.message);
    if (!note.place.file.empty()) {
      out_ += fmt::format(" ({}{}{})", position(note.place, located),
                          note.place.pointer.empty() ? "" : " at ", clean(note.place.pointer));
    }
    out_ += "\n";
  }

  /// The part of a line that can be shown at all, so that a file of one long line costs no more
  /// than any other; in bytes of the line, where characters begin.
  ByteRange near(std::string_view line, size_t at) const {
    const size_t reach = 4 * options_.max_columns;
    ByteRange part{at > reach ? at - reach : 0, std::min(line.size(), at + reach)};
    const auto inside = [&](size_t i) {
      return i > 0 && i < line.size() && (static_cast<unsigned char>(line[i]) & 0xC0U) == 0x80U;
    };
    for (size_t back = 0; back < 3 && inside(part.begin); ++back)
      --part.begin;
    for (size_t back = 0; back < 3 && inside(part.end); ++back)
      --part.end;
    return part;
  }

  void snippet(const Located& located) {
    const size_t number = located.file->line_number(located.range.begin);
    const std::string_view line = located.file->line(number);
    const size_t line_begin = located.file->line_begin(number);
    const size_t from = std::min(located.range.begin - line_begin, line.size());
    const size_t to = std::min(std::max(located.range.end - line_begin, from), line.size());
    const ByteRange part = near(line, from);
    const std::vector<Cell> cells = to_cells(line.substr(part.begin, part.end - part.begin));
    const auto cell_at = [&](size_t byte) {
      const auto found = std::lower_bound(cells.begin(), cells.end(), byte - part.begin,
                                          [](const Cell& cell, size_t b) { return cell.byte < b; });
      return static_cast<size_t>(found - cells.begin());
    };
    const size_t marked_from = cell_at(from);
    const size_t marked_to = cell_at(to);
    const auto [first, last] = window(cells, marked_from, marked_to);
    const bool more_before = first > 0 || part.begin > 0;
    const bool more_after = last < cells.size() || part.end < line.size();
    std::string shown = more_before ? "..." : "";
    std::string under(shown.size(), ' ');
    std::string marks;
    for (size_t i = first; i < last; ++i) {
      shown += cells[i].text;
      if (i < marked_from) {
        under += std::string(cells[i].width, ' ');
      } else if (i < marked_to) {
        marks += std::string(cells[i].width, '~');
      }
    }
    if (more_after) shown += "...";
    if (marks.empty()) marks = "~";
    marks[0] = '^';
    out_ += fmt::format("{:4} | {}\n", number, shown);
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

  Locator& locator_;
  const RenderOptions& options_;
  std::string out_;
};

}  // namespace

std::string render_diagnostics(std::span<const Diagnostic> diagnostics, const SourceSet& sources,
                               const RenderOptions& options) {
  // File by file and from top to bottom; what has no place in its file comes after the rest of it.
  Locator locator(sources);
  std::map<std::string_view, size_t> files;
  std::vector<std::tuple<size_t, size_t, const Diagnostic*>> ordered;
  for (const Diagnostic& diagnostic : diagnostics) {
    const auto located = locator.locate(diagnostic.place);
    const size_t file = files.try_emplace(diagnostic.place.file, files.size()).first->second;
    ordered.emplace_back(file, located ? located->range.begin : SIZE_MAX, &diagnostic);
  }
  std::ranges::sort(ordered);  // at the same place in the order given: they are one array
  Renderer renderer(locator, options);
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
