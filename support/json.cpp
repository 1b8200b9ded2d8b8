// A SAX handler builds the DOM, so that depth, repeated keys and number ranges are checked while
// reading.
#include "support/json.h"

#include "support/json_locator.h"

#include <algorithm>
#include <string>
#include <unordered_set>
#include <vector>

namespace gradc {
namespace {

/// "[json.exception...] parse error at line 1, column 2: syntax error while parsing X - Y; last
/// read: 'Z'; expected W" becomes "invalid JSON while parsing X: Y; expected W".
std::string readable_message(std::string text) {
  const auto cut_to = [&text](std::string_view mark) {
    if (const size_t at = text.find(mark); at != std::string::npos) text.erase(0, at + mark.size());
  };
  if (text.find("syntax error ") != std::string::npos) {
    cut_to("syntax error ");
    if (const size_t dash = text.find(" - "); dash != std::string::npos)
      text.replace(dash, 3, ": ");
  } else {
    cut_to("] ");
  }
  if (const size_t read = text.find("; last read: "); read != std::string::npos) {
    const size_t next = text.find("'; expected", read);
    text.erase(read, next == std::string::npos ? std::string::npos : next + 1 - read);
  }
  return "invalid JSON " + text;
}

std::string syntax_advice(std::string_view text, size_t at, const std::string& message) {
  if (message.find("UTF-8") != std::string::npos) return "save the file in UTF-8";
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return "the file is empty";
  if (at >= text.size()) return "the file ends too early: a brace, bracket or quote is not closed";
  const char c = text[at];
  const size_t before = at == 0 ? std::string_view::npos : text.find_last_not_of(" \t\r\n", at - 1);
  if ((c == '}' || c == ']') && before != std::string_view::npos && text[before] == ',') {
    return "remove the comma before the closing bracket";
  }
  if (c == '\'') return "JSON strings stand in double quotes";
  if (c == '/' || c == '#') return "JSON has no comments";
  if (c == 'N' || c == 'I') return "JSON has no NaN or Infinity";
  if (c == 'T' || c == 'F') return "JSON writes true and false in lower case";
  if (c == '"' && before != std::string_view::npos)
    return "a comma or colon may be missing before this";
  return {};
}

class DomBuilder {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  explicit DomBuilder(const SourceFile& source) : source_(source) {}

  bool null() { return add(nullptr) != nullptr; }
  bool boolean(bool value) { return add(value) != nullptr; }
  bool number_integer(number_integer_t value) { return add(value) != nullptr; }
  bool number_unsigned(number_unsigned_t value) {
    if (value > static_cast<number_unsigned_t>(INT64_MAX))
      return integer_too_large(std::to_string(value));
    return add(static_cast<number_integer_t>(value)) != nullptr;
  }
  bool number_float(number_float_t value, const string_t& text) {
    if (text.find_first_of(".eE") == string_t::npos) return integer_too_large(text);
    return add(value) != nullptr;
  }
  bool string(string_t& value) { return add(std::move(value)) != nullptr; }
  bool binary(binary_t&) { GRADC_UNREACHABLE(); }

  bool start_object(size_t) { return open(Json::object()); }
  bool key(string_t& name) {
    Level& level = levels_.back();
    level.key = name;
    if (!level.keys.insert(name).second) report_duplicate(name);
    return true;
  }
  bool end_object() { return close(); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_array() { return close(); }

  bool parse_error(size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) {
    Place place{.file = source_.path()};
    place.byte_end = position;
    place.byte_begin = position == 0 ? 0 : position - 1;
    const std::string message = error.what();
    if (message.find("number overflow") != std::string::npos) {
      place.byte_begin = position - std::min(position, token.size());
      sink.error(DiagKind::kNumberOutOfRange, place, "number {} is too large for a double", token);
      return false;
    }
    const size_t start = position - std::min(position, token.size());
    if (message.find("unexpected string literal") != std::string::npos &&
        start < source_.text().size() && source_.text()[start] == '"')
      place.byte_begin = start;  // all of the string, not its closing quote
    sink.error(DiagKind::kJsonSyntax, place, "{}", readable_message(message))
        .with_help(syntax_advice(source_.text(), place.byte_begin, message));
    return false;
  }

  Json root;
  DiagnosticSink sink;

 private:
  struct Level {
    Json* container;
    std::string key;
    std::unordered_set<std::string> keys;
  };

  Json* add(Json value) {
    if (levels_.empty()) {
      root = std::move(value);
      return &root;
    }
    Level& level = levels_.back();
    if (level.container->is_array()) {
      return &level.container->get_ref<Json::array_t&>().emplace_back(std::move(value));
    }
    // emplace_back, not operator[]: no linear search, as `keys` already knows the repeated ones.
    return &level.container->get_ref<Json::object_t&>()
                .emplace_back(level.key, std::move(value))
                .second;
  }

  bool open(Json container) {
    if (levels_.size() == kMaxJsonDepth) {
      Place place{.file = source_.path()};
      if (const auto range = locate_json(source_.text(), next_pointer(), JsonPart::kValue)) {
        place.byte_begin = range->begin;
        place.byte_end = range->begin + 1;
      }
      sink.error(DiagKind::kJsonDepth, place, "nested more than {} levels deep", kMaxJsonDepth);
      return false;
    }
    levels_.push_back({add(std::move(container)), {}, {}});
    return true;
  }

  bool close() {
    levels_.pop_back();
    return true;
  }

  bool integer_too_large(const std::string& text) {
    sink.error(DiagKind::kNumberOutOfRange, {.file = source_.path(), .pointer = next_pointer()},
               "integer {} does not fit in 64 bits with a sign", text);
    return add(0) != nullptr;
  }

  void report_duplicate(const std::string& name) {
    const std::string pointer = next_pointer();
    size_t occurrence = 1;
    for (const Diagnostic& earlier : sink.all()) {
      if (earlier.kind == DiagKind::kJsonDuplicateKey && earlier.place.pointer == pointer)
        ++occurrence;
    }
    Place place{.file = source_.path(), .pointer = pointer, .at_key = true};
    if (const auto range = locate_json(source_.text(), pointer, JsonPart::kKey, occurrence)) {
      place.byte_begin = range->begin;
      place.byte_end = range->end;
    }
    sink.error(DiagKind::kJsonDuplicateKey, place, "member \"{}\" is given more than once", name)
        .with_note("first given here",
                   {.file = source_.path(), .pointer = pointer, .at_key = true});
  }

  /// Pointer of the value that is about to be added.
  std::string next_pointer() const {
    std::string pointer;
    for (size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      // A container that is still open has already been added to its parent.
      const size_t open = i + 1 < levels_.size() ? 1 : 0;
      pointer += '/';
      pointer += level.container->is_array() ? std::to_string(level.container->size() - open)
                                             : escape_pointer_token(level.key);
    }
    return pointer;
  }

  const SourceFile& source_;
  std::vector<Level> levels_;
};

}  // namespace

Result<Json> parse_json(const SourceFile& source) {
  DomBuilder builder(source);
  bool complete = false;
  try {
    complete = Json::sax_parse(source.text(), &builder);
  } catch (const Json::exception& error) {
    builder.sink.error(DiagKind::kJsonSyntax, {.file = source.path()}, "{}",
                       readable_message(error.what()));
  }
  if (builder.sink.has_errors()) return Failure(builder.sink.take());
  GRADC_CHECK(complete, "the JSON parser stopped without a reason");
  return std::move(builder.root);
}

}  // namespace gradc
