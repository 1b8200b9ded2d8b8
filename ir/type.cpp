#include "ir/type.h"

#include "support/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace gradc {

namespace {

struct DTypeInfo {
  std::string_view name;
  int64_t bytes;
  bool is_float;
  bool is_integer;
};

constexpr std::array<DTypeInfo, kNumDTypes> kDTypes = {{{"f32", 4, true, false},
                                                        {"f64", 8, true, false},
                                                        {"bf16", 2, true, false},
                                                        {"f16", 2, true, false},
                                                        {"i32", 4, false, true},
                                                        {"i64", 8, false, true},
                                                        {"u8", 1, false, true},
                                                        {"bool", 1, false, false}}};

const DTypeInfo& info(DType dtype) {
  return kDTypes[static_cast<size_t>(dtype)];
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  return info(dtype).name;
}

std::optional<DType> find_dtype(std::string_view name) {
  for (size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

int64_t dtype_bytes(DType dtype) {
  return info(dtype).bytes;
}
bool is_float(DType dtype) {
  return info(dtype).is_float;
}
bool is_integer(DType dtype) {
  return info(dtype).is_integer;
}

DType accumulator_dtype(DType dtype) {
  return dtype == DType::kBF16 || dtype == DType::kF16 ? DType::kF32 : dtype;
}

bool holds_every_value(DType outer, DType inner) {
  if (outer == inner || inner == DType::kBool) return true;
  switch (inner) {
    case DType::kU8:
      return outer != DType::kBool && outer != DType::kBF16;
    case DType::kI32:
      return outer == DType::kI64 || outer == DType::kF64;
    case DType::kF16:
    case DType::kBF16:
      return outer == DType::kF32 || outer == DType::kF64;
    case DType::kF32:
      return outer == DType::kF64;
    case DType::kF64:
    case DType::kI64:
    case DType::kBool:
      return false;
  }
  return false;
}

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  GRADC_CHECK(dims.size() <= kMaxRank, "rank {} is over the maximum of {}", dims.size(), kMaxRank);
  std::copy(dims.begin(), dims.end(), dims_.begin());
}

int64_t Shape::num_elements() const {
  int64_t count = 1;
  for (int64_t extent : dims())
    count *= extent;
  return count;
}

std::array<int64_t, Shape::kMaxRank> Shape::strides() const {
  std::array<int64_t, kMaxRank> strides{};
  int64_t stride = 1;
  for (int axis = rank_ - 1; axis >= 0; --axis) {
    strides[static_cast<size_t>(axis)] = stride;
    stride *= (*this)[axis];
  }
  return strides;
}

void Shape::push_back(int64_t extent) {
  GRADC_CHECK(rank_ < kMaxRank, "rank is over the maximum of {}", kMaxRank);
  dims_[static_cast<size_t>(rank_++)] = extent;
}

Shape Shape::without(std::span<const int64_t> axes) const {
  Shape result;
  for (int axis = 0; axis < rank_; ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) result.push_back((*this)[axis]);
  }
  return result;
}

bool Shape::operator==(const Shape& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.dims(), "x"));
}

std::string to_string(const TensorType& type) {
  return fmt::format("{}{}", dtype_name(type.dtype), to_string(type.shape));
}

}  // namespace gradc
