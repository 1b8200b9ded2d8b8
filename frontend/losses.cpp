// The loss family: a value for each element or each row of the last axis, which frontend/scores.cpp
// reduces. Formulas are Keras 3's, in forms that do not overflow.
//
// From probabilities, a softmax or sigmoid that ends the network is looked through: the loss then
// works on its operand, as TensorFlow's Keras does, which is exact where clipped probabilities are
// not. Other probabilities are clipped to [1e-7, 1 - 1e-7].
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "frontend/look_through.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <array>

namespace gradc {
namespace {

constexpr double kEpsilon = 1e-7;

constexpr OptionDef kReduction = {.name = "reduction",
                                  .type = OptionType::kEnum,
                                  .default_json = "\"sum_over_batch_size\"",
                                  .doc = "mean or sum over the batch and all positions",
                                  .choices = "sum_over_batch_size mean sum"};
constexpr OptionDef kFromLogits = {.name = "from_logits",
                                   .type = OptionType::kBool,
                                   .default_json = "false",
                                   .doc = "the output is before softmax or sigmoid"};
constexpr OptionDef kLabelSmoothing = {.name = "label_smoothing",
                                       .type = OptionType::kFloat,
                                       .default_json = "0",
                                       .doc = "share of the target spread evenly",
                                       .min = 0,
                                       .max = 1};

constexpr OptionDef kPlainOptions[] = {kReduction};
constexpr OptionDef kHuberOptions[] = {
    {.name = "delta",
     .type = OptionType::kFloat,
     .default_json = "1",
     .doc = "where the square becomes a line",
     .min = 0,
     .above_min = true},
    kReduction,
};
constexpr OptionDef kCrossEntropyOptions[] = {kFromLogits, kLabelSmoothing, kReduction};
constexpr OptionDef kSparseOptions[] = {
    kFromLogits,
    {.name = "ignore_class",
     .type = OptionType::kInt,
     .default_json = "null",
     .doc = "targets of this number count neither in the loss nor in metrics; it need be no class"},
    kReduction,
};

constexpr OptionDef kGamma = {.name = "gamma",
                              .type = OptionType::kFloat,
                              .default_json = "2",
                              .doc = "how fast the weight of what is right already falls",
                              .min = 0};
constexpr OptionDef kBinaryFocalOptions[] = {
    {.name = "apply_class_balancing",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "targets of 1 weigh alpha, those of 0 weigh 1 - alpha"},
    {.name = "alpha",
     .type = OptionType::kFloat,
     .default_json = "0.25",
     .doc = "weight of targets of 1",
     .min = 0,
     .max = 1},
    kGamma,
    kFromLogits,
    kLabelSmoothing,
    kReduction,
};
constexpr OptionDef kFocalOptions[] = {
    {.name = "alpha",
     .type = OptionType::kFloat,
     .default_json = "0.25",
     .doc = "weight of all classes",
     .min = 0},
    kGamma,
    kFromLogits,
    kLabelSmoothing,
    kReduction,
};

constexpr TargetDomain kAnyTarget{};
constexpr TargetDomain kCountTarget{.min = 0};
constexpr TargetDomain kSignTarget{.min = -1, .max = 1, .whole = true};
constexpr TargetDomain kBinaryTarget{.min = 0, .max = 1, .classes = TargetDomain::Classes::kTwo};
constexpr TargetDomain kDistributionTarget{
    .min = 0, .rows_sum_to_one = true, .classes = TargetDomain::Classes::kLastAxis};
/// Class indices: their range is that of the output's last axis.
constexpr TargetDomain kIndexTarget{.classes = TargetDomain::Classes::kLastAxis};

struct LossDef {
  ComponentDef base;
  TargetKind target;
  TargetDomain domain;
  Val (*build)(const Options&, Val output,
               Val target);  ///< any shape [batch, ...]; the rest is averaged
};

Val last_axis_sum(Val x) {
  return reduce_sum(x, {x.rank() - 1});
}

Val spread_rows(Val rows, Val like) {
  Ints dims;
  for (int64_t i = 0; i + 1 < like.rank(); ++i)
    dims.push_back(i);
  return broadcast(rows, like.shape(), dims);
}

Val clip_probability(Val p) {
  return minimum(maximum(p, kEpsilon), 1.0 - kEpsilon);
}

Val build_mse(const Options&, Val output, Val target) {
  const Val error = output - target;
  return error * error;
}

Val build_mae(const Options&, Val output, Val target) {
  return abs(output - target);
}

Val build_mape(const Options&, Val output, Val target) {
  return abs((target - output) / maximum(abs(target), kEpsilon)) * 100.0;
}

Val build_msle(const Options&, Val output, Val target) {
  const Val error = log1p(maximum(output, kEpsilon)) - log1p(maximum(target, kEpsilon));
  return error * error;
}

// log(cosh(x)) = x + softplus(-2 x) - log(2).
Val build_log_cosh(const Options&, Val output, Val target) {
  constexpr double kLog2 = 0.693147180559945309417;
  const Val error = output - target;
  return error + error.builder().add(Op::kSoftplus, {error * -2.0}) - kLog2;
}

Val build_poisson(const Options&, Val output, Val target) {
  return output - target * log(output + kEpsilon);
}

/// Targets of 0 and 1 as those of -1 and 1.
Val signs(Val target) {
  return select(equal(target, 0.0), -1.0, target);
}

Val build_hinge(const Options&, Val output, Val target) {
  return relu(1.0 - signs(target) * output);
}

Val build_squared_hinge(const Options& o, Val output, Val target) {
  const Val hinge = build_hinge(o, output, target);
  return hinge * hinge;
}

Val build_categorical_hinge(const Options&, Val output, Val target) {
  const Val right = last_axis_sum(target * output);
  const Val wrong = reduce_max((1.0 - target) * output, {output.rank() - 1});
  return relu(wrong - right + 1.0);
}

Val build_kl_divergence(const Options&, Val output, Val target) {
  const auto clipped = [](Val p) { return minimum(maximum(p, kEpsilon), 1.0); };
  const Val t = clipped(target);
  return last_axis_sum(t * log(t / clipped(output)));
}

/// Rows of length 1; the square is at least 1e-12, as Keras's normalize takes it.
Val unit_rows(Val x) {
  return x * spread_rows(rsqrt(maximum(last_axis_sum(x * x), 1e-12)), x);
}

Val build_cosine_similarity(const Options&, Val output, Val target) {
  return -last_axis_sum(unit_rows(output) * unit_rows(target));
}

Val build_huber(const Options& o, Val output, Val target) {
  const double delta = o.number("delta");
  const Val error = output - target;
  const Val size = abs(error);
  return select(less_equal(size, delta), error * error * 0.5, size * delta - 0.5 * delta * delta);
}

// From logits x and targets z: max(x, 0) - x z + log1p(exp(-|x|)).
Val build_binary_crossentropy(const Options& o, Val output, Val target) {
  const double smoothing = o.number("label_smoothing");
  if (smoothing > 0) target = target * (1.0 - smoothing) + 0.5 * smoothing;
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSigmoid);
  if (logits) return output.builder().add(Op::kSigmoidCrossEntropy, {*logits, target});
  const Val p = clip_probability(output);
  return -(target * log(p) + (1.0 - target) * log(1.0 - p));
}

// Lin, Goyal, Girshick, He, Dollar: "Focal loss for dense object detection", 2017.
Val build_binary_focal(const Options& o, Val output, Val target) {
  const Val entropy = build_binary_crossentropy(o, output, target);
  const double smoothing = o.number("label_smoothing");
  if (smoothing > 0) target = target * (1.0 - smoothing) + 0.5 * smoothing;
  const Val p = o.flag("from_logits") ? sigmoid(output) : output;
  const Val right = target * p + (1.0 - target) * (1.0 - p);
  const Val weight = pow(1.0 - right, o.number("gamma"));
  if (!o.flag("apply_class_balancing")) return weight * entropy;
  const double alpha = o.number("alpha");
  return (target * alpha + (1.0 - target) * (1.0 - alpha)) * (weight * entropy);
}

/// Log of probabilities whose rows need not sum to 1, as Keras: normalise, clip, log.
Val log_probabilities(Val output) {
  return log(clip_probability(output / spread_rows(last_axis_sum(output), output)));
}

Val build_categorical_crossentropy(const Options& o, Val output, Val target) {
  const double smoothing = o.number("label_smoothing");
  const auto classes = static_cast<double>(output.shape().back());
  if (smoothing > 0) target = target * (1.0 - smoothing) + smoothing / classes;
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSoftmax);
  if (logits) return output.builder().add(Op::kSoftmaxCrossEntropy, {*logits, target});
  return -last_axis_sum(target * log_probabilities(output));
}

