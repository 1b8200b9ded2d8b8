// JSON text (RFC 8259, strictly) as a sequence of events, each with its bytes. Everything that
// reads JSON stands on it: the DOM (support/json.h) and the places of diagnostics
// (support/json_index.h). No recursion, no locale.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace gradc {

struct ByteRange {
  size_t begin = 0;
  size_t end = 0;
};

/// What the scanner tells; false stops it.
class JsonHandler {
 public:
  virtual ~JsonHandler() = default;
  virtual bool open(bool is_object, size_t at) = 0;
  virtual bool close(size_t end) = 0;
  virtual bool key(std::string name, ByteRange at) = 0;
  virtual bool string(std::string text, ByteRange at) = 0;
  virtual bool number(ByteRange at) = 0;
  /// true, false or null: told by the first letter.
  virtual bool literal(ByteRange at) = 0;
};

/// Where the text stops being JSON, and why.
struct JsonSyntaxError {
  ByteRange at;
  std::string message;
};

/// Scans one value and the space around it; a UTF-8 byte order mark may come first. Nothing when
/// the text is JSON or the handler stopped.
std::optional<JsonSyntaxError> scan_json(std::string_view text, JsonHandler& handler);

}  // namespace gradc
