// The DOM is built from the scanner's events, so that depth, repeated keys and number ranges are
// checked while reading.
#include "support/json.h"

#include "support/json_index.h"
#include "support/json_scanner.h"
#include "support/numbers.h"
#include "support/utf8.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <unordered_map>
#include <vector>

namespace gradc {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kShownNumber = 40;

std::string syntax_advice(std::string_view text, size_t at, const std::string& message) {
  if (message.find("UTF-8") != std::string::npos) return "save the file in UTF-8";
  if (text.find_first_not_of(kSpace) == std::string_view::npos) return "the file is empty";
  if (at >= text.size()) return "the file ends too early: a brace, bracket or quote is not closed";
  const char c = text[at];
  const size_t before = at == 0 ? std::string_view::npos : text.find_last_not_of(kSpace, at - 1);
  if ((c == '}' || c == ']') && before != std::string_view::npos && text[before] == ',') {
    return "remove the comma before the closing bracket";
  }
  if (c == '\'') return "JSON strings stand in double quotes";
  if (c == '/' || c == '#') return "JSON has no comments";
  if (c == 'N' || c == 'I' || text.substr(at).starts_with("nan"))
    return "JSON has no NaN or Infinity";
  if (c == 'T' || c == 'F') return "JSON writes true and false in lower case";
  if (c == '"' && before != std::string_view::npos)
    return "a comma or colon may be missing before this";
  return {};
}

/// What a file is that is no text in UTF-8, by how it begins; empty when it may be text.
std::string_view other_encoding(std::string_view text) {
  const std::string_view head = text.substr(0, 4);
  const std::string_view zeros("\0\0", 2);
  if (head.starts_with(std::string_view("\xFF\xFE\0\0", 4)) || head.starts_with(zeros))
    return "UTF-32 or binary data";
  if (head.starts_with("\xFF\xFE") || head.starts_with("\xFE\xFF")) return "UTF-16";
  if (head.size() >= 2 && (head[0] == '\0') != (head[1] == '\0')) return "UTF-16";
  if (head.starts_with("\x1F\x8B")) return "compressed (gzip)";
  if (head.starts_with("PK\x03\x04")) return "a zip archive";
  if (head.starts_with("\x89HDF")) return "HDF5";
  if (text.substr(0, 4096).find('\0') != std::string_view::npos) return "binary data";
  return {};
}

class DomBuilder final : public JsonHandler {
 public:
  explicit DomBuilder(const SourceFile& source) : source_(source) {}

  bool open(bool is_object, size_t at) override {
    if (levels_.size() == kMaxJsonDepth) {
      sink.error(DiagKind::kJsonDepth, place({at, at + 1}), "nested more than {} levels deep",
                 kMaxJsonDepth);
      return false;
    }
    Json* added = add(is_object ? Json::object() : Json::array());
    levels_.push_back({added, {}, {}});
    return true;
  }
  bool close(size_t) override {
    levels_.pop_back();
    return true;
  }

  bool key(std::string name, ByteRange at) override {
    if (name.size() > kMaxJsonKeyBytes) {
      sink.error(DiagKind::kTooLarge, place(at),
                 "the member's name is {} bytes long, at most {} are possible", name.size(),
                 kMaxJsonKeyBytes);
      return false;
    }
    Level& level = levels_.back();
    level.key = std::move(name);
    const auto [first, fresh] = level.keys.try_emplace(level.key, at);
    if (fresh) return true;
    const std::string pointer = next_pointer();
    sink.error(DiagKind::kJsonDuplicateKey, place(at, pointer),
               "member \"{}\" is given more than once", level.key)
        .with_note("first given here", place(first->second, pointer));
    return true;
  }

  bool string(std::string text, ByteRange) override { return add(std::move(text)) != nullptr; }
  bool literal(ByteRange at) override {
    const char c = source_.text()[at.begin];
    return add(c == 'n' ? Json(nullptr) : Json(c == 't')) != nullptr;
  }