Val build_categorical_focal(const Options& o, Val output, Val target) {
  const double smoothing = o.number("label_smoothing");
  const auto classes = static_cast<double>(output.shape().back());
  if (smoothing > 0) target = target * (1.0 - smoothing) + smoothing / classes;
  if (o.flag("from_logits"))
    output = output.builder().add(Op::kSoftmax, {output}, make_attrs(AxisAttrs{output.rank() - 1}));
  const Val p = clip_probability(output / spread_rows(last_axis_sum(output), output));
  const Val weight = pow(1.0 - p, o.number("gamma")) * o.number("alpha");
  return -last_axis_sum(weight * (target * log(p)));
}

constexpr LossDef kLosses[] = {
    {{"mean_squared_error", "mean of (output - target)^2", kPlainOptions, "mse"},
     TargetKind::kSameShape,
     kAnyTarget,
     build_mse},
    {{"mean_absolute_error", "mean of |output - target|", kPlainOptions, "mae"},
     TargetKind::kSameShape,
     kAnyTarget,
     build_mae},
    {{"huber", "half the square up to delta, then a line", kHuberOptions, "huber_loss"},
     TargetKind::kSameShape,
     kAnyTarget,
     build_huber},
    {{"mean_absolute_percentage_error", "100 |target - output| / |target|", kPlainOptions, "mape"},
     TargetKind::kSameShape,
     kAnyTarget,
     build_mape},
    {{"mean_squared_logarithmic_error", "mean of (log(1 + output) - log(1 + target))^2",
      kPlainOptions, "msle"},
     TargetKind::kSameShape,
     kCountTarget,
     build_msle},
    {{"log_cosh", "log(cosh(output - target))", kPlainOptions, "logcosh"},
     TargetKind::kSameShape,
     kAnyTarget,
     build_log_cosh},
    {{"poisson", "output - target log(output)", kPlainOptions},
     TargetKind::kSameShape,
     kCountTarget,
     build_poisson},
    {{"cosine_similarity", "-cosine of the angle of the last axis' vectors", kPlainOptions},
     TargetKind::kSameShape,
     kAnyTarget,
     build_cosine_similarity},
    {{"hinge", "max(1 - target output, 0); targets of 0 are -1", kPlainOptions},
     TargetKind::kSameShape,
     kSignTarget,
     build_hinge},
    {{"squared_hinge", "max(1 - target output, 0)^2; targets of 0 are -1", kPlainOptions},
     TargetKind::kSameShape,
     kSignTarget,
     build_squared_hinge},
    {{"categorical_hinge", "max(1 + the largest wrong output - the right one, 0)", kPlainOptions},
     TargetKind::kSameShape,
     kDistributionTarget,
     build_categorical_hinge},
    {{"kl_divergence", "sum of target log(target / output) over the last axis", kPlainOptions,
      "kld kullback_leibler_divergence"},
     TargetKind::kSameShape,
     kDistributionTarget,
     build_kl_divergence},
    {{"binary_crossentropy", "-target log(p) - (1 - target) log(1 - p)", kCrossEntropyOptions,
      "bce binary_cross_entropy"},
     TargetKind::kSameShape,
     kBinaryTarget,
     build_binary_crossentropy},
    {{"categorical_crossentropy", "-sum of target log(p) over the last axis", kCrossEntropyOptions,
      "cce categorical_cross_entropy"},
     TargetKind::kSameShape,
     kDistributionTarget,
     build_categorical_crossentropy},
    {{"binary_focal_crossentropy", "binary_crossentropy, times (1 - p of the target)^gamma",
      kBinaryFocalOptions},
     TargetKind::kSameShape,
     kBinaryTarget,
     build_binary_focal},
    {{"categorical_focal_crossentropy",
      "-sum of alpha (1 - p)^gamma target log(p) over the last axis", kFocalOptions},
     TargetKind::kSameShape,
     kDistributionTarget,
     build_categorical_focal},
    {{"sparse_categorical_crossentropy", "-log(p) of the target class", kSparseOptions,
      "scce sparse_categorical_cross_entropy"},
     TargetKind::kClassIndex,
     kIndexTarget,
     sparse_categorical_crossentropy},
};

