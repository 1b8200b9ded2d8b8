// Element types and static tensor types. Types are small values: compared, hashed and copied
// without interning.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

enum class DType : uint8_t { kF32, kF64, kBF16, kF16, kI32, kI64, kU8, kBool };
inline constexpr int kNumDTypes = 8;
/// Largest bytes of one tensor: far over any memory, and so small that sums and offsets stay far
/// from overflow.
inline constexpr int64_t kMaxTensorBytes = int64_t{1} << 48;

std::string_view dtype_name(DType dtype);
std::optional<DType> find_dtype(std::string_view name);
int64_t dtype_bytes(DType dtype);
bool is_float(DType dtype);
bool is_integer(DType dtype);  ///< i32, i64, u8; not bool
/// The type in which numbers of a type are added up: f32 for the short floats.
DType accumulator_dtype(DType dtype);
/// Whether a cast from `inner` to `outer` keeps every value.
bool holds_every_value(DType outer, DType inner);

/// Extents of a dense row-major tensor, outermost first. Rank 0 is a scalar.
class Shape {
 public:
  static constexpr int kMaxRank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims);
  explicit Shape(const std::vector<int64_t>& dims) : Shape(std::span(dims)) {}

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t& operator[](int axis) { return dims_[static_cast<size_t>(axis)]; }
  int64_t back() const { return dims_[static_cast<size_t>(rank_ - 1)]; }
  std::span<const int64_t> dims() const { return {dims_.data(), static_cast<size_t>(rank_)}; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  std::vector<int64_t> to_vector() const { return {begin(), end()}; }
  int64_t num_elements() const;
  /// Row-major strides in elements.
  std::array<int64_t, kMaxRank> strides() const;
  void push_back(int64_t extent);
  Shape without(std::span<const int64_t> axes) const;
  bool operator==(const Shape& other) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;

  int rank() const { return shape.rank(); }
  int64_t num_elements() const { return shape.num_elements(); }
  int64_t bytes() const { return num_elements() * dtype_bytes(dtype); }
  TensorType with(DType other) const { return {other, shape}; }
  TensorType with(const Shape& other) const { return {dtype, other}; }
  bool operator==(const TensorType&) const = default;
};

/// "f32[32x784]"; a scalar is "f32[]".
std::string to_string(const TensorType& type);
std::string to_string(const Shape& shape);

inline TensorType f32(std::initializer_list<int64_t> dims) {
  return {DType::kF32, Shape(dims)};
}

}  // namespace gradc
