// JSON text -> DOM with members in file order. The one place that makes a DOM of a user's text.
#pragma once

#include "support/result.h"
#include "support/source_file.h"

#include <nlohmann/json.hpp>

#include <cstddef>

namespace gradc {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxJsonDepth = 200;
constexpr size_t kMaxJsonKeyBytes = 1000;  ///< pointers hold the keys of all levels

/// Parses strict JSON (RFC 8259; a UTF-8 byte order mark is allowed). Errors, each with its place:
/// syntax, nesting deeper than kMaxJsonDepth, repeated and overlong keys, numbers that 64 bits or a
/// double cannot hold.
Result<Json> parse_json(const SourceFile& source);

}  // namespace gradc
