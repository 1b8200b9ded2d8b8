// Attributes of nodes: an immutable struct per op. The struct's kFields tuple is the only
// description of it: printing, parsing, hashing and equality all go through it.
//
//   struct MatmulAttrs {
//     bool transpose_a = false;
//     bool transpose_b = false;
//     static constexpr auto kFields = std::tuple{field("transpose_a", &MatmulAttrs::transpose_a),
//                                                field("transpose_b", &MatmulAttrs::transpose_b)};
//   };
//
// A struct with `static constexpr bool kNamesResultType = true` has fields `shape` and/or `dtype`
// that are those of the node's one result: the text form leaves them to the written type.
//
// Field types: bool, int64_t, double, std::string, DType, std::optional<DType> (none is the word
// `default`), std::vector<int64_t>, Dense, and enums that have an `enum_names(E)` overload (found
// by ADL) giving a span of names in enumerator order.
#pragma once

#include "ir/type.h"
#include "support/no_value.h"
#include "support/result.h"

#include <concepts>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace gradc {

/// The elements of a constant, shared and immutable; held in double, which is exact for every dtype
/// but i64 over 2^53.
using Dense = std::shared_ptr<const std::vector<double>>;

using AttrValue =
    std::variant<bool, int64_t, double, std::string, DType, std::vector<int64_t>, Dense, NoValue>;
using NamedAttr = std::pair<std::string, AttrValue>;

/// The text form: true, 3, 0.5, word, "text", f32, [1, 2], dense<...>. A dense of one element
/// prints as its number; one with more than `max_dense` elements is cut short (and does not read
/// back).
std::string print_attr(const AttrValue& value, size_t max_dense = SIZE_MAX);
/// Letters, digits, '_' and '.', not beginning with a digit or '.', and no word of its own meaning
/// (true, inf, f32, ...): needs no quotes in the text form.
bool is_plain_word(std::string_view text);
/// The text in double quotes, with escapes for quotes, backslashes and control characters.
std::string quote(std::string_view text);

template <class Struct, class Member>
struct Field {
  std::string_view name;
  Member Struct::* member;
};

template <class Struct, class Member>
constexpr Field<Struct, Member> field(std::string_view name, Member Struct::* member) {
  return {name, member};
}

/// Type-erased access to one attribute struct; one static instance per struct.
struct AttrVtable {
  std::shared_ptr<const void> (*make_default)();
  /// Values of all fields in declaration order, with whether each differs from the default.
  std::vector<std::pair<NamedAttr, bool>> (*fields)(const void* attrs);
  /// Builds a struct from named values; unknown names and wrong types are diagnosed.
  Result<std::shared_ptr<const void>> (*from_fields)(std::span<const NamedAttr> fields);
  /// Field by field; every NaN is one value.
  bool (*equal)(const void* a, const void* b);
  uint64_t (*hash)(const void* attrs);
  bool names_result_type = false;
};

/// A reference to an immutable attribute struct; empty for ops without attributes.
class AttrRef {
 public:
  AttrRef() = default;
  AttrRef(std::shared_ptr<const void> data, const AttrVtable* vtable)
      : data_(std::move(data)), vtable_(vtable) {}

  bool empty() const { return data_ == nullptr; }
  template <class T>
  const T& as() const;
  const AttrVtable* vtable() const { return vtable_; }
  /// Fields that differ from their defaults, for printing.
  std::vector<NamedAttr> changed_fields() const;
  std::vector<NamedAttr> all_fields() const;
  bool operator==(const AttrRef& other) const;
  uint64_t hash() const;

 private:
  std::shared_ptr<const void> data_;
  const AttrVtable* vtable_ = nullptr;
};

// ---- implementation: conversion of fields ------------------------------------------------------

namespace attr_detail {

template <class T>
concept NamedEnum = std::is_enum_v<T> && !std::same_as<T, DType> && requires(T e) {
  { enum_names(e) } -> std::convertible_to<std::span<const std::string_view>>;
};

/// How an optional dtype that is not set is written.
inline constexpr std::string_view kNoDType = "default";

template <class T>
AttrValue to_value(const T& v) {
  if constexpr (NamedEnum<T>) {
    return std::string(enum_names(v)[static_cast<size_t>(v)]);
  } else if constexpr (std::same_as<T, std::optional<DType>>) {
    return v ? AttrValue(*v) : AttrValue(std::string(kNoDType));
  } else {
    return v;
  }
}

Diagnostic wrong_type(std::string_view field, const AttrValue& value, std::string_view expected);
Diagnostic unknown_field(std::string_view field, std::span<const std::string_view> known);

template <class T>
bool from_value(const AttrValue& value, T& out) {
  if constexpr (NamedEnum<T>) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return false;
    const std::span<const std::string_view> names = enum_names(T{});
    for (size_t i = 0; i < names.size(); ++i) {
      if (names[i] == *text) {
        out = static_cast<T>(i);
        return true;
      }
    }
    return false;
  } else if constexpr (std::same_as<T, std::optional<DType>>) {
    if (const auto* text = std::get_if<std::string>(&value)) {  // a name in JSON
      out = find_dtype(*text);
      return out.has_value() || *text == kNoDType;
    }
    const auto* dtype = std::get_if<DType>(&value);
    if (dtype != nullptr) out = *dtype;
    return dtype != nullptr;
  } else if constexpr (std::same_as<T, double>) {
    if (const auto* integer = std::get_if<int64_t>(&value)) {
      out = static_cast<double>(*integer);
      return true;
    }
    const auto* number = std::get_if<double>(&value);
    if (number != nullptr) out = *number;
    return number != nullptr;
  } else if constexpr (std::same_as<T, Dense>) {
    double number = 0.0;
    if (from_value(value, number)) {
      out = std::make_shared<const std::vector<double>>(1, number);
      return true;
    }
    const auto* dense = std::get_if<Dense>(&value);
    if (dense != nullptr) out = *dense;
    return dense != nullptr;
  } else {
    const auto* typed = std::get_if<T>(&value);
    if (typed != nullptr) out = *typed;
    return typed != nullptr;
  }
}

