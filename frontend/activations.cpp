// The activation family: one entry per Keras 3 activation, with its formula in graph ops. Branches
// are chosen with select after the argument of exp and its kin is clamped, so that no branch
// overflows and spoils a gradient; and written so that neither value nor gradient is the small
// difference of large numbers.
//
// At a kink the gradient is that of PyTorch: a function that saturates has none at its edges. Where
// Keras on TensorFlow has another one, the summary says so.
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <array>
#include <cmath>
#include <functional>

namespace gradc {
namespace {

struct ActivationDef {
  ComponentDef base;
  Val (*build)(Val x, const Options& options);
};

constexpr OptionDef kAxis = {
    .name = "axis", .type = OptionType::kInt, .default_json = "-1", .doc = "axis; the batch is 0"};
constexpr OptionDef kAxisOptions[] = {kAxis};
constexpr OptionDef kReluOptions[] = {
    {.name = "negative_slope",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "slope below the threshold",
     .min = 0},
    {.name = "max_value",
     .type = OptionType::kFloat,
     .default_json = "null",
     .doc = "largest result",
     .min = 0},
    {.name = "threshold",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "values below are damped",
     .min = 0},
};
constexpr OptionDef kLeakyReluOptions[] = {
    {.name = "negative_slope",
     .type = OptionType::kFloat,
     .default_json = "0.2",
     .doc = "slope below zero",
     .min = 0},
};
constexpr OptionDef kAlphaOptions[] = {
    {.name = "alpha",
     .type = OptionType::kFloat,
     .default_json = "1",
     .doc = "scale of the negative part",
     .min = 0,
     .above_min = true},
};
constexpr OptionDef kGeluOptions[] = {
    {.name = "approximate",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "the tanh form"},
};
constexpr OptionDef kHardSigmoidOptions[] = {{.name = "slope",
                                              .type = OptionType::kFloat,
                                              .default_json = "null",
                                              .doc = "null: 1 / 6, as in Keras 3; 0.2 before it",
                                              .min = 0,
                                              .above_min = true}};
constexpr OptionDef kShrinkOptions[] = {
    {.name = "threshold",
     .type = OptionType::kFloat,
     .default_json = "0.5",
     .doc = "size of the dead zone",
     .min = 0},
};
constexpr OptionDef kThresholdOptions[] = {
    {.name = "threshold", .type = OptionType::kFloat, .doc = "values up to it are replaced"},
    {.name = "default_value", .type = OptionType::kFloat, .doc = "what replaces them"},
};
constexpr OptionDef kSquareplusOptions[] = {
    {.name = "b",
     .type = OptionType::kFloat,
     .default_json = "4",
     .doc = "roundness",
     .min = 0,
     .above_min = true},
};

Val unary(Op op, Val x) {
  return x.builder().add(op, {x});
}
/// `between` where low < x < high, a constant elsewhere: at the edges there is no gradient.
Val saturated(Val x, double low, double high, double at_low, Val between, double at_high) {
  const Val above = x.builder().splat(at_high, x.type());
  return select(greater_equal(x, high), above, select(less_equal(x, low), at_low, between));
}
Val clip(Val x, double low, double high) {
  return saturated(x, low, high, low, x, high);
}
Val hard_sigmoid(Val x) {
  return saturated(x, -3.0, 3.0, 0.0, (x + 3.0) * (1.0 / 6.0), 1.0);
}
Val build_hard_sigmoid(Val x, const Options& o) {
  if (!o.has("slope")) return hard_sigmoid(x);
  const double slope = o.number("slope");
  return saturated(x, -0.5 / slope, 0.5 / slope, 0.0, x * slope + 0.5, 1.0);
}
// x hard_sigmoid(x), with PyTorch's gradient at the edges: -1/2 at -3, 1 at 3.
Val hard_silu(Val x) {
  const Val held = minimum(maximum(x, -3.0), 3.0);
  const Val bent = held * (held + 3.0) * (1.0 / 6.0);
  return select(greater_equal(x, 3.0), x, select(less(x, -3.0), 0.0, bent));
}
Val softplus(Val x) {
  return unary(Op::kSoftplus, x);
}

Val elu(Val x, double alpha) {
  return select(greater(x, 0.0), x, expm1(minimum(x, 0.0)) * alpha);
}

Val build_relu(Val x, const Options& o) {
  const double slope = o.number("negative_slope");
  const double threshold = o.number("threshold");
  Val y = x;
  if (threshold == 0.0) {
    y = slope == 0.0 ? relu(x) : select(greater(x, 0.0), x, x * slope);
  } else {
    y = select(greater(x, threshold), x, (x - threshold) * slope);
  }
  if (!o.has("max_value")) return y;
  const double largest = o.number("max_value");
  return select(greater_equal(y, largest), y.builder().splat(largest, y.type()), y);
}

// With 1 / (1 + |x|) beyond -1 and 1, so that the gradient 1 / (1 + |x|)^2 is no difference.
Val build_softsign(Val x, const Options&) {
  const Val share = 1.0 / (abs(x) + 1.0);
  const Val below = select(less(x, -1.0), share - 1.0, x * share);
  return select(greater(x, 1.0), 1.0 - share, below);
}

// x - tanh(x); between -1/2 and 1/2 by its series, the tail of tanh's.
Val build_tanh_shrink(Val x, const Options&) {
  constexpr double kSeries[] = {
      1.0 / 3.0,         -2.0 / 15.0,          17.0 / 315.0,          -62.0 / 2835.0,
      1382.0 / 155925.0, -21844.0 / 6081075.0, 929569.0 / 638512875.0};
  const Val held = minimum(maximum(x, -0.5), 0.5);
  const Val square = held * held;
  Val sum = square * kSeries[std::size(kSeries) - 1] + kSeries[std::size(kSeries) - 2];
  for (size_t i = std::size(kSeries) - 2; i-- > 0;)
    sum = sum * square + kSeries[i];
  return select(less(abs(x), 0.5), held * square * sum, x - tanh(x));
}

// (x + r) / 2 with r = sqrt(x^2 + b): below zero as b / 2 / (r - x). Far out r is |x|, before the
// square overflows.
Val build_squareplus(Val x, const Options& o) {
  const double b = o.number("b");
  const double far = 0x1p13 * std::sqrt(b);
  const Val size = abs(x);
  const Val held = minimum(size, far);
  const Val root = select(greater(size, far), size, sqrt(held * held + b));
  const Val sum = size + root;  // infinite before its half is; so halves are added
  return select(greater_equal(x, 0.0), x * 0.5 + root * 0.5, (0.5 * b) / sum);
}

/// Runs a function of the last axis on any axis.
template <class F>
Val on_last_axis(Val x, int64_t axis, F&& f) {
  const int64_t rank = x.rank();
  if (axis < 0) axis += rank;
  if (axis == rank - 1) return f(x);
  Ints swap;
  for (int64_t i = 0; i < rank; ++i)
    swap.push_back(i);
  std::swap(swap[static_cast<size_t>(axis)], swap.back());
  return transpose(f(transpose(x, swap)), swap);
}

Val axis_op(Op op, Val x, int64_t axis) {
  return x.builder().add(op, {x}, make_attrs(AxisAttrs{axis < 0 ? axis + x.rank() : axis}));
}

// First half times the sigmoid of the second half.
Val build_glu(Val x, const Options& o) {
  return on_last_axis(x, o.integer("axis"), [](Val v) {
    Ints start(static_cast<size_t>(v.rank()), 0);
    Ints limit = v.shape().to_vector();
    const int64_t half = limit.back() / 2;
    limit.back() = half;
    const Val value = slice(v, start, limit);
    start.back() = half;
    limit.back() = 2 * half;
    return value * sigmoid(slice(v, start, limit));
  });
}

// max(x - tau, 0) with tau such that a row sums to 1 (Martins and Astudillo 2016). Element i is in
// the support when 1 + r_i x_i > s_i, with r_i the count and s_i the sum of the elements that are
// at least x_i; no sort is needed.
Val sparsemax_rows(Val x) {
  Ints dims = x.shape().to_vector();
  const auto last = static_cast<int64_t>(dims.size()) - 1;
  dims.push_back(dims.back());
  const Shape pairs(dims);
  Ints as_row;
  Ints as_column;
  for (int64_t i = 0; i < last; ++i) {
    as_row.push_back(i);
    as_column.push_back(i);
  }
  as_row.push_back(last + 1);  // element j
  as_column.push_back(last);   // element i
  const Val xj = broadcast(x, pairs, as_row);
  const Val at_least = cast(greater_equal(xj, broadcast(x, pairs, as_column)), x.dtype());
  const Val count = reduce_sum(at_least, {last + 1});
  const Val sum = reduce_sum(at_least * xj, {last + 1});
  const Val support = cast(greater(count * x + 1.0, sum), x.dtype());
  const Val tau = (reduce_sum(support * x, {last}) - 1.0) / reduce_sum(support, {last});
  Ints rows(as_row.begin(), as_row.end() - 1);
  return relu(x - broadcast(tau, x.shape(), rows));
}

Val build_log_sigmoid(Val x, const Options&) {
  return -softplus(-x);
}

Val build_sparse_plus(Val x, const Options&) {
  const Val bent = (x + 1.0) * (x + 1.0) * 0.25;
  return select(greater(x, -1.0), select(less(x, 1.0), bent, x), 0.0);
}

Val build_soft_shrink(Val x, const Options& o) {
  const double t = o.number("threshold");
  return select(greater(x, t), x - t, select(less(x, -t), x + t, 0.0));
}

constexpr double kSeluAlpha = 1.6732632423543772848170429916717;
constexpr double kSeluScale = 1.0507009873554804934193349852946;

constexpr ActivationDef kActivations[] = {
    {{"linear", "x"}, [](Val x, const Options&) { return x; }},
    {{"relu",
      "max(x, 0); with options: slope up to a threshold, largest value (gradient 0 there, in Keras "
      "only for 6)",
      kReluOptions, "re_lu"},
     build_relu},
    {{"relu6", "min(max(x, 0), 6)"}, [](Val x, const Options&) { return clip(x, 0.0, 6.0); }},
    {{"leaky_relu", "x where positive, else negative_slope x", kLeakyReluOptions, "leaky_re_lu"},
     [](Val x, const Options& o) {
       return select(greater(x, 0.0), x, x * o.number("negative_slope"));
     }},
    {{"elu", "x where positive, else alpha (exp(x) - 1)", kAlphaOptions},
     [](Val x, const Options& o) { return elu(x, o.number("alpha")); }},
    {{"selu", "1.0507 elu(x, 1.6733); gradient 1.7581 at 0 as in PyTorch, 1.0507 in Keras"},
     [](Val x, const Options&) { return elu(x, kSeluAlpha) * kSeluScale; }},
    {{"celu", "max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)", kAlphaOptions},
     [](Val x, const Options& o) {
       const double alpha = o.number("alpha");
       return select(greater(x, 0.0), x, expm1(minimum(x, 0.0) / alpha) * alpha);
     }},
    {{"gelu", "x Phi(x); approximate: 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))",
      kGeluOptions},
     [](Val x, const Options& o) {
       return unary(o.flag("approximate") ? Op::kGeluTanh : Op::kGelu, x);
     }},
    {{"silu", "x sigmoid(x)", {}, "swish"},
     [](Val x, const Options&) { return unary(Op::kSilu, x); }},
    {{"mish", "x tanh(softplus(x))"}, [](Val x, const Options&) { return x * tanh(softplus(x)); }},
    {{"softplus", "log(1 + exp(x))"}, [](Val x, const Options&) { return softplus(x); }},
    {{"softsign", "x / (1 + |x|)"}, build_softsign},
    {{"softmax", "exp(x) / sum of exp(x) along the axis", kAxisOptions},
     [](Val x, const Options& o) { return axis_op(Op::kSoftmax, x, o.integer("axis")); }},
    {{"log_softmax", "x - log(sum of exp(x)) along the axis", kAxisOptions},
     [](Val x, const Options& o) { return axis_op(Op::kLogSoftmax, x, o.integer("axis")); }},
    {{"sparsemax", "the point of the simplex nearest to x along the axis", kAxisOptions},
     [](Val x, const Options& o) { return on_last_axis(x, o.integer("axis"), sparsemax_rows); }},
    {{"sigmoid", "1 / (1 + exp(-x))"}, [](Val x, const Options&) { return sigmoid(x); }},
    {{"log_sigmoid", "-log(1 + exp(-x))", {}, "logsigmoid"}, build_log_sigmoid},
    {{"hard_sigmoid", "slope x + 1 / 2 between 0 and 1", kHardSigmoidOptions}, build_hard_sigmoid},
    {{"hard_silu",
      "x hard_sigmoid(x); gradient -1/2 at -3 as in PyTorch, 0 in Keras",
      {},
      "hard_swish"},
     [](Val x, const Options&) { return hard_silu(x); }},
    {{"tanh", "hyperbolic tangent"}, [](Val x, const Options&) { return tanh(x); }},
    {{"tanh_shrink", "x - tanh(x)"}, build_tanh_shrink},
    {{"hard_tanh", "x between -1 and 1; gradient 0 at -1 and 1 as in PyTorch, 1 in Keras"},
     [](Val x, const Options&) { return clip(x, -1.0, 1.0); }},
    {{"soft_shrink", "x moved towards 0 by the threshold", kShrinkOptions}, build_soft_shrink},
    {{"hard_shrink", "x where |x| is above the threshold, else 0", kShrinkOptions},
     [](Val x, const Options& o) {
       return select(greater(abs(x), o.number("threshold")), x, 0.0);
     }},
    {{"threshold", "x above the threshold, else default_value", kThresholdOptions},
     [](Val x, const Options& o) {
       return select(greater(x, o.number("threshold")), x, o.number("default_value"));
     }},
    {{"exponential", "exp(x)", {}, "exp"}, [](Val x, const Options&) { return exp(x); }},
    {{"sparse_plus", "0 below -1, x above 1, (x + 1)^2 / 4 between"}, build_sparse_plus},
    {{"sparse_sigmoid", "(x + 1) / 2 between 0 and 1"},
     [](Val x, const Options&) { return saturated(x, -1.0, 1.0, 0.0, (x + 1.0) * 0.5, 1.0); }},
    {{"squareplus", "(x + sqrt(x^2 + b)) / 2", kSquareplusOptions}, build_squareplus},
    {{"glu", "first half times the sigmoid of the second half of the axis", kAxisOptions},
     build_glu},
};

}  // namespace

std::span<const ComponentDef* const> activation_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kActivations)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kActivations[i].base;
    return pointers;
  }();
  return list;
}

