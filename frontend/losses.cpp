// The loss family: its options and its table. Formulas are in frontend/loss_formulas.cpp, a value
// for each element or each row of the last axis, which frontend/scores.cpp reduces, and in
// frontend/whole_losses.h.
#include "frontend/families.h"
#include "frontend/function_loss.h"
#include "frontend/gir_function.h"
#include "frontend/layer_def.h"
#include "frontend/loss_formulas.h"
#include "frontend/own_losses.h"
#include "frontend/whole_losses.h"
#include "support/check.h"

#include <array>
#include <set>

namespace gradc {
namespace {

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

constexpr OptionDef kAxis = {.name = "axis",
                             .type = OptionType::kInts,
                             .default_json = "null",
                             .doc = "axes that are summed over, 0 the batch; null: all of them"};
constexpr OptionDef kDiceOptions[] = {kAxis, kReduction};
constexpr OptionDef kTverskyOptions[] = {
    {.name = "alpha",
     .type = OptionType::kFloat,
     .default_json = "0.5",
     .doc = "weight of target (1 - output), as in Keras",
     .min = 0},
    {.name = "beta",
     .type = OptionType::kFloat,
     .default_json = "0.5",
     .doc = "weight of (1 - target) output",
     .min = 0},
    kAxis,
    kReduction,
};
constexpr OptionDef kMargin = {.name = "margin",
                               .type = OptionType::kFloat,
                               .default_json = "1",
                               .doc = "how much farther what differs has to be",
                               .min = 0};
constexpr OptionDef kDistance = {.name = "distance",
                                 .type = OptionType::kEnum,
                                 .default_json = "\"l2\"",
                                 .doc = "of two embeddings; angular: 1 - cosine",
                                 .choices = "l2 squared_l2 angular"};
constexpr OptionDef kContrastiveOptions[] = {kMargin, kReduction};
constexpr OptionDef kSemiHardOptions[] = {kMargin, kDistance, kReduction};
constexpr OptionDef kHardOptions[] = {kMargin,
                                      {.name = "soft",
                                       .type = OptionType::kBool,
                                       .default_json = "false",
                                       .doc = "log(1 + exp(difference)), without a margin"},
                                      kDistance,
                                      kReduction};
constexpr OptionDef kCtcOptions[] = {
    {.name = "max_labels",
     .type = OptionType::kInt,
     .default_json = "null",
     .doc = "labels of a target, behind the last filled up with 0; null: as many as the output has "
            "steps",
     .min = 1},
    {.name = "zero_infinity",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "targets with more labels than the steps can say count 0; else the loss is infinite"},
    kReduction,
};

constexpr OptionDef kTargetIs = {
    .name = "target",
    .type = OptionType::kEnum,
    .default_json = "\"same\"",
    .doc =
        "what data give beside an output: values of its shape, or a class number for each row of "
        "its last axis",
    .choices = "same class"};
constexpr OptionDef kFormulaOptions[] = {
    {.name = "value",
     .type = OptionType::kString,
     .doc = "arithmetic over outputs and targets, of one example",
     .max = kMostFormulaBytes},
    kTargetIs,
    kReduction,
};
constexpr OptionDef kFunctionOptions[] = {kFunctionFile, kFunctionSizes, kTargetIs, kReduction};

constexpr TargetDomain kAnyTarget{};
constexpr TargetDomain kCountTarget{.min = 0};
constexpr TargetDomain kSignTarget{.min = -1, .max = 1, .whole = true};
constexpr TargetDomain kBinaryTarget{.min = 0, .max = 1, .classes = TargetDomain::Classes::kTwo};
constexpr TargetDomain kDistributionTarget{
    .min = 0, .rows_sum_to_one = true, .classes = TargetDomain::Classes::kLastAxis};
/// What a share of may be: 0 to 1.
constexpr TargetDomain kShareTarget{.min = 0, .max = 1};
/// Class indices: their range is that of the output's last axis.
constexpr TargetDomain kIndexTarget{.classes = TargetDomain::Classes::kLastAxis};

struct LossDef {
  ComponentDef base;
  TargetKind target;
  TargetDomain domain;
  Val (*build)(const Options&, Val output,
               Val target);  ///< any shape [batch, ...]; the rest is averaged
  /// Instead: of examples or batches as a whole (frontend/whole_losses.h).
  Val (*build_whole)(const WholeLossArgs&) = nullptr;
  /// Whether the batch is not an axis of what `build_whole` gives; null: it is.
  bool (*of_batch)(const Options&) = nullptr;
  /// Instead: written by the model's author (frontend/own_losses.h).
  OwnLoss own = OwnLoss::kNone;
};

bool always(const Options&) {
  return true;
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
    {{"dice", "1 - 2 sum(target output) / (sum(target) + sum(output))", kDiceOptions},
     TargetKind::kSameShape,
     kShareTarget,
     nullptr,
     build_dice,
     sums_batch},
    {{"tversky",
      "1 - i / (i + alpha sum(target (1 - output)) + beta sum((1 - target) output)), with i = "
      "sum(target output)",
      kTverskyOptions},
     TargetKind::kSameShape,
     kShareTarget,
     nullptr,
     build_tversky,
     sums_batch},
    {{"contrastive",
      "target output^2 + (1 - target) max(0, margin - output)^2; outputs are distances of two, "
      "targets of 1 say that they are alike",
      kContrastiveOptions},
     TargetKind::kSameShape,
     kBinaryTarget,
     build_contrastive},
    {{"triplet_semi_hard",
      "max(0, margin + d(anchor, positive) - d(anchor, negative)) of all pairs of a class in the "
      "batch, the negative being the nearest of another class that is farther than the positive, "
      "or else the farthest; outputs are embeddings, targets class numbers",
      kSemiHardOptions},
     TargetKind::kLabel,
     kAnyTarget,
     nullptr,
     build_triplet_semi_hard,
     always},
    {{"triplet_hard",
      "max(0, margin + d(anchor, positive) - d(anchor, negative)) of each example of the batch, "
      "with the farthest of its class and the nearest of another; outputs are embeddings, targets "
      "class numbers",
      kHardOptions},
     TargetKind::kLabel,
     kAnyTarget,
     nullptr,
     build_triplet_hard,
     always},
    {{"ctc",
      "-log p(labels) of logits [steps, classes], of which class 0 is the blank, over all ways to "
      "say the labels in these steps",
      kCtcOptions},
     TargetKind::kLabels,
     kAnyTarget,
     nullptr,
     build_ctc},
    {{"formula", "arithmetic over outputs and targets: docs/schema.md, \"Losses of one's own\"",
      kFormulaOptions},
     TargetKind::kSameShape,
     kAnyTarget,
     nullptr,
     nullptr,
     nullptr,
     OwnLoss::kFormula},
    {{"gir",
      "a function in the IR's text form (docs/ir.md) of an output and its target: a value of each "
      "example or position, or one number of a batch where it takes %counts",
      kFunctionOptions},
     TargetKind::kSameShape,
     kAnyTarget,
     build_function_loss,
     build_function_of_batch,
     function_of_batch,
     OwnLoss::kFunction},
};

const LossDef& loss_def(const Component& loss) {
  for (const LossDef& def : kLosses) {
    if (def.base.type == loss.def->type)
      return def;  // by name: metrics with the same name are computed here too
  }
  GRADC_UNREACHABLE();
}

}  // namespace

std::span<const ComponentDef* const> loss_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kLosses)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kLosses[i].base;
    return pointers;
  }();
  return list;
}