  bool number(ByteRange at) override {
    const std::string_view text(source_.text().data() + at.begin, at.end - at.begin);
    if (text.find_first_of(".eE") == std::string_view::npos) return integer(text, at);
    const double value = parse_double(text).value_or(0.0);
    if (value - value != 0.0) {  // infinite
      sink.error(DiagKind::kNumberOutOfRange, place(at, next_pointer()),
                 "number {} is too large for a double", printable(text, kShownNumber));
    }
    return add(value) != nullptr;
  }

  OwnJson root;
  DiagnosticSink sink;

 private:
  struct Level {
    Json* container;
    std::string key;
    std::unordered_map<std::string, ByteRange> keys;
  };

  Place place(ByteRange at, std::string pointer = {}) const {
    return {.file = source_.path(),
            .pointer = std::move(pointer),
            .byte_begin = at.begin,
            .byte_end = at.end};
  }

  bool integer(std::string_view text, ByteRange at) {
    int64_t value = 0;
    const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
    if (read.ec != std::errc()) {
      sink.error(DiagKind::kNumberOutOfRange, place(at, next_pointer()),
                 "integer {} does not fit in 64 bits with a sign", printable(text, kShownNumber));
    }
    return add(value) != nullptr;
  }

  Json* add(Json value) {
    if (levels_.empty()) {
      *root = std::move(value);
      return &*root;
    }
    Level& level = levels_.back();
    if (level.container->is_array()) {
      return &level.container->get_ref<Json::array_t&>().emplace_back(std::move(value));
    }
    auto& members = level.container->get_ref<Json::object_t&>();
    if (members.size() == members.capacity()) grow(members);
    // emplace_back, not operator[]: no linear search, as `keys` already knows the repeated ones.
    return &members.emplace_back(level.key, std::move(value)).second;
  }

  /// More room, by moving: the container would copy members with all that is in them, as their keys
  /// are constant.
  static void grow(Json::object_t& members) {
    Json::object_t larger;
    larger.reserve(std::max<size_t>(4, 2 * members.size()));
    for (auto& [key, value] : members)
      larger.emplace_back(key, std::move(value));
    members.swap(larger);
  }

  /// Pointer of the value that is about to be added.
  std::string next_pointer() const {
    std::string pointer;
    for (size_t i = 0; i < levels_.size(); ++i) {
      const Level& level = levels_[i];
      // A container that is still open has already been added to its parent.
      const size_t open = i + 1 < levels_.size() ? 1 : 0;
      pointer += '/';
      pointer += level.container->is_array() ? fmt::to_string(level.container->size() - open)
                                             : escape_pointer_token(level.key);
    }
    return pointer;
  }

  const SourceFile& source_;
  std::vector<Level> levels_;
};

}  // namespace

void take_apart(Json& value) noexcept {
  if (value.is_array()) {
    auto& elements = value.get_ref<Json::array_t&>();
    for (; !elements.empty(); elements.pop_back())
      take_apart(elements.back());
  } else if (value.is_object()) {
    auto& members = value.get_ref<Json::object_t&>();
    for (; !members.empty(); members.pop_back())
      take_apart(members.back().second);
  }
}

Result<OwnJson> parse_json(const SourceFile& source) {
  const std::string& text = source.text();
  if (const std::string_view other = other_encoding(text); !other.empty()) {
    Diagnostic diagnostic = make_error(DiagKind::kJsonSyntax, {.file = source.path()},
                                       "the file is {}, but JSON in UTF-8 is needed", other);
    return diagnostic.with_help(other == "UTF-16" ? "save the file in UTF-8"
                                                  : "give the model's JSON file");
  }
  DomBuilder builder(source);
  if (const auto error = scan_json(text, builder)) {
    const Place place{
        .file = source.path(), .byte_begin = error->at.begin, .byte_end = error->at.end};
    builder.sink.error(DiagKind::kJsonSyntax, place, "invalid JSON {}", error->message)
        .with_help(syntax_advice(text, error->at.begin, error->message));
  }
  if (builder.sink.has_errors()) return Failure(builder.sink.take());
  return std::move(builder.root);
}

}  // namespace gradc
