// The attribute structs of all ops. Conventions: data is channels-last [n, spatial..., c], filters
// are [spatial..., c_in / groups, c_out]; axes are non-negative.
#pragma once

#include "ir/attrs.h"

#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace gradc {

using Ints = std::vector<int64_t>;

struct ConstantAttrs {
  DType dtype = DType::kF32;
  Ints shape;
  Dense value;  ///< one element (a splat) or all of them in row-major order
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields =
      std::tuple{field("dtype", &ConstantAttrs::dtype), field("shape", &ConstantAttrs::shape),
                 field("value", &ConstantAttrs::value)};
};

struct IotaAttrs {
  DType dtype = DType::kI32;
  Ints shape;
  int64_t axis = 0;
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields =
      std::tuple{field("dtype", &IotaAttrs::dtype), field("shape", &IotaAttrs::shape),
                 field("axis", &IotaAttrs::axis)};
};

/// Random numbers are a pure function of (seed, iteration, stream, element index i in row-major
/// order), whatever the order or the thread. With 64-bit seed, iteration, stream and block = i / 4:
///   key     = (lo32(seed), hi32(seed))
///   counter = (lo32(block), lo32(iteration), lo32(stream),
///              hi32(block) ^ hi32(iteration) ^ hi32(stream))
///   bits    = word i % 4 of Philox4x32-10(counter, key);  uniform = (bits >> 8) * 2^-24.
/// Streams are in [0, 2^32). random_normal draws its second uniform from stream + 2^32:
///   normal  = sqrt(-2 log1p(-u(stream))) * cos(2 pi u(stream + 2^32)).
/// ir/philox.h is the reference.
inline constexpr int64_t kSecondStream = int64_t{1} << 32;

struct RandomAttrs {
  Ints shape;
  int64_t stream = 0;
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields =
      std::tuple{field("shape", &RandomAttrs::shape), field("stream", &RandomAttrs::stream)};
};

struct BernoulliAttrs {
  Ints shape;
  int64_t stream = 0;
  double probability = 0.5;  ///< of 1.0
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields =
      std::tuple{field("shape", &BernoulliAttrs::shape), field("stream", &BernoulliAttrs::stream),
                 field("probability", &BernoulliAttrs::probability)};
};

struct CastAttrs {
  DType dtype = DType::kF32;
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields = std::tuple{field("dtype", &CastAttrs::dtype)};
};

/// Operand axis i becomes axis dims[i] of shape; dims increase strictly.
struct BroadcastAttrs {
  Ints shape;
  Ints dims;
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields =
      std::tuple{field("shape", &BroadcastAttrs::shape), field("dims", &BroadcastAttrs::dims)};
};

struct ReshapeAttrs {
  Ints shape;
  static constexpr bool kNamesResultType = true;
  static constexpr auto kFields = std::tuple{field("shape", &ReshapeAttrs::shape)};
};

/// Result axis i is operand axis perm[i].
struct TransposeAttrs {
  Ints perm;
  static constexpr auto kFields = std::tuple{field("perm", &TransposeAttrs::perm)};
};

struct SliceAttrs {
  Ints start, limit;
  Ints stride;  ///< empty: all 1
  static constexpr auto kFields =
      std::tuple{field("start", &SliceAttrs::start), field("limit", &SliceAttrs::limit),
                 field("stride", &SliceAttrs::stride)};
};

struct PadAttrs {
  Ints low, high;
  Ints interior;  ///< empty: all 0
  double value = 0.0;
  static constexpr auto kFields =
      std::tuple{field("low", &PadAttrs::low), field("high", &PadAttrs::high),
                 field("interior", &PadAttrs::interior), field("value", &PadAttrs::value)};
};

struct AxisAttrs {
  int64_t axis = 0;
  static constexpr auto kFields = std::tuple{field("axis", &AxisAttrs::axis)};
};

struct AxesAttrs {
  Ints axes;  ///< increasing
  static constexpr auto kFields = std::tuple{field("axes", &AxesAttrs::axes)};
};

/// `multiply` and `result` of contractions: ir/contraction_types.h.
struct MatmulAttrs {
  bool transpose_a = false;
  bool transpose_b = false;
  std::optional<DType> multiply = {};
  std::optional<DType> result = {};
  static constexpr auto kFields =
      std::tuple{field("transpose_a", &MatmulAttrs::transpose_a),
                 field("transpose_b", &MatmulAttrs::transpose_b),
                 field("multiply", &MatmulAttrs::multiply), field("result", &MatmulAttrs::result)};
};