namespace {
/// A loss of one's own whose targets are class numbers.
bool wants_classes(const Component& loss) {
  return loss_def(loss).own != OwnLoss::kNone && loss.options.text(kTargetIs.name) == "class";
}
}  // namespace

TargetKind loss_target(const Component& loss) {
  return wants_classes(loss) ? TargetKind::kClassIndex : loss_def(loss).target;
}

const TargetDomain& loss_domain(const Component& loss) {
  return wants_classes(loss) ? kIndexTarget : loss_def(loss).domain;
}

OwnLoss own_loss(const Component& loss) {
  return loss_def(loss).own;
}

bool is_loss_of_two(const ComponentDef& loss) {
  const auto def =
      std::ranges::find(kLosses, loss.type, [](const LossDef& d) { return d.base.type; });
  return def != std::end(kLosses) && def->own == OwnLoss::kNone && def->build_whole == nullptr;
}

bool loss_of_logits(const Component& loss) {
  for (const OptionDef& option : loss.def->options)
    if (option.name == kFromLogits.name) return loss.options.flag(option.name);
  return false;
}

namespace {

/// The axes of a loss are those of the output with its batch, each once.
bool axes_fit(const Component& loss, const Ints& output, std::string& problem) {
  if (!loss.options.defines("axis") || !loss.options.has("axis")) return true;
  const auto rank = static_cast<int64_t>(output.size()) + 1;
  const Ints& axes = loss.options.ints("axis");
  std::set<int64_t> seen;
  for (const int64_t axis : axes) {
    const bool sound = axis >= -rank && axis < rank && seen.insert((axis + rank) % rank).second;
    if (sound) continue;
    problem = fmt::format(
        "\"axis\" of {} is {}, but an output of shape {} with its batch has the "
        "axes 0 to {}, each once",
        loss.def->type, shape_text(axes), shape_text(output), rank - 1);
    return false;
  }
  if (axes.empty()) problem = fmt::format("\"axis\" of {} names no axis", loss.def->type);
  return !axes.empty();
}

/// What an output must be for losses that are of none of its positions.
bool whole_fits(const Component& loss, const Ints& output, std::string& problem) {
  const TargetKind target = loss_def(loss).target;
  if (target == TargetKind::kLabel && output.size() != 1) {
    problem = fmt::format("{} needs an embedding for each example, one axis, got shape {}",
                          loss.def->type, shape_text(output));
  } else if (target == TargetKind::kLabels && (output.size() != 2 || output.back() < 2)) {
    problem = fmt::format(
        "{} needs logits [steps, classes] with at least 2 classes, the blank among them, got shape "
        "{}",
        loss.def->type, shape_text(output));
  }
  return problem.empty() && axes_fit(loss, output, problem);
}

}  // namespace

