#include "ir/attrs.h"

#include "ir/element.h"
#include "support/utf8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace gradc {

namespace {

/// Shortest text that reads back to the same double and is recognisably not an integer.
std::string print_double(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

/// NaNs are all one value, as in the text form.
uint64_t double_bits(double value) {
  return std::isnan(value) ? 0x7FF8000000000000ULL : std::bit_cast<uint64_t>(value);
}

}  // namespace

bool is_plain_word(std::string_view text) {
  static constexpr std::array<std::string_view, 4> kReserved = {"true", "false", "inf", "nan"};
  if (text.empty() || find_dtype(text)) return false;
  if (std::find(kReserved.begin(), kReserved.end(), text) != kReserved.end()) return false;
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return is_letter(text.front()) && std::all_of(text.begin(), text.end(), [&](char c) {
           return is_letter(c) || (c >= '0' && c <= '9') || c == '.';
         });
}

std::string quote(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    const size_t length = decode_utf8(text, i, &code);
    const size_t end = i + std::max<size_t>(length, 1);
    if (text[i] == '"' || text[i] == '\\') {
      out += '\\';
      out += text[i];
    } else if (text[i] == '\n') {
      out += "\\n";
    } else if (length > 0 && is_printable(code)) {
      out.append(text, i, length);
    } else {  // byte by byte, so that what is no UTF-8 reads back too
      for (size_t k = i; k < end; ++k)
        out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[k]));
    }
    i = end;
  }
  return out + "\"";
}

std::string print_attr(const AttrValue& value, size_t max_dense) {
  return std::visit(
      [max_dense](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) {
          return v ? "true" : "false";
        } else if constexpr (std::is_same_v<T, double>) {
          return print_double(v);
        } else if constexpr (std::is_same_v<T, std::string>) {
          return is_plain_word(v) ? v : quote(v);
        } else if constexpr (std::is_same_v<T, DType>) {
          return std::string(dtype_name(v));
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          return fmt::format("[{}]", fmt::join(v, ", "));
        } else if constexpr (std::is_same_v<T, Dense>) {
          return elements_text(v, max_dense, DType::kF64);
        } else if constexpr (std::is_same_v<T, NoValue>) {
          GRADC_UNREACHABLE();
        } else {
          return fmt::format("{}", v);
        }
      },
      value);
}

std::vector<NamedAttr> AttrRef::changed_fields() const {
  std::vector<NamedAttr> result;
  if (empty()) return result;
  for (auto& [attr, changed] : vtable_->fields(data_.get())) {
    if (changed) result.push_back(std::move(attr));
  }
  return result;
}

std::vector<NamedAttr> AttrRef::all_fields() const {
  std::vector<NamedAttr> result;
  if (empty()) return result;
  for (auto& [attr, changed] : vtable_->fields(data_.get()))
    result.push_back(std::move(attr));
  return result;
}

bool AttrRef::operator==(const AttrRef& other) const {
  if (vtable_ != other.vtable_) return false;
  return data_ == other.data_ || vtable_->equal(data_.get(), other.data_.get());
}

uint64_t AttrRef::hash() const {
  return empty() ? 17 : vtable_->hash(data_.get());
}

namespace attr_detail {

bool equal_field(double a, double b) {
  return double_bits(a) == double_bits(b);
}

bool equal_field(const Dense& a, const Dense& b) {
  if (a == b) return true;
  return a && b && std::equal(a->begin(), a->end(), b->begin(), b->end(), [](double x, double y) {
           return double_bits(x) == double_bits(y);
         });
}

uint64_t mix(uint64_t h, uint64_t v) {
  return (h ^ v) * 0x9E3779B97F4A7C15ULL + (h >> 29);
}

uint64_t hash_field(uint64_t h, double value) {
  return mix(h, double_bits(value));
}

uint64_t hash_field(uint64_t h, const std::string& value) {
  for (const char c : value)
    h = mix(h, static_cast<unsigned char>(c));
  return mix(h, value.size());
}

uint64_t hash_field(uint64_t h, const std::vector<int64_t>& value) {
  for (const int64_t x : value)
    h = mix(h, static_cast<uint64_t>(x));
  return mix(h, value.size());
}

uint64_t hash_field(uint64_t h, const Dense& value) {
  for (size_t i = 0; value && i < value->size(); ++i)
    h = mix(h, double_bits((*value)[i]));
  return h;
}

Diagnostic wrong_type(std::string_view field, const AttrValue& value, std::string_view) {
  return make_error(DiagKind::kIrInvalid, {}, "attribute \"{}\" cannot hold {}", field,
                    print_attr(value));
}

Diagnostic unknown_field(std::string_view field, std::span<const std::string_view> known) {
  return make_error(DiagKind::kIrInvalid, {}, "unknown attribute \"{}\"; known: {}", field,
                    fmt::join(known.begin(), known.end(), ", "));
}

}  // namespace attr_detail

}  // namespace gradc
