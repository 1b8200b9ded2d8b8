// What metrics with several parts are made of; outputs and targets as those of build_loss.
#pragma once

#include "frontend/metric_formulas.h"
#include "frontend/options.h"

#include <vector>

namespace gradc {

using Parts = std::vector<MetricPart>;

/// 0 or 1, f32.
Val as_float(Val condition);
/// Values in the same order as a row's outputs: before a softmax, so that it need not be computed
/// for the metric alone.
Val ranking(Val output);

/// Counts of two classes: found, and guessed or present.
Parts precision_parts(const Component& metric, Val output, Val target);
Parts recall_parts(const Component& metric, Val output, Val target);
/// (1 + beta^2) found, and guessed + beta^2 present: over everything, or of each class (then what
/// it weighs, if that differs).
Parts fbeta_parts(const Component& metric, Val output, Val target);
MetricFormula average_formula(const Component& metric);
/// Right guesses; of each class how often it is guessed and present.
Parts agreement_parts(const Component& metric, Val output, Val target);
/// Of each class the intersection and union of guesses and targets.
Parts overlap_parts(const Component& metric, Val output, Val target);
/// Of each threshold true and false positives; positives and negatives.
Parts auc_parts(const Component& metric, Val output, Val target);
MetricFormula auc_formula(const Component& metric);
/// Of each output the squared error, the target and its square.
Parts r_squared_parts(const Component& metric, Val output, Val target);

}  // namespace gradc