/// A convolution y = x * w over 1 to 3 spatial dimensions. For conv_input_grad (operands dy, w) and
/// conv_filter_grad (operands x, dy) `shape` is the shape of the result; for conv itself it is
/// empty.
struct ConvAttrs {
  Ints strides;
  Ints pad_low, pad_high;
  Ints dilation;
  int64_t groups = 1;
  Ints shape;
  std::optional<DType> multiply = {};
  std::optional<DType> result = {};
  static constexpr auto kFields =
      std::tuple{field("strides", &ConvAttrs::strides),   field("pad_low", &ConvAttrs::pad_low),
                 field("pad_high", &ConvAttrs::pad_high), field("dilation", &ConvAttrs::dilation),
                 field("groups", &ConvAttrs::groups),     field("shape", &ConvAttrs::shape),
                 field("multiply", &ConvAttrs::multiply), field("result", &ConvAttrs::result)};
};

/// Pooling over the spatial dimensions. Padding never wins a maximum and is not counted in an
/// average.
struct PoolAttrs {
  Ints window, strides;
  Ints pad_low, pad_high;
  Ints shape;  ///< avg_pool_grad: the shape of the pooled input; else empty
  static constexpr auto kFields =
      std::tuple{field("window", &PoolAttrs::window), field("strides", &PoolAttrs::strides),
                 field("pad_low", &PoolAttrs::pad_low), field("pad_high", &PoolAttrs::pad_high),
                 field("shape", &PoolAttrs::shape)};
};

/// scatter_add: result[indices[i]] += updates[i] over rows, from zero.
struct ScatterAttrs {
  int64_t rows = 0;
  static constexpr auto kFields = std::tuple{field("rows", &ScatterAttrs::rows)};
};

struct OneHotAttrs {
  int64_t depth = 0;
  static constexpr auto kFields = std::tuple{field("depth", &OneHotAttrs::depth)};
};

/// Normalises over the last `num_axes` axes; gamma and beta have the shape of those axes.
struct LayerNormAttrs {
  int64_t num_axes = 1;
  double epsilon = 1e-3;
  static constexpr auto kFields = std::tuple{field("num_axes", &LayerNormAttrs::num_axes),
                                             field("epsilon", &LayerNormAttrs::epsilon)};
};

/// Normalises over all axes but `axis`, whose extent is that of gamma and beta.
struct BatchNormAttrs {
  int64_t axis = 0;
  double epsilon = 1e-3;
  static constexpr auto kFields =
      std::tuple{field("axis", &BatchNormAttrs::axis), field("epsilon", &BatchNormAttrs::epsilon)};
};

/// Scores are multiplied by `scale`. Causal: query i sees the keys 0 to i. `multiply` is that of
/// both products (ir/contraction_types.h). `slopes`, `factors`: there is such an operand
/// (ir/attention_operands.h).
struct AttentionAttrs {
  bool causal = false;
  double scale = 1.0;
  std::optional<DType> multiply = {};
  bool slopes = false;
  bool factors = false;
  static constexpr auto kFields = std::tuple{
      field("causal", &AttentionAttrs::causal), field("scale", &AttentionAttrs::scale),
      field("multiply", &AttentionAttrs::multiply), field("slopes", &AttentionAttrs::slopes),
      field("factors", &AttentionAttrs::factors)};
};

/// What a fused kernel is built around.
enum class KernelKind : uint8_t { kElementwise, kRow, kColumn, kContraction, kOpaque };
inline constexpr std::array<std::string_view, 5> kKernelKindNames = {"elementwise", "row", "column",
                                                                     "contraction", "opaque"};
constexpr std::span<const std::string_view> enum_names(KernelKind) {
  return kKernelKindNames;
}

/// With `rows`, the number of an operand, that operand holds how many rows of every result (along
/// axis 0) are specified: the others are whatever they are, and nobody reads them.
struct KernelAttrs {
  std::string label;
  KernelKind kind = KernelKind::kElementwise;
  int64_t rows = -1;
  static constexpr auto kFields =
      std::tuple{field("label", &KernelAttrs::label), field("kind", &KernelAttrs::kind),
                 field("rows", &KernelAttrs::rows)};
};

/// Operands are the first values of the carries, then the arrays of which each step sees one slice,
/// then what every step sees whole.
struct ScanAttrs {
  int64_t steps = 1;
  int64_t carries = 0;
  int64_t slices = 0;
  bool reverse = false;  ///< from the last slice to the first
  static constexpr auto kFields =
      std::tuple{field("steps", &ScanAttrs::steps), field("carries", &ScanAttrs::carries),
                 field("slices", &ScanAttrs::slices), field("reverse", &ScanAttrs::reverse)};
};

}  // namespace gradc
