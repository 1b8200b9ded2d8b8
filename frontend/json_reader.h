// Typed, checked access to JSON with pointer tracking. Every problem goes to the sink and reading
// goes on, so that all problems of a file are reported at once.
#pragma once

#include "frontend/options.h"
#include "support/diagnostic.h"
#include "support/json.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// Where the parts of a translated document stand in the one that a person wrote.
class PlaceMap {
 public:
  void add(std::string pointer, std::string original) {
    known_.insert_or_assign(std::move(pointer), std::move(original));
  }
  /// The original's pointer: the longest known beginning is replaced, what follows stays.
  std::string original(std::string_view pointer) const;

 private:
  std::map<std::string, std::string, std::less<>> known_;
};

/// A JSON value and where it stands.
class JsonCursor {
 public:
  /// `places`, if any, outlives the cursor: the value is a translation.
  JsonCursor(const Json& value, std::string file, std::string pointer = {},
             const PlaceMap* places = nullptr)
      : value_(&value), file_(std::move(file)), pointer_(std::move(pointer)), places_(places) {}

  const Json& value() const { return *value_; }
  const std::string& file() const { return file_; }
  /// Whether a person wrote something else that this was made of: another program's file.
  bool translated() const { return places_ != nullptr; }
  /// In the value's own document.
  const std::string& pointer() const { return pointer_; }
  /// In the document that a person wrote.
  Place place() const { return {.file = file_, .pointer = original_pointer()}; }
  Place key_place() const { return {.file = file_, .pointer = original_pointer(), .at_key = true}; }
  /// Another value for the same place.
  JsonCursor with_value(const Json& value) const { return {value, file_, pointer_, places_}; }
  /// The member or element; it must exist.
  JsonCursor member(std::string_view key) const;
  JsonCursor element(size_t index) const;
  /// The member whose value is at hand already (finding it again takes the longer, the more there
  /// are).
  JsonCursor member(std::string_view key, const Json& value) const;
  bool has(std::string_view key) const {
    return value_->is_object() && value_->contains(std::string(key));
  }

 private:
  std::string original_pointer() const {
    return places_ == nullptr ? pointer_ : places_->original(pointer_);
  }

  const Json* value_;
  std::string file_;
  std::string pointer_;
  const PlaceMap* places_;
};

/// "a string", "an integer", ...: what a value is, for messages.
std::string json_kind(const Json& value);
/// The value as text, shortened.
std::string json_text(const Json& value);
/// "/layers/2/units" -> what a person calls it: "units", or "units[1]" for elements of lists.
std::string place_name(std::string_view pointer);

/// The longest name of a layer, input or output.
inline constexpr size_t kMaxNameBytes = 200;

/// Reports "<name> is <what>, but must be <rule>".
Diagnostic& report_wrong_type(DiagnosticSink& sink, const JsonCursor& at, std::string_view rule);

std::optional<int64_t> read_integer(DiagnosticSink& sink, const JsonCursor& at,
                                    const OptionDef& limits);
std::optional<double> read_number(DiagnosticSink& sink, const JsonCursor& at,
                                  const OptionDef& limits);
std::optional<bool> read_bool(DiagnosticSink& sink, const JsonCursor& at);
/// A name of a layer, input or output: not empty, not long, and without what file formats and
/// terminals make something else of. Reports, and gives nothing, when it is no such name.
std::optional<std::string> read_name(DiagnosticSink& sink, const JsonCursor& at);
std::optional<std::string> read_string(DiagnosticSink& sink, const JsonCursor& at);
/// A string that is shown and written to logs: printable and not long.
std::optional<std::string> read_text(DiagnosticSink& sink, const JsonCursor& at);

/// Reads an object's members one by one; finish() reports those nobody asked for.
class ObjectReader {
 public:
  /// Reports a wrong type when the value is no object; then it has no members.
  ObjectReader(DiagnosticSink& sink, const JsonCursor& at, std::string_view what);

  bool is_object() const { return is_object_; }
  const JsonCursor& cursor() const { return at_; }
  DiagnosticSink& sink() const { return sink_; }
  /// The member, if it is there; it counts as known from now on.
  std::optional<JsonCursor> get(std::string_view key);
  /// Like get, and reports when it is missing.
  std::optional<JsonCursor> require(std::string_view key);
  /// Reports every member that was not asked for.
  void finish();

 private:
  DiagnosticSink& sink_;
  JsonCursor at_;
  std::string what_;
  bool is_object_ = false;
  std::vector<std::string> known_;
};

}  // namespace gradc
