// The metric family: a value for each element or row, averaged over the batch (frontend/scores.cpp)
// and then over the epoch by the runtime; of the ratios two, each averaged by itself.
#include "frontend/families.h"
#include "frontend/look_through.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <array>

namespace gradc {
namespace {

enum class MetricTarget : uint8_t { kSameShape, kClassIndex, kEither };

constexpr OptionDef kName = {
    .name = "name", .type = OptionType::kString, .default_json = "null", .doc = "name in logs"};
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

constexpr OptionDef kNameOptions[] = {kName};
constexpr OptionDef kThresholdOptions[] = {{.name = "threshold",
                                            .type = OptionType::kFloat,
                                            .default_json = "0.5",
                                            .doc = "outputs above count as 1"},
                                           kName};
constexpr OptionDef kTopOptions[] = {{.name = "k",
                                      .type = OptionType::kInt,
                                      .default_json = "5",
                                      .doc = "how many guesses count",
                                      .min = 1},
                                     kName};
constexpr OptionDef kHuberOptions[] = {{.name = "delta",
                                        .type = OptionType::kFloat,
                                        .default_json = "1",
                                        .doc = "where the square becomes a line",
                                        .min = 0,
                                        .above_min = true},
                                       kName};
constexpr OptionDef kCrossEntropyOptions[] = {kFromLogits, kLabelSmoothing, kName};
constexpr OptionDef kSparseOptions[] = {kFromLogits, kName};

struct MetricDef {
  ComponentDef base;
  MetricTarget target;
  Better better;
  Val (*build)(const Component&, Val output, Val target);                  ///< [batch, ...]
  Val (*denominator)(const Component&, Val output, Val target) = nullptr;  ///< likewise
};

Val as_float(Val condition) {
  return cast(condition, DType::kF32);
}

Val build_binary_accuracy(const Component& metric, Val output, Val target) {
  const double threshold =
      metric.def->type == "accuracy" ? 0.5 : metric.options.number("threshold");
  const Val guess = as_float(greater(output, threshold));
  return as_float(equal(guess, target));
}

/// Values in the same order as a row's outputs: before a softmax, so that it need not be computed
/// for the metric alone.
Val ranking(Val output) {
  return operand_of(output, Op::kSoftmax).value_or(output);
}

// Counts of two classes: what is guessed, what is there, and both.
Val guessed(const Component& metric, Val output, Val) {
  return as_float(greater(output, metric.options.number("threshold")));
}

Val present(const Component&, Val, Val target) {
  return as_float(greater(target, 0.5));
}

Val found(const Component& metric, Val output, Val target) {
  return guessed(metric, output, target) * present(metric, output, target);
}

Val found_twice(const Component& metric, Val output, Val target) {
  return found(metric, output, target) * 2.0;
}

Val guessed_and_present(const Component& metric, Val output, Val target) {
  return guessed(metric, output, target) + present(metric, output, target);
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

Val build_similarity(const Component& metric, Val output, Val target) {
  return -build_loss(metric, output, target);
}

constexpr MetricDef kMetrics[] = {
    {{"accuracy", "share of right guesses: binary, categorical or sparse by the shapes",
      kNameOptions, "acc"},
     MetricTarget::kEither,
     Better::kLarger,
     nullptr},
    {{"binary_accuracy", "share of outputs on the right side of the threshold", kThresholdOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     build_binary_accuracy},
    {{"precision", "share of right ones among the outputs above the threshold", kThresholdOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     found,
     guessed},
    {{"recall", "share of the targets of 1 whose output is above the threshold", kThresholdOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     found,
     present},
    {{"f1_score", "harmonic mean of precision and recall, over all outputs (average=\"micro\")",
      kThresholdOptions, "f1"},
     MetricTarget::kSameShape,
     Better::kLarger,
     found_twice,
     guessed_and_present},
    {{"categorical_accuracy", "share of rows whose largest output is the target's", kNameOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     build_categorical_accuracy},
    {{"sparse_categorical_accuracy", "share of rows whose largest output is the target class",
      kNameOptions},
     MetricTarget::kClassIndex,
     Better::kLarger,
     build_sparse_accuracy},
    {{"top_k_accuracy", "share of rows with the target among the k largest outputs", kTopOptions,
      "top_k"},
     MetricTarget::kEither,
     Better::kLarger,
     nullptr},
    {{"top_k_categorical_accuracy", "top_k_accuracy for one-hot targets", kTopOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     build_top_k},
    {{"sparse_top_k_categorical_accuracy", "top_k_accuracy for class indices", kTopOptions},
     MetricTarget::kClassIndex,
     Better::kLarger,
     top_k},
    {{"mean_squared_error", "mean of (output - target)^2", kNameOptions, "mse"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"mean_absolute_error", "mean of |output - target|", kNameOptions, "mae"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"huber", "half the square up to delta, then a line", kHuberOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"mean_absolute_percentage_error", "as the loss", kNameOptions, "mape"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"mean_squared_logarithmic_error", "as the loss", kNameOptions, "msle"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"log_cosh", "as the loss", kNameOptions, "logcosh"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"poisson", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"cosine_similarity", "cosine of the angle of the last axis' vectors", kNameOptions},
     MetricTarget::kSameShape,
     Better::kLarger,
     build_similarity},
    {{"hinge", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"squared_hinge", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"categorical_hinge", "as the loss", kNameOptions},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"kl_divergence", "as the loss", kNameOptions, "kld kullback_leibler_divergence"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"binary_crossentropy", "as the loss", kCrossEntropyOptions, "bce"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"categorical_crossentropy", "as the loss", kCrossEntropyOptions, "cce"},
     MetricTarget::kSameShape,
     Better::kSmaller,
     build_loss},
    {{"sparse_categorical_crossentropy", "as the loss", kSparseOptions, "scce"},
     MetricTarget::kClassIndex,
     Better::kSmaller,
     build_loss},
};

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
  const bool sparse = target == TargetKind::kClassIndex;
  std::string_view type = metric.def->type;
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
  if ((def.target == MetricTarget::kClassIndex) != sparse) {
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

MetricValues build_metric(const Component& metric, const ComponentDef& resolved, Val output,
                          Val target) {
  const MetricDef& def = metric_def(resolved);
  const Val values = def.build(metric, output, target);
  if (def.denominator == nullptr) return {values};
  return {values, def.denominator(metric, output, target)};
}

}  // namespace gradc
