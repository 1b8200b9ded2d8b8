// JSON text -> DOM with members in file order. The one place that makes a DOM of a user's text.
#pragma once

#include "support/result.h"
#include "support/source_file.h"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <utility>

namespace gradc {

using Json = nlohmann::ordered_json;

/// Leaves nothing inside a value, without asking for memory. Json's destructor asks for some, to
/// list what is inside, and ends the process where there is none.
void take_apart(Json& value) noexcept;

/// A value that is taken apart at its end.
class OwnJson {
 public:
  OwnJson() = default;
  explicit OwnJson(Json value) noexcept : value_(std::move(value)) {}
  OwnJson(OwnJson&& other) noexcept = default;
  OwnJson& operator=(OwnJson&& other) noexcept {
    take_apart(value_);
    value_ = std::move(other.value_);
    return *this;
  }
  ~OwnJson() { take_apart(value_); }

  Json& operator*() { return value_; }
  const Json& operator*() const { return value_; }

 private:
  Json value_;
};

constexpr size_t kMaxJsonDepth = 200;
constexpr size_t kMaxJsonKeyBytes = 1000;  ///< pointers hold the keys of all levels

/// Parses strict JSON (RFC 8259; a UTF-8 byte order mark is allowed). Errors, each with its place:
/// syntax, nesting deeper than kMaxJsonDepth, repeated and overlong keys, numbers that 64 bits or a
/// double cannot hold.
Result<OwnJson> parse_json(const SourceFile& source);

}  // namespace gradc
