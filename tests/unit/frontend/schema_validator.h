// A validator for the part of JSON Schema that gradc's own schema uses; independent of the reader.
#pragma once

#include "support/json.h"

#include <cmath>
#include <regex>
#include <string>

namespace gradc {

class SchemaValidator {
 public:
  explicit SchemaValidator(const Json& root) : root_(root) {}

  bool valid(const Json& value) const { return check(root_, value); }

  bool check(const Json& schema, const Json& value) const {
    for (const auto& [key, rule] : schema.items()) {
      if (!check_rule(schema, key, rule, value)) return false;
    }
    return true;
  }

 private:
  bool check_rule(const Json& schema, const std::string& key, const Json& rule,
                  const Json& value) const {
    if (key == "$ref")
      return check(root_.at(Json::json_pointer(rule.get<std::string>().substr(1))), value);
    if (key == "type") return has_type(rule.get<std::string>(), value);
    if (key == "enum") return std::find(rule.begin(), rule.end(), value) != rule.end();
    if (key == "anyOf")
      return std::any_of(rule.begin(), rule.end(), [&](const Json& s) { return check(s, value); });
    if (key == "pattern")
      return !value.is_string() ||
             std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()));
    if (key == "minimum") return !value.is_number() || value.get<double>() >= rule.get<double>();
    if (key == "maximum") return !value.is_number() || value.get<double>() <= rule.get<double>();
    if (key == "exclusiveMinimum")
      return !value.is_number() || value.get<double>() > rule.get<double>();
    if (key == "exclusiveMaximum")
      return !value.is_number() || value.get<double>() < rule.get<double>();
    if (key == "maxLength")
      return !value.is_string() || value.get<std::string>().size() <= rule.get<size_t>();
    if (key == "minProperties") return !value.is_object() || value.size() >= rule.get<size_t>();
    if (key == "minLength")
      return !value.is_string() || value.get<std::string>().size() >= rule.get<size_t>();
    if (key == "minItems") return !value.is_array() || value.size() >= rule.get<size_t>();
    if (key == "maxItems") return !value.is_array() || value.size() <= rule.get<size_t>();
    if (key == "items")
      return !value.is_array() ||
             std::all_of(value.begin(), value.end(), [&](const Json& v) { return check(rule, v); });
    if (key == "required") {
      return !value.is_object() || std::all_of(rule.begin(), rule.end(), [&](const Json& k) {
        return value.contains(k.get<std::string>());
      });
    }
    if (key == "properties") {
      if (!value.is_object()) return true;
      for (const auto& [name, member] : value.items()) {
        if (rule.contains(name) && !check(rule[name], member)) return false;
      }
      return true;
    }
    if (key == "additionalProperties") return check_additional(schema, rule, value);
    return key == "$schema" || key == "$defs" || key == "title" || key == "description" ||
           key == "default";
  }

  bool check_additional(const Json& schema, const Json& rule, const Json& value) const {
    if (!value.is_object()) return true;
    for (const auto& [name, member] : value.items()) {
      if (schema.contains("properties") && schema["properties"].contains(name)) continue;
      if (rule.is_boolean() ? !rule.get<bool>() : !check(rule, member)) return false;
    }
    return true;
  }

  static bool has_type(const std::string& type, const Json& value) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "boolean") return value.is_boolean();
    if (type == "null") return value.is_null();
    if (type == "number") return value.is_number();
    if (type == "integer")
      return value.is_number_integer() ||
             (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
    return false;
  }

  const Json& root_;
};

}  // namespace gradc
