#include "ir/element.h"

#include "ir/op_attrs.h"
#include "support/check.h"
#include "support/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace gradc {

namespace {

/// A float with so many bits of fraction, this smallest exponent of a normal number, and this
/// largest number.
double nearest(double x, int fraction, int least, double largest) {
  if (!std::isfinite(x) || x == 0.0) return x;
  const int exponent = std::max(std::ilogb(x), least);
  const double result =
      std::scalbn(std::nearbyint(std::scalbn(x, fraction - exponent)), exponent - fraction);
  return std::fabs(result) > largest ? std::copysign(HUGE_VAL, x) : result;
}

double in_range(double x, double low, double high) {
  return std::isnan(x) ? 0.0 : std::trunc(std::clamp(x, low, high));
}

}  // namespace

double as_element(double x, DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return nearest(x, 23, -126, 0x1.FFFFFEp127);
    case DType::kF64:
      return x;
    case DType::kBF16:
      return nearest(x, 7, -126, 0x1.FEp127);
    case DType::kF16:
      return nearest(x, 10, -14, 65504.0);
    case DType::kI32:
      return in_range(x, INT32_MIN, INT32_MAX);
    case DType::kI64:
      return in_range(x, -0x1p63, 0x1p63 - 1024.0);
    case DType::kU8:
      return in_range(x, 0, UINT8_MAX);
    case DType::kBool:
      return x != 0.0 ? 1.0 : 0.0;
  }
  GRADC_UNREACHABLE();
}

bool is_short_float(DType dtype) {
  return is_float(dtype) && accumulator_dtype(dtype) != dtype;
}

double as_constant(double x, DType dtype) {
  return is_short_float(dtype) ? as_element(x, dtype) : x;
}

bool is_element(double x, DType dtype) {
  if (std::isnan(x)) return is_float(dtype);
  return as_element(x, dtype) == x && (dtype != DType::kI64 || std::fabs(x) <= 0x1p53);
}

std::string element_text(double x, DType dtype) {
  if (std::isnan(x)) return "nan";  // without a sign
  const bool is_short = is_short_float(dtype);
  constexpr int kMostDigits = 5;  // that a short float needs
  for (int digits = 1; is_short && std::isfinite(x) && digits <= kMostDigits; ++digits) {
    const auto read = parse_double(fmt::format("{:.{}g}", x, digits));
    // As the shortest double is written, so that all types look alike.
    if (read && as_element(*read, dtype) == x) return fmt::format("{}", *read);
  }
  return fmt::format("{}", x);
}

namespace {

/// Recognisably not an integer.
std::string float_text(double x, DType dtype) {
  std::string text = element_text(x, dtype);
  if (std::isfinite(x) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

std::string elements_text(const Dense& elements, size_t max_dense, DType dtype) {
  const size_t count = elements == nullptr ? 0 : elements->size();
  if (count == 1) return float_text(elements->front(), dtype);
  std::string out = "dense<";
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out += ", ";
    if (i == max_dense) {
      out += fmt::format("... of {}", count);
      break;
    }
    out += float_text((*elements)[i], dtype);
  }
  return out + ">";
}

AttrRef with_own_elements(AttrRef constant) {
  if (constant.vtable() != &kAttrVtable<ConstantAttrs>) return constant;  // the verifier says so
  const auto& attrs = constant.as<ConstantAttrs>();
  if (attrs.value == nullptr || !is_short_float(attrs.dtype)) return constant;
  const auto is_own = [&](double x) { return std::isnan(x) || as_constant(x, attrs.dtype) == x; };
  if (std::ranges::all_of(*attrs.value, is_own)) return constant;
  std::vector<double> elements = *attrs.value;
  for (double& x : elements)
    x = as_constant(x, attrs.dtype);
  ConstantAttrs own = attrs;
  own.value = std::make_shared<const std::vector<double>>(std::move(elements));
  return make_attrs(std::move(own));
}

bool fits_double(int64_t integer) {
  const auto number = static_cast<double>(integer);
  return number < 0x1p63 && static_cast<int64_t>(number) == integer;
}

}  // namespace gradc