const LossDef& loss_def(const Component& loss) {
  for (const LossDef& def : kLosses) {
    if (def.base.type == loss.def->type)
      return def;  // by name: metrics with the same name are computed here too
  }
  GRADC_UNREACHABLE();
}

}  // namespace

Val sparse_categorical_crossentropy(const Options& o, Val output, Val target) {
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSoftmax);
  if (logits) return output.builder().add(Op::kSparseSoftmaxCrossEntropy, {*logits, target});
  const Val picked = output.builder().add(Op::kOneHot, {target},
                                          make_attrs(OneHotAttrs{.depth = output.shape().back()}));
  return -last_axis_sum(cast(picked, output.dtype()) * log_probabilities(output));
}

std::optional<Val> operand_of(Val x, Op op) {
  const Graph& graph = x.builder().graph();
  const NodeId node = graph.def(x.id());
  if (!node.valid() || graph.node(node).op != op) return std::nullopt;
  if (op == Op::kSoftmax && graph.node(node).attrs.as<AxisAttrs>().axis != x.rank() - 1)
    return std::nullopt;
  return x.builder().wrap(graph.node(node).operands[0]);
}

std::span<const ComponentDef* const> loss_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kLosses)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kLosses[i].base;
    return pointers;
  }();
  return list;
}

TargetKind loss_target(const Component& loss) {
  return loss_def(loss).target;
}

