// The metric family: a value for each element or row, averaged over the batch (frontend/scores.cpp)
// and then over the epoch by the runtime; or several such parts, each averaged by itself, and a
// formula (frontend/metric_formulas.h).
#include "frontend/families.h"
#include "frontend/metric_parts.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <array>

namespace gradc {
namespace {

enum class MetricTarget : uint8_t { kSameShape, kClassIndex, kEither };

constexpr OptionDef kName = {
    .name = "name", .type = OptionType::kString, .default_json = "null", .doc = "name in logs"};
constexpr OptionDef kWeighted = {
    .name = "weighted",
    .type = OptionType::kBool,
    .default_json = "null",
    .doc = "examples and classes count by their weights, as in \"weighted_metrics\""};
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

constexpr OptionDef kNameOptions[] = {kWeighted, kName};
constexpr OptionDef kThresholdOptions[] = {{.name = "threshold",
                                            .type = OptionType::kFloat,
                                            .default_json = "0.5",
                                            .doc = "outputs above count as 1"},
                                           kWeighted,
                                           kName};
constexpr OptionDef kTopOptions[] = {{.name = "k",
                                      .type = OptionType::kInt,
                                      .default_json = "5",
                                      .doc = "how many guesses count",
                                      .min = 1},
                                     kWeighted,
                                     kName};
constexpr OptionDef kHuberOptions[] = {{.name = "delta",
                                        .type = OptionType::kFloat,
                                        .default_json = "1",
                                        .doc = "where the square becomes a line",
                                        .min = 0,
                                        .above_min = true},
                                       kWeighted,
                                       kName};
constexpr OptionDef kCrossEntropyOptions[] = {kFromLogits, kLabelSmoothing, kWeighted, kName};
constexpr OptionDef kSparseOptions[] = {kFromLogits, kWeighted, kName};

constexpr OptionDef kAverage = {.name = "average",
                                .type = OptionType::kEnum,
                                .default_json = "\"micro\"",
                                .doc =
                                    "micro: over all outputs; macro: the mean over the classes; "
                                    "weighted: by how often a class is there",
                                .choices = "micro macro weighted"};
constexpr OptionDef kClassId = {.name = "class_id",
                                .type = OptionType::kInt,
                                .default_json = "null",
                                .doc = "of this class alone; null: of all",
                                .min = 0};
constexpr OptionDef kCountOptions[] = {
    kThresholdOptions[0],
    {.name = "top_k",
     .type = OptionType::kInt,
     .default_json = "null",
     .doc = "the k largest outputs of a position count as 1, in place of those above the threshold",
     .min = 1},
    kClassId,
    kWeighted,
    kName};
constexpr OptionDef kOverlapOptions[] = {{.name = "target_class_ids",
                                          .type = OptionType::kIntOrInts,
                                          .default_json = "null",
                                          .doc = "the classes of the mean; null: all",
                                          .min = 0},
                                         kWeighted,
                                         kName};
constexpr OptionDef kScoreOptions[] = {kThresholdOptions[0], kAverage, kClassId, kWeighted, kName};
constexpr OptionDef kBetaOptions[] = {{.name = "beta",
                                       .type = OptionType::kFloat,
                                       .default_json = "1",
                                       .doc = "how much more recall weighs than precision",
                                       .min = 0,
                                       .above_min = true},
                                      kThresholdOptions[0],
                                      kAverage,
                                      kClassId,
                                      kWeighted,
                                      kName};
constexpr OptionDef kAucOptions[] = {
    {.name = "num_thresholds",
     .type = OptionType::kInt,
     .default_json = "200",
     .doc = "points of the curve",
     .min = 3,
     .max = 10000},
    {.name = "curve",
     .type = OptionType::kEnum,
     .default_json = "\"ROC\"",
     .doc = "ROC: recall over false alarms; PR: precision over recall",
     .choices = "ROC PR"},
    kFromLogits,
    kWeighted,
    kName};

struct MetricDef {
  ComponentDef base;
  MetricTarget target;
  Better better;
  Parts (*parts)(const Component&, Val output, Val target);
  MetricFormula (*formula)(const Component&);
};

/// A metric that is the mean of its values, [batch, ...].
template <Val (*values)(const Component&, Val output, Val target)>
Parts one(const Component& metric, Val output, Val target) {
  return {{values(metric, output, target)}};
}

template <MetricFormula formula>
MetricFormula always(const Component&) {
  return formula;
}
constexpr auto kIsMean = always<MetricFormula::kMean>;

Val build_binary_accuracy(const Component& metric, Val output, Val target) {
  const double threshold =
      metric.def->type == "accuracy" ? 0.5 : metric.options.number("threshold");
  const Val guess = as_float(greater(output, threshold));
  return as_float(equal(guess, target));
}

Val build_categorical_accuracy(const Component&, Val output, Val target) {
  const int64_t last = output.rank() - 1;
  return as_float(equal(argmax(ranking(output), last), argmax(target, last)));
}

Val build_sparse_accuracy(const Component&, Val output, Val target) {
  return as_float(equal(argmax(ranking(output), output.rank() - 1), cast(target, DType::kI32)));
}

// In the top k when fewer than k outputs are larger than the target class's; equal ones do not push
// it out.
Val top_k(const Component& metric, Val output, Val classes) {
  const int64_t last = output.rank() - 1;
  output = ranking(output);
  const Val picked = output.builder().add(Op::kOneHot, {classes},
                                          make_attrs(OneHotAttrs{.depth = output.shape().back()}));
  const Val chosen = reduce_sum(cast(picked, output.dtype()) * output, {last});
  Ints dims;
  for (int64_t i = 0; i < last; ++i)
    dims.push_back(i);
  const Val larger =
      reduce_sum(as_float(greater(output, broadcast(chosen, output.shape(), dims))), {last});
  return as_float(less(larger, static_cast<double>(metric.options.integer("k"))));
}

Val build_top_k(const Component& metric, Val output, Val target) {
  return top_k(metric, output, argmax(target, target.rank() - 1));
}

Val squared_error(const Component&, Val output, Val target) {
  const Val error = output - target;
  return error * error;
}

Val sparse_crossentropy(const Component& metric, Val output, Val target) {
  return sparse_categorical_crossentropy(metric.options, output, target);
}

Val build_similarity(const Component& metric, Val output, Val target) {
  return -build_loss(metric, output, target);
}

constexpr MetricDef kMetrics[] = {
    {{"accuracy", "share of right guesses: binary, categorical or sparse by the shapes",
      kNameOptions, "acc"},
     MetricTarget::kEither,
     Better::kLarger,
     nullptr,
     kIsMean},
    {{"binary_accuracy", "share of outputs on the right side of the threshold", kThresholdOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     one<build_binary_accuracy>,
     kIsMean},
    {{"precision",
      "share of right ones among the outputs above the threshold; of class indices the largest "
      "output is the guess",
      kCountOptions},
     MetricTarget::kEither,
     Better::kLarger,
     precision_parts,
     always<MetricFormula::kQuotient>},
    {{"recall",
      "share of the targets of 1 whose output is above the threshold; of class indices the largest "
      "output is the guess",
      kCountOptions},
     MetricTarget::kEither,
     Better::kLarger,
     recall_parts,
     always<MetricFormula::kQuotient>},
    {{"f1_score",
      "harmonic mean of precision and recall; of class indices the largest output is the guess",
      kScoreOptions, "f1"},
     MetricTarget::kEither,
     Better::kLarger,
     fbeta_parts,
     average_formula},
    {{"fbeta_score",
      "mean of precision and recall, which weighs beta^2 times as much; of class indices the "
      "largest output is the guess",
      kBetaOptions, "f_beta"},
     MetricTarget::kEither,
     Better::kLarger,
     fbeta_parts,
     average_formula},
    {{"auc", "area under the curve of thresholds", kAucOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     auc_parts,
     auc_formula},
    {{"matthews_correlation", "correlation of guessed and true classes (Gorodkin 2004)",
      kNameOptions, "mcc"},
     MetricTarget::kEither,
     Better::kLarger,
     agreement_parts,
     always<MetricFormula::kMatthews>},
    {{"cohen_kappa", "agreement of guessed and true classes beyond chance", kNameOptions},
     MetricTarget::kEither,
     Better::kLarger,
     agreement_parts,
     always<MetricFormula::kKappa>},
    {{"mean_iou", "mean over the classes of intersection over union", kOverlapOptions, "iou"},
     MetricTarget::kEither,
     Better::kLarger,
     overlap_parts,
     always<MetricFormula::kDefinedQuotient>},
    {{"r2_score", "1 - squared error / variance of the targets, the mean over outputs",
      kNameOptions, "r2"},
     MetricTarget::kSameShape,
     Better::kLarger,
     r_squared_parts,
     always<MetricFormula::kRSquared>},
    {{"root_mean_squared_error", "root of the mean of (output - target)^2", kNameOptions, "rmse"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<squared_error>,
     always<MetricFormula::kRoot>},
    {{"perplexity", "exponential of sparse_categorical_crossentropy", kSparseOptions},
     MetricTarget::kClassIndex,
     Better::kSmaller,
     one<sparse_crossentropy>,
     always<MetricFormula::kExponential>},
    {{"categorical_accuracy", "share of rows whose largest output is the target's", kNameOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     one<build_categorical_accuracy>,
     kIsMean},
    {{"sparse_categorical_accuracy", "share of rows whose largest output is the target class",
      kNameOptions},
     MetricTarget::kClassIndex,
     Better::kLarger,
     one<build_sparse_accuracy>,
     kIsMean},
    {{"top_k_accuracy", "share of rows with the target among the k largest outputs", kTopOptions,
      "top_k"},
     MetricTarget::kEither,
     Better::kLarger,
     nullptr,
     kIsMean},
    {{"top_k_categorical_accuracy", "top_k_accuracy for one-hot targets", kTopOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     one<build_top_k>,
     kIsMean},
    {{"sparse_top_k_categorical_accuracy", "top_k_accuracy for class indices", kTopOptions},
     MetricTarget::kClassIndex,
     Better::kLarger,
     one<top_k>,
     kIsMean},
    {{"mean_squared_error", "mean of (output - target)^2", kNameOptions, "mse"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"mean_absolute_error", "mean of |output - target|", kNameOptions, "mae"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"huber", "half the square up to delta, then a line", kHuberOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"mean_absolute_percentage_error", "as the loss", kNameOptions, "mape"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"mean_squared_logarithmic_error", "as the loss", kNameOptions, "msle"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"log_cosh", "as the loss", kNameOptions, "logcosh"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"poisson", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"cosine_similarity", "cosine of the angle of the last axis' vectors", kNameOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     one<build_similarity>,
     kIsMean},
    {{"hinge", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"squared_hinge", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"categorical_hinge", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"kl_divergence", "as the loss", kNameOptions, "kld kullback_leibler_divergence"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"binary_crossentropy", "as the loss", kCrossEntropyOptions, "bce"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"categorical_crossentropy", "as the loss", kCrossEntropyOptions, "cce"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
    {{"sparse_categorical_crossentropy", "as the loss", kSparseOptions, "scce"},
     MetricTarget::kClassIndex,
     Better::kSmaller,
     one<build_loss>,
     kIsMean},
};

/// Whether the classes that options name are there, and not more guesses asked for than there are.
bool names_classes(const Options& options, const Ints& output, std::string& problem) {
  const int64_t units = output.empty() ? 1 : output.back();
  const auto given = [&](const char* name) { return options.defines(name) && options.has(name); };
  if (given("class_id") && options.integer("class_id") >= units) {
    problem = fmt::format("\"class_id\" is {}, but the output has {} for each position",
                          options.integer("class_id"), units);
  } else if (given("top_k") && options.integer("top_k") > units) {
    problem = fmt::format("\"top_k\" is {}, but the output has {} for each position",
                          options.integer("top_k"), units);
  } else if (given("target_class_ids")) {
    const int64_t classes = units == 1 ? 2 : units;
    for (const int64_t id : options.ints("target_class_ids")) {
      if (id < 0 || id >= classes)
        problem = fmt::format("\"target_class_ids\" has {}, but classes are numbered 0 to {}", id,
                              classes - 1);
    }
  }
  return problem.empty();
}

const MetricDef& metric_def(const ComponentDef& def) {
  for (const MetricDef& metric : kMetrics) {
    if (&metric.base == &def) return metric;
  }
  GRADC_UNREACHABLE();
}

}  // namespace

std::span<const ComponentDef* const> metric_components() {
  static const auto list = [] {
    std::array<const ComponentDef*, std::size(kMetrics)> pointers{};
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] = &kMetrics[i].base;
    return pointers;
  }();
  return list;
}

Better metric_direction(const ComponentDef& resolved) {
  return metric_def(resolved).better;
}

const ComponentDef* resolve_metric(const Component& metric, const Ints& output, TargetKind target,
                                   std::string& problem) {
  std::string_view type = metric.def->type;
  if (target == TargetKind::kLabel || target == TargetKind::kLabels) {
    problem =
        fmt::format("metric {} compares outputs with targets, but this output's loss takes {}",
                    type, target == TargetKind::kLabel ? "class numbers" : "lists of labels");
    return nullptr;
  }
  const bool sparse = target == TargetKind::kClassIndex;
  if (type == "accuracy") {
    const bool binary = output.empty() || output.back() == 1;
    type = sparse   ? "sparse_categorical_accuracy"
           : binary ? "binary_accuracy"
                    : "categorical_accuracy";
  } else if (type == "top_k_accuracy") {
    type = sparse ? "sparse_top_k_categorical_accuracy" : "top_k_categorical_accuracy";
  }
  const ComponentDef* resolved = find_member(Family::kMetric, type);
  const MetricDef& def = metric_def(*resolved);
  const bool either = def.target == MetricTarget::kEither;
  if (!either && (def.target == MetricTarget::kClassIndex) != sparse) {
    problem =
        sparse ? fmt::format(
                     "metric {} compares equal shapes, but this output's loss takes class indices",
                     type)
               : fmt::format(
                     "metric {} takes class indices, but this output's loss takes targets of the "
                     "output's shape",
                     type);
    return nullptr;
  }
  if (!names_classes(metric.options, output, problem)) return nullptr;
  const bool needs_classes = type.find("categorical") != std::string_view::npos;
  if (needs_classes && (output.empty() || output.back() < 2)) {
    problem = fmt::format("metric {} needs an output with one value per class", type);
    return nullptr;
  }
  return resolved;
}

std::string metric_name(const Component& metric) {
  return metric.options.has("name") ? metric.options.text("name") : metric.written_type;
}

MetricFormula metric_formula(const Component& metric, const ComponentDef& resolved) {
  return metric_def(resolved).formula(metric);
}

std::vector<MetricPart> metric_parts(const Component& metric, const ComponentDef& resolved,
                                     Val output, Val target) {
  return metric_def(resolved).parts(metric, output, target);
}

}  // namespace gradc
