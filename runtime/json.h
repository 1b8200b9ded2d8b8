// The little JSON that safetensors headers and logs need: a strict reader of one value at a time
// over a text, and quoting of strings. No tree is built.
#pragma once

#include "runtime/status.h"

namespace gradc::rt {

/// Appends `text` as a JSON string with quotes; bytes that are not UTF-8 are passed on as they are.
void append_json_string(Str& out, const char* text, size_t length);
/// Appends a number that reads back to the same double; NaN and infinities become null.
void append_json_number(Str& out, double value);

/// A cursor over JSON text. Each call consumes one piece and returns false when the text is
/// something else.
class JsonReader {
 public:
  JsonReader(const char* text, size_t size) : begin_(text), at_(text), end_(text + size) {}

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
};

}  // namespace gradc::rt
