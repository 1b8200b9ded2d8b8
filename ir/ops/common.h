// What the families of the op table share: inference of equal types, checks of shapes and axes,
// sample makers, walking over indices. Assumes callers came through infer_types(): the number of
// operands and the kind of attributes are right.
#pragma once

#include "ir/builder.h"
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc::ops {

#define GRADC_OP(enumerator, name) extern const OpDef enumerator;
#include "ir/ops.def"
#undef GRADC_OP

// ---- diagnostics and checks of inference --------------------------------------------------------

template <class... Args>
Diagnostic shape_error(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(DiagKind::kShapeMismatch, {}, format, std::forward<Args>(args)...);
}

template <class... Args>
Diagnostic attr_error(fmt::format_string<Args...> format, Args&&... args) {
  return make_error(DiagKind::kIrInvalid, {}, format, std::forward<Args>(args)...);
}

/// A type whose rank, extents (at least 1) and bytes are in range, or a diagnostic.
Result<TensorType> checked_type(std::string_view name, DType dtype, std::span<const int64_t> dims);
/// The same, as the only result of an op.
Result<Types> one_result(std::string_view name, DType dtype, std::span<const int64_t> dims);
/// Axes must increase strictly and lie in [0, rank).
Status check_axes(std::string_view name, std::span<const int64_t> axes, const TensorType& type);
Status check_float(const InferArgs& args);
Status check_equal_types(const InferArgs& args);

// ---- inference rules shared by several entries --------------------------------------------------

Result<Types> infer_float(const InferArgs& args);    ///< equal float types -> that type
Result<Types> infer_numeric(const InferArgs& args);  ///< equal float or integer types -> that type
Result<Types> infer_bool(const InferArgs& args);     ///< equal bool types -> that type
Result<Types> infer_compare(const InferArgs& args);  ///< equal types -> bool of that shape

// ---- axes (OpDef::axes) -------------------------------------------------------------------------

/// Axes that stay what they are, but for `meet`.
std::vector<int64_t> same_axes(int rank, std::span<const int64_t> meet = {});
/// Every operand's axes stay what they are, but for one.
OperandAxes same_but_axis(const AxesArgs& a);  ///< AxisAttrs::axis
OperandAxes same_but_last(const AxesArgs& a);
/// Data [n, spatial..., c]: examples are apart, and channels too.
OperandAxes apart_by_channel(const AxesArgs& a);

// ---- gradients ----------------------------------------------------------------------------------

/// For piecewise constant ops: the gradient is zero almost everywhere.
Grads zero_grads(const GradArgs& g);

// ---- samples ------------------------------------------------------------------------------------

using Samples = std::vector<Sample>;

template <class Attrs>
Sample sample(std::initializer_list<TensorType> operands, Attrs attrs) {
  return {.operands = operands, .attrs = make_attrs(std::move(attrs))};
}
Sample sample(std::initializer_list<TensorType> operands);
/// One or two operands drawn from [low, high].
Sample sample_between(std::initializer_list<TensorType> operands, double low, double high);
Sample distinct(Sample s);
Sample away_from_zero(Sample s);
Sample with_indices(Sample s, int64_t limit);

inline TensorType typed(DType dtype, std::initializer_list<int64_t> dims) {
  return {dtype, Shape(dims)};
}

// ---- indices ------------------------------------------------------------------------------------

using Index = std::array<int64_t, Shape::kMaxRank>;

/// The axes of a tensor of this rank that are not in `axes`, in order.
std::vector<int64_t> other_axes(int rank, std::span<const int64_t> axes);

/// Position in row-major order.
int64_t offset_of(const Shape& shape, const Index& index);

/// Calls visit(index) for every index of the shape in row-major order.
template <class Visit>
void for_each_index(const Shape& shape, Visit visit) {
  Index index{};
  for (int64_t i = shape.num_elements(); i > 0; --i) {
    visit(std::as_const(index));
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      if (++index[static_cast<size_t>(axis)] < shape[axis]) break;
      index[static_cast<size_t>(axis)] = 0;
    }
  }
}

/// A view of a shape around one axis: [outer, extent, inner].
struct AxisSplit {
  int64_t outer = 1;
  int64_t extent = 1;
  int64_t inner = 1;
  AxisSplit(const Shape& shape, int64_t axis);
  int64_t at(int64_t o, int64_t k, int64_t i) const { return (o * extent + k) * inner + i; }
};

}  // namespace gradc::ops
