#include "ir/ops/common.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace gradc::ops {

Result<TensorType> checked_type(std::string_view name, DType dtype, std::span<const int64_t> dims) {
  if (dims.size() > Shape::kMaxRank)
    return shape_error("{} has a result of rank {}, the maximum is {}", name, dims.size(),
                       Shape::kMaxRank);
  int64_t bytes = dtype_bytes(dtype);
  for (int64_t extent : dims) {
    if (extent < 1)
      return shape_error("{} has a result of shape [{}], extents must be at least 1", name,
                         fmt::join(dims, "x"));
    if (__builtin_mul_overflow(bytes, extent, &bytes) || bytes > kMaxTensorBytes)
      return make_error(DiagKind::kNumberOutOfRange, {},
                        "{} has a result of shape [{}], more than {} bytes", name,
                        fmt::join(dims, "x"), kMaxTensorBytes);
  }
  return TensorType{dtype, Shape(dims)};
}

Result<Types> one_result(std::string_view name, DType dtype, std::span<const int64_t> dims) {
  GRADC_TRY(TensorType type, checked_type(name, dtype, dims));
  return Types{type};
}

Status check_axes(std::string_view name, std::span<const int64_t> axes, const TensorType& type) {
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] < 0 || axes[i] >= type.rank())
      return attr_error("{} axis {} is outside {}", name, axes[i], to_string(type));
    if (i > 0 && axes[i] <= axes[i - 1])
      return attr_error("{} axes [{}] do not increase", name, fmt::join(axes, ", "));
  }
  return Ok{};
}

Status check_float(const InferArgs& args) {
  for (const TensorType& type : args.operands) {
    if (!is_float(type.dtype))
      return shape_error("{} takes float operands, got {}", args.name, to_string(type));
  }
  return Ok{};
}

Status check_equal_types(const InferArgs& args) {
  for (const TensorType& type : args.operands) {
    if (type != args.operands[0])
      return shape_error("{} operands differ: {} and {}", args.name, to_string(args.operands[0]),
                         to_string(type))
          .with_help("broadcasts and casts are explicit ops");
  }
  return Ok{};
}

Result<Types> infer_float(const InferArgs& args) {
  GRADC_TRY_STATUS(check_float(args));
  GRADC_TRY_STATUS(check_equal_types(args));
  return Types{args.operands[0]};
}

Result<Types> infer_numeric(const InferArgs& args) {
  for (const TensorType& type : args.operands) {
    if (type.dtype == DType::kBool)
      return shape_error("{} takes float or integer operands, got {}", args.name, to_string(type));
  }
  GRADC_TRY_STATUS(check_equal_types(args));
  return Types{args.operands[0]};
}

Result<Types> infer_bool(const InferArgs& args) {
  for (const TensorType& type : args.operands) {
    if (type.dtype != DType::kBool)
      return shape_error("{} takes bool operands, got {}", args.name, to_string(type));
  }
  GRADC_TRY_STATUS(check_equal_types(args));
  return Types{args.operands[0]};
}

Result<Types> infer_compare(const InferArgs& args) {
  GRADC_TRY_STATUS(check_equal_types(args));
  return Types{args.operands[0].with(DType::kBool)};
}

Grads zero_grads(const GradArgs& g) {
  return Grads(g.operands.size());
}

Sample sample(std::initializer_list<TensorType> operands) {
  return {.operands = operands, .attrs = {}};
}

Sample sample_between(std::initializer_list<TensorType> operands, double low, double high) {
  return {.operands = operands, .attrs = {}, .low = low, .high = high};
}

Sample distinct(Sample s) {
  s.distinct = true;
  return s;
}

Sample away_from_zero(Sample s) {
  s.away_from_zero = true;
  return s;
}

Sample with_indices(Sample s, int64_t limit) {
  s.index_limit = limit;
  return s;
}

std::vector<int64_t> other_axes(int rank, std::span<const int64_t> axes) {
  std::vector<int64_t> result;
  for (int64_t axis = 0; axis < rank; ++axis) {
    if (std::find(axes.begin(), axes.end(), axis) == axes.end()) result.push_back(axis);
  }
  return result;
}

std::vector<int64_t> same_axes(int rank, std::span<const int64_t> meet) {
  std::vector<int64_t> axes(static_cast<size_t>(rank));
  std::iota(axes.begin(), axes.end(), int64_t{0});
  for (const int64_t axis : meet)
    axes[static_cast<size_t>(axis)] = kMeets;
  return axes;
}

OperandAxes same_but_axis(const AxesArgs& a) {
  OperandAxes map;
  for (const TensorType& operand : a.operands)
    map.push_back(same_axes(operand.rank(), std::array{a.attr<AxisAttrs>().axis}));
  return map;
}

OperandAxes same_but_last(const AxesArgs& a) {
  OperandAxes map;
  for (const TensorType& operand : a.operands)
    map.push_back(same_axes(operand.rank(), std::array{int64_t{operand.rank() - 1}}));
  return map;
}

OperandAxes apart_by_channel(const AxesArgs& a) {
  OperandAxes map;
  for (const TensorType& operand : a.operands) {
    map.emplace_back(static_cast<size_t>(operand.rank()), kMeets);
    map.back().front() = 0;
    map.back().back() = operand.rank() - 1;
  }
  return map;
}

int64_t offset_of(const Shape& shape, const Index& index) {
  int64_t offset = 0;
  for (int axis = 0; axis < shape.rank(); ++axis)
    offset = offset * shape[axis] + index[static_cast<size_t>(axis)];
  return offset;
}

AxisSplit::AxisSplit(const Shape& shape, int64_t axis) : extent(shape[static_cast<int>(axis)]) {
  for (int a = 0; a < shape.rank(); ++a) {
    if (a < axis) outer *= shape[a];
    if (a > axis) inner *= shape[a];
  }
}

}  // namespace gradc::ops
