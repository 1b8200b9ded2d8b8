// Diagnostics: what is wrong in the input, where, by which rule, and what to do about it.
// Wording: lower case, no final period; what was seen, then the rule, then the advice; both shapes
// always.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

enum class DiagKind : uint8_t {
#define GRADC_DIAG(enumerator, name) enumerator,
#include "support/diagnostics.def"
#undef GRADC_DIAG
};

/// The name printed in brackets, e.g. "unknown-layer".
std::string_view diag_name(DiagKind kind);

enum class Severity : uint8_t { kError, kWarning };

/// Where in the input. Any part may be empty: a file alone, a JSON pointer in it, or a byte range.
struct Place {
  std::string file{};     ///< path as the user gave it; empty: the command itself
  std::string pointer{};  ///< JSON pointer ("/layers/2/type"); rendered to line:column when the
                          ///< text is known
  bool at_key = false;    ///< the caret goes under the member's key, not its value
  size_t byte_begin = SIZE_MAX;  ///< byte range in the file's text, when known directly (parsers)
  size_t byte_end = SIZE_MAX;
  size_t text_begin = SIZE_MAX;  ///< of the JSON string that the pointer names: bytes of what it
  size_t text_end = SIZE_MAX;    ///< says, escapes resolved
};

struct Note {
  std::string message;
  Place place;
};

struct Diagnostic {
  DiagKind kind{};
  Severity severity = Severity::kError;
  std::string message;
  Place place;
  std::vector<Note> notes;
  std::string help;  ///< advice, printed after "help:"; empty: none

  Diagnostic& with_note(std::string text, Place at = {}) {
    notes.push_back({std::move(text), std::move(at)});
    return *this;
  }
  Diagnostic& with_help(std::string text) {
    help = std::move(text);
    return *this;
  }
};

/// Collects the diagnostics of one input; reading goes on after an error so that all are reported
/// at once.
class DiagnosticSink {
 public:
  template <class... Args>
  Diagnostic& error(DiagKind kind, Place place, fmt::format_string<Args...> format,
                    Args&&... args) {
    return add({kind,
                Severity::kError,
                fmt::format(format, std::forward<Args>(args)...),
                std::move(place),
                {},
                {}});
  }
  template <class... Args>
  Diagnostic& warning(DiagKind kind, Place place, fmt::format_string<Args...> format,
                      Args&&... args) {
    return add({kind,
                Severity::kWarning,
                fmt::format(format, std::forward<Args>(args)...),
                std::move(place),
                {},
                {}});
  }
  Diagnostic& add(Diagnostic diagnostic);
  void append(std::vector<Diagnostic> diagnostics);

  bool has_errors() const { return num_errors_ > 0; }
  const std::vector<Diagnostic>& all() const { return diagnostics_; }
  std::vector<Diagnostic> take();

 private:
  std::vector<Diagnostic> diagnostics_;
  size_t num_errors_ = 0;
};

template <class... Args>
Diagnostic make_error(DiagKind kind, Place place, fmt::format_string<Args...> format,
                      Args&&... args) {
  return {kind,
          Severity::kError,
          fmt::format(format, std::forward<Args>(args)...),
          std::move(place),
          {},
          {}};
}

}  // namespace gradc