const TargetDomain& loss_domain(const Component& loss) {
  return loss_def(loss).domain;
}

bool loss_of_logits(const Component& loss) {
  for (const OptionDef& option : loss.def->options)
    if (option.name == kFromLogits.name) return loss.options.flag(option.name);
  return false;
}

bool loss_fits(const Component& loss, const Ints& output, std::string& problem) {
  const LossDef& def = loss_def(loss);
  const bool classes =
      def.target == TargetKind::kClassIndex || def.base.type.starts_with("categorical_");
  if (classes && output.empty()) {
    problem = fmt::format("{} needs an output with one value per class, got shape {}",
                          def.base.type, shape_text(output));
    return false;
  }
  if (classes && output.back() < 2) {
    problem = fmt::format(
        "{} needs an output with one value per class, but the last axis of {} has one element",
        def.base.type, shape_text(output));
    return false;
  }
  return true;
}

std::optional<int64_t> ignored_class(const Component& loss) {
  const bool given = loss.options.defines("ignore_class") && loss.options.has("ignore_class");
  return given ? std::optional(loss.options.integer("ignore_class")) : std::nullopt;
}

Val build_loss(const Component& loss, Val output, Val target) {
  return loss_def(loss).build(loss.options, output, target);
}

bool sums_positions(const Component& loss) {
  return loss.options.text("reduction") == "sum";
}

}  // namespace gradc