Val build_activation(const Component& activation, Val x) {
  for (const ActivationDef& def : kActivations) {
    if (&def.base == activation.def) return def.build(x, activation.options);
  }
  GRADC_UNREACHABLE();
}

Val apply_activation(const Component* activation, Val x) {
  return activation == nullptr ? x : build_activation(*activation, x);
}

bool infer_activation(const Component& activation, const Ints& input, Ints& output,
                      std::string& problem) {
  output = input;
  if (activation.def->options.empty() || activation.def->options.front().name != "axis")
    return true;
  const auto rank = static_cast<int64_t>(input.size()) + 1;
  int64_t axis = activation.options.integer("axis");
  if (axis < 0) axis += rank;
  if (axis < 1 || axis >= rank) {
    problem =
        fmt::format("has {} along axis {}, which {} does not have beside the batch",
                    activation.written_type, activation.options.integer("axis"), shape_text(input));
    return false;
  }
  if (activation.def->type == "sparsemax") {
    // Every element of a row is compared with every other, in one tensor.
    constexpr int64_t kMostPairs = int64_t{1} << 34;
    const int64_t width = input[static_cast<size_t>(axis - 1)];
    const int64_t elements = checked_product(input).value_or(kMaxTensorBytes);
    if (width <= kMostPairs && elements <= kMostPairs / width) return true;
    problem =
        fmt::format("compares {} elements with {} each in sparsemax, at most {} pairs are possible",
                    elements, width, kMostPairs);
    return false;
  }
  if (activation.def->type != "glu") return true;
  int64_t& extent = output[static_cast<size_t>(axis - 1)];
  if (extent % 2 != 0) {
    problem =
        fmt::format("halves axis {} for glu, but its extent in {} is odd", axis, shape_text(input));
    return false;
  }
  extent /= 2;
  return true;
}

}  // namespace gradc
