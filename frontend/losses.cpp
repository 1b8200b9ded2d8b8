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

constexpr TargetDomain kAnyTarget{};
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

Val build_sparse_crossentropy(const Options& o, Val output, Val target) {
  std::optional<Val> logits = output;
  if (!o.flag("from_logits")) logits = operand_of(output, Op::kSoftmax);
  if (logits) return output.builder().add(Op::kSparseSoftmaxCrossEntropy, {*logits, target});
  const Val picked = output.builder().add(Op::kOneHot, {target},
                                          make_attrs(OneHotAttrs{.depth = output.shape().back()}));
  return -last_axis_sum(cast(picked, output.dtype()) * log_probabilities(output));
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
    {{"sparse_categorical_crossentropy", "-log(p) of the target class", kSparseOptions,
      "scce sparse_categorical_cross_entropy"},
     TargetKind::kClassIndex,
     kIndexTarget,
     build_sparse_crossentropy},
};

const LossDef& loss_def(const Component& loss) {
  for (const LossDef& def : kLosses) {
    if (def.base.type == loss.def->type)
      return def;  // by name: metrics with the same name are computed here too
  }
  GRADC_UNREACHABLE();
}

}  // namespace

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
      def.target == TargetKind::kClassIndex || def.base.type == "categorical_crossentropy";
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
