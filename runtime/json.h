// The little JSON that safetensors headers and logs need: a strict reader of one value at a time
// over a text, and quoting of strings. No tree is built.
#pragma once

#include "runtime/status.h"

namespace gradc::rt {

/// Appends `text` as a JSON string with quotes; bytes that are not UTF-8 are passed on as they are.
void append_json_string(Str& out, const char* text, size_t length);
/// Appends ["...", "..."]: pure UTF-8 whatever the texts are, with each byte that belongs to no
/// UTF-8 as \udc80 to \udcff (as Python's surrogateescape does), so that every text reads back.
void append_json_strings(Str& out, const Vec<Str>& texts);
/// Reads such an array, and nothing else; false for any other text.
bool parse_json_strings(const char* text, size_t size, Vec<Str>* out);
/// Appends a number that reads back to the same double; NaN and infinities become null.
void append_json_number(Str& out, double value);

/// A cursor over JSON text. Each call consumes one piece and returns false when the text is
/// something else.
class JsonReader {
 public:
  /// With `any_bytes` a lone \udc80 to \udcff stands for a byte.
  JsonReader(const char* text, size_t size, bool any_bytes = false)
      : begin_(text), at_(text), end_(text + size), any_bytes_(any_bytes) {}

  bool eat(char c);
  bool peek(char c);
  /// A string literal with all escapes; \u escapes become UTF-8, surrogate pairs joined.
  bool string(Str* out);
  /// A non-negative integer below 2^63.
  bool integer(int64_t* out);
  bool at_end();
  /// Bytes consumed so far, for messages.
  size_t position() const { return static_cast<size_t>(at_ - begin_); }

 private:
  void skip_space();
  bool escape(Str* out);
  bool hex4(uint32_t* out);

  const char* begin_;
  const char* at_;
  const char* end_;
  bool any_bytes_;
};

}  // namespace gradc::rt