bool loss_fits(const Component& loss, const Ints& output, std::string& problem) {
  const LossDef& def = loss_def(loss);
  if (is_whole_loss(loss) && def.own == OwnLoss::kNone) return whole_fits(loss, output, problem);
  const bool classes =
      loss_target(loss) == TargetKind::kClassIndex || def.base.type.starts_with("categorical_");
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

bool is_whole_loss(const Component& loss) {
  const LossDef& def = loss_def(loss);
  return def.build_whole != nullptr && (def.build == nullptr || def.of_batch(loss.options));
}

bool is_batch_loss(const Component& loss) {
  const LossDef& def = loss_def(loss);
  return def.of_batch != nullptr && def.of_batch(loss.options);
}

bool loss_takes_mask(const Component& loss) {
  return !is_whole_loss(loss) || loss_target(loss) == TargetKind::kLabels;
}

Val build_whole_loss(const Component& loss, Val output, Val target, Val examples, Val steps) {
  return loss_def(loss).build_whole({loss.options, output, target, examples, steps});
}

Ints loss_target_shape(const Component& loss, Ints output) {
  switch (loss_target(loss)) {
    case TargetKind::kSameShape:
      return output;
    case TargetKind::kClassIndex:
      output.pop_back();
      return output;
    case TargetKind::kLabel:
      return {};
    case TargetKind::kLabels:
      return {loss.options.has("max_labels") ? loss.options.integer("max_labels") : output[0]};
  }
  GRADC_UNREACHABLE();
}

bool sums_positions(const Component& loss) {
  return loss.options.text("reduction") == "sum";
}

}  // namespace gradc
