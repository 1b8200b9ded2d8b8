// The tables of the component families: each entry is its ComponentDef plus what the graph builder
// needs of it.
#pragma once

#include "frontend/metric_formulas.h"
#include "frontend/options.h"
#include "ir/builder.h"
#include "ir/optimizer_spec.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <span>

namespace gradc {

std::span<const ComponentDef* const> activation_components();
std::span<const ComponentDef* const> initializer_components();
std::span<const ComponentDef* const> regularizer_components();
std::span<const ComponentDef* const> constraint_components();
std::span<const ComponentDef* const> loss_components();
std::span<const ComponentDef* const> metric_components();
std::span<const ComponentDef* const> optimizer_components();
std::span<const ComponentDef* const> schedule_components();

/// y = f(x) in ops of the graph.
Val build_activation(const Component& activation, Val x);
/// Like build_activation; null or linear gives x itself.
Val apply_activation(const Component* activation, Val x);
/// The shape that an activation makes of an example's shape (only glu changes it), or a diagnostic
/// text.
bool infer_activation(const Component& activation, const Ints& input, Ints& output,
                      std::string& problem);

/// How a parameter of that shape starts.
InitSpec make_init_spec(const Component& initializer, const Ints& shape);
/// The same of what is written in the IR's text form; nothing where there is no such kind.
std::optional<InitSpec> make_init_spec(const InitSpec& written, const Ints& shape);
/// True when the initializer can make a tensor of that rank (identity and orthogonal cannot make
/// all).
bool initializer_fits(const Component& initializer, size_t rank);

/// The scalar penalty of one parameter; empty: none.
Val build_regularizer(const Component& regularizer, Val parameter);
/// False when it is not defined for tensors of that rank (orthogonal_regularizer).
bool regularizer_fits(const Component& regularizer, size_t rank);

/// A parameter as the constraint wants it.
Val build_constraint(const Component& constraint, Val parameter);
/// False when a tensor of that rank has not all of its axes.
bool constraint_fits(const Component& constraint, size_t rank);

/// What a loss or metric expects beside an output: same shape and f32, one class index per row, one
/// class number per example (which need be no index), or a list of labels per example.
enum class TargetKind : uint8_t { kSameShape, kClassIndex, kLabel, kLabels };

TargetKind loss_target(const Component& loss);
/// The target's shape for an output that the loss fits, both without the batch axis.
Ints loss_target_shape(const Component& loss, Ints output);

/// The targets that a loss is defined for; data are checked against it before training starts.
struct TargetDomain {
  /// Whether targets are classes, which may come as names: two in one value (0 and 1), or as many
  /// as the output's last axis has (as indices, or as rows).
  enum class Classes : uint8_t { kNone, kTwo, kLastAxis };

  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  bool above_min = false;        ///< min itself is excluded
  bool whole = false;            ///< whole numbers only
  bool rows_sum_to_one = false;  ///< along the last axis
  Classes classes = Classes::kNone;
};

const TargetDomain& loss_domain(const Component& loss);
/// Whether the output is before its softmax or sigmoid.
bool loss_of_logits(const Component& loss);
/// False, with the reason, when a loss cannot work on an output of that shape (without the batch
/// axis).
bool loss_fits(const Component& loss, const Ints& output, std::string& problem);
/// The targets that do not count, where the loss has "ignore_class".
std::optional<int64_t> ignored_class(const Component& loss);
/// Loss values of the output's shape, which are a mean over the last axis, or without that axis;
/// `target` is f32 like the output, or i32 class indices without the output's last axis.
Val build_loss(const Component& loss, Val output, Val target);
/// Whether a loss is of examples or batches as a whole: then build_whole_loss stands for
/// build_loss.
bool is_whole_loss(const Component& loss);
/// Of batches: values have no batch axis, and the loss of a data set is the mean over its batches.
bool is_batch_loss(const Component& loss);
/// Whether the output may have steps that do not count.
bool loss_takes_mask(const Component& loss);
/// Values [batch, ...], or without the batch of is_batch_loss; `examples` is bool[batch], `steps`
/// bool[batch, steps]: what counts; empty: all.
Val build_whole_loss(const Component& loss, Val output, Val target, Val examples, Val steps);
/// -log(p) of the target classes; `options` has "from_logits".
Val sparse_categorical_crossentropy(const Options& options, Val output, Val target);
/// "reduction": the values of all positions are added up, not averaged.
bool sums_positions(const Component& loss);

/// Which values of a metric are the better ones.
enum class Better : uint8_t { kSmaller, kLarger };
Better metric_direction(const ComponentDef& resolved);

/// "accuracy" and "top_k" stand for several; the concrete one depends on the output's and target's
/// shapes, as in Keras. Null when the metric does not fit; then `problem` says why.
const ComponentDef* resolve_metric(const Component& metric, const Ints& output, TargetKind target,
                                   std::string& problem);
/// The name in logs: Keras's name of the metric as it was written ("accuracy", "mae", ...).
std::string metric_name(const Component& metric);
/// What a metric follows from, and how. A mean has one part.
MetricFormula metric_formula(const Component& metric, const ComponentDef& resolved);
std::vector<MetricPart> metric_parts(const Component& metric, const ComponentDef& resolved,
                                     Val output, Val target);

/// The step op, slots and clipping of an optimizer. The learning rate is a value of the graph, see
/// build_schedule.
OptimizerSpec make_optimizer_spec(const Component& optimizer);
/// The learning rates that an optimizer is used with; others are most likely mistakes.
struct RateRange {
  double low = 0.0;
  double high = 0.0;
};
RateRange usual_learning_rates(const Component& optimizer);
/// The highest rate of a schedule.
double highest_rate(const Component& schedule);
/// The learning rate, f64[], as a function of the iteration (f64[], from 0).
Val build_schedule(const Component& schedule, Val iteration);

}  // namespace gradc
