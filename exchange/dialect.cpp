#include "exchange/dialect.h"

#include <string>
#include <string_view>

namespace gradc::exchange {
namespace {

/// Whether a member of that name stands anywhere in the first levels.
bool mentions(const Json& value, std::string_view key, int levels) {
  if (levels == 0 || !value.is_structured()) return false;
  if (value.is_object() && value.contains(std::string(key))) return true;
  for (const Json& inner : value) {
    if (mentions(inner, key, levels - 1)) return true;
  }
  return false;
}

constexpr int kLevels = 6;  // of lists and objects down to a layer's options

bool read_version(const Json& value, Dialect& dialect) {
  if (!value.is_object()) return false;
  const auto found = value.find("keras_version");
  if (found == value.end() || !found->is_string()) return false;
  const std::string text = found->get<std::string>();
  const size_t dot = text.find('.');
  if (dot == std::string::npos) return false;
  const auto number = [](std::string_view part) {
    int result = 0;
    for (const char c : part) {
      if (c < '0' || c > '9' || result > 1000) break;
      result = 10 * result + (c - '0');
    }
    return result;
  };
  dialect.major = number(text);
  dialect.minor = number(std::string_view(text).substr(dot + 1));
  // TensorFlow.js writes "tfjs-layers 1.2.3": its Keras is 2.
  if (text.starts_with("tfjs")) dialect = {.major = 2, .minor = 2, .tfjs = true};
  return dialect.major > 0;
}

}  // namespace

Dialect find_dialect(const JsonCursor& root) {
  Dialect dialect;
  const Json& value = root.value();
  if (read_version(value, dialect)) return dialect;
  for (const char* part : {"model_config", "config"}) {
    if (root.has(part) && read_version(value.at(part), dialect)) return dialect;
  }
  if (mentions(value, "batch_shape", kLevels) || mentions(value, "keras_history", 2 * kLevels)) {
    dialect.major = 3;
  } else if (mentions(value, "registered_name", 2)) {
    dialect.minor = 13;  // the format of .keras
  } else if (mentions(value, "border_mode", kLevels) || mentions(value, "inner_init", kLevels) ||
             mentions(value, "W_regularizer", kLevels)) {
    dialect.major = 1;
  }
  return dialect;
}

}  // namespace gradc::exchange
