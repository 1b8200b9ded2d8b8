#include "exchange/h5/numbers.h"

#include <fmt/format.h>

#include <cstring>

namespace gradc::exchange::h5 {
namespace {

/// Where sign, exponent and mantissa of a float lie.
struct FloatFields {
  unsigned sign, exponent, exponent_bits, mantissa, mantissa_bits, bias;
  bool operator==(const FloatFields&) const = default;
};
constexpr FloatFields kHalf{15, 10, 5, 0, 10, 15};
constexpr FloatFields kBrain{15, 7, 8, 0, 7, 127};
constexpr FloatFields kSingle{31, 23, 8, 0, 23, 127};
constexpr FloatFields kDouble{63, 52, 11, 0, 52, 1023};

/// Whether bits begin at the first and fill all bytes.
bool fills_its_bytes(const Datatype& type, Cursor& properties) {
  const uint64_t offset = properties.u16();
  const uint64_t precision = properties.u16();
  return properties.ok() && offset == 0 && precision == 8 * type.size;
}

bool read_float(const Datatype& type, NumberType& out) {
  Cursor at(type.properties);
  if (!fills_its_bytes(type, at)) return false;
  FloatFields fields{};
  fields.sign = type.bits >> 8U & 0xFFU;
  fields.exponent = at.u8();
  fields.exponent_bits = at.u8();
  fields.mantissa = at.u8();
  fields.mantissa_bits = at.u8();
  fields.bias = at.u32();
  constexpr uint32_t kImpliedOne = 0x20;
  constexpr uint32_t kVax = 0x40;
  if (!at.ok() || (type.bits & 0x30U) != kImpliedOne || (type.bits & kVax) != 0) return false;
  out.is_float = true;
  out.is_brain = fields == kBrain;
  out.dtype = type.size == 8 ? rt::Dtype::kF64 : rt::Dtype::kF32;
  return (type.size == 2 && (fields == kHalf || fields == kBrain)) ||
         (type.size == 4 && fields == kSingle) || (type.size == 8 && fields == kDouble);
}

bool read_integer(const Datatype& type, NumberType& out) {
  Cursor at(type.properties);
  if (!fills_its_bytes(type, at)) return false;
  out.is_signed = (type.bits & 0x08U) != 0;
  out.dtype = type.size <= 4 && out.is_signed ? rt::Dtype::kI32 : rt::Dtype::kI64;
  return type.size == 1 || type.size == 2 || type.size == 4 || type.size == 8;
}

/// An element's bits, whatever their order.
uint64_t bits_of(const uint8_t* bytes, size_t count, bool is_big_endian) {
  uint64_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value = value << 8U | bytes[is_big_endian ? i : count - 1 - i];
  return value;
}

template <class Value>
void put(uint8_t*& to, Value value) {
  std::memcpy(to, &value, sizeof value);
  to += sizeof value;
}

float widened(const NumberType& type, uint64_t bits) {
  const auto half = static_cast<uint16_t>(bits);
  return type.is_brain ? rt::bf16_to_f32(half) : rt::f16_to_f32(half);
}

/// Its value in 64 bits, the sign of fewer taken over.
uint64_t extended(const NumberType& type, uint64_t bits) {
  const size_t unused = 64 - 8 * type.bytes;
  const bool is_negative = type.is_signed && (bits >> (8 * type.bytes - 1) & 1U) != 0;
  return is_negative && unused > 0 ? bits | ~uint64_t{0} << (64 - unused) : bits;
}

}  // namespace

std::string number_type(Span datatype_message, NumberType& out) {
  const auto type = read_datatype(datatype_message);
  if (!type) return "unknown";
  out.bytes = type->size;
  out.is_big_endian = (type->bits & 0x01U) != 0;
  if (type->kind == TypeClass::kFloat)
    return read_float(*type, out) ? "" : fmt::format("a float of {} bytes", type->size);
  if (type->kind == TypeClass::kInteger)
    return read_integer(*type, out) ? "" : fmt::format("an integer of {} bytes", type->size);
  return std::string(name_of(type->kind));
}

bool convert(const NumberType& type, rt::Bytes raw, rt::Bytes& out) {
  const size_t made = rt::dtype_bytes(type.dtype);
  if (made == type.bytes && !type.is_big_endian && (type.is_float || type.is_signed)) {
    out = std::move(raw);
    return true;
  }
  const size_t count = raw.size() / type.bytes;
  out.resize(count * made);
  uint8_t* to = out.data();
  for (size_t i = 0; i < count; ++i) {
    const uint64_t bits = bits_of(raw.data() + i * type.bytes, type.bytes, type.is_big_endian);
    if (type.is_float && type.bytes == 2) {
      put(to, widened(type, bits));
    } else if (made == 4) {
      put(to, static_cast<uint32_t>(extended(type, bits)));
    } else {
      if (!type.is_float && !type.is_signed && bits >> 63U != 0) return false;
      put(to, type.is_float ? bits : extended(type, bits));
    }
  }
  return true;
}

}  // namespace gradc::exchange::h5