bool equal_field(double a, double b);
bool equal_field(const Dense& a, const Dense& b);
template <class T>
bool equal_field(const T& a, const T& b) {
  return a == b;
}

uint64_t mix(uint64_t h, uint64_t v);
uint64_t hash_field(uint64_t h, double value);
uint64_t hash_field(uint64_t h, const std::string& value);
uint64_t hash_field(uint64_t h, const std::vector<int64_t>& value);
uint64_t hash_field(uint64_t h, const Dense& value);
template <class T>
uint64_t hash_field(uint64_t h, const T& value) {
  if constexpr (std::same_as<T, std::optional<DType>>) {
    return mix(h, value ? static_cast<uint64_t>(*value) : ~uint64_t{0});
  } else {
    static_assert(std::integral<T> || std::is_enum_v<T>);
    return mix(h, static_cast<uint64_t>(value));
  }
}

template <class Struct>
bool equal_structs(const void* a, const void* b) {
  const auto& x = *static_cast<const Struct*>(a);
  const auto& y = *static_cast<const Struct*>(b);
  return std::apply(
      [&](const auto&... f) { return (equal_field(x.*(f.member), y.*(f.member)) && ...); },
      Struct::kFields);
}

template <class Struct>
uint64_t hash_struct(const void* attrs) {
  const auto& self = *static_cast<const Struct*>(attrs);
  uint64_t h = 17;
  std::apply([&](const auto&... f) { ((h = hash_field(h, self.*(f.member))), ...); },
             Struct::kFields);
  return h;
}

template <class Struct>
std::vector<std::pair<NamedAttr, bool>> fields_of(const void* attrs) {
  const auto& self = *static_cast<const Struct*>(attrs);
  const Struct defaults{};
  std::vector<std::pair<NamedAttr, bool>> result;
  std::apply(
      [&](const auto&... f) {
        (
            [&] {
              const bool changed = !equal_field(self.*(f.member), defaults.*(f.member));
              result.emplace_back(NamedAttr{std::string(f.name), to_value(self.*(f.member))},
                                  changed);
            }(),
            ...);
      },
      Struct::kFields);
  return result;
}

template <class Struct>
Result<std::shared_ptr<const void>> struct_from_fields(std::span<const NamedAttr> fields) {
  auto result = std::make_shared<Struct>();
  for (const auto& [name, value] : fields) {
    bool found = false;
    bool typed = false;
    std::vector<std::string_view> known;
    std::apply(
        [&](const auto&... f) {
          (
              [&] {
                known.push_back(f.name);
                if (f.name != name) return;
                found = true;
                typed = from_value(value, (*result).*(f.member));
              }(),
              ...);
        },
        Struct::kFields);
    if (!found) return unknown_field(name, known);
    if (!typed) return wrong_type(name, value, "another type");
  }
  return std::shared_ptr<const void>(std::move(result));
}

template <class Struct>
std::shared_ptr<const void> make_default_struct() {
  return std::make_shared<const Struct>();
}

template <class Struct>
constexpr bool names_result_type() {
  if constexpr (requires { Struct::kNamesResultType; }) return Struct::kNamesResultType;
  return false;
}

}  // namespace attr_detail

template <class Struct>
inline constexpr AttrVtable kAttrVtable = {
    &attr_detail::make_default_struct<Struct>, &attr_detail::fields_of<Struct>,
    &attr_detail::struct_from_fields<Struct>,  &attr_detail::equal_structs<Struct>,
    &attr_detail::hash_struct<Struct>,         attr_detail::names_result_type<Struct>()};

template <class Struct>
AttrRef make_attrs(Struct value) {
  return {std::make_shared<const Struct>(std::move(value)), &kAttrVtable<Struct>};
}

template <class T>
const T& AttrRef::as() const {
  GRADC_CHECK(vtable_ == &kAttrVtable<T>, "attributes of another op were asked for");
  return *static_cast<const T*>(data_.get());
}

}  // namespace gradc
