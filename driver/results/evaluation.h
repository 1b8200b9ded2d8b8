// The results of one evaluation, as data: what `gradc eval --report` writes and shows.
#pragma once

#include "frontend/model.h"
#include "runtime/commands.h"
#include "support/json.h"
#include "support/result.h"

#include <string>

namespace gradc::results {

/// Predicts all rows once more, batch by batch, and compares them with their targets. One object:
/// - "model", "data", "part" ("test" or "all"), "examples", "loss", "metrics": {name: value},
///   "notes": [text];
/// - "outputs", one for each of the model: {name, kind, positions, left_out, notes, ...}; what is
///   left out does not count, by a mask or by the loss's "ignore_class".
///
/// Of kind "classes" and "two classes" (one unit): "classes": [name], referred to by number;
/// "accuracy", "kappa" (null: 0/0), "matthews", "log_loss", "brier"; "per_class": {class,
/// precision, recall, f1, support, guessed, hits, roc_auc, average_precision (null: not defined)};
/// "averages": {micro, macro, weighted, support, classes_met}; "confusion": [true][predicted];
/// "confused": {true, predicted, count}, the most frequent first; "calibration": {error, bins:
/// {low, high, count, mean, share}}; "curves": {class, roc, pr: [[x, y]]}, thinned for drawing;
/// "mistakes": {example, position, file, true, predicted, probability}, the most confident first.
/// Of kind "labels" the same without a matrix, each label by itself: a mistake has "label" and
/// whether it was "predicted". Of kind "values": "names", "r2", "mae", "rmse" and "columns":
/// {column, r2, mae, rmse, bias, mean, deviation, dots: [[true, predicted]], every, residuals:
/// {low, high, counts}}. Of kind "none" (a loss of whole examples, or no loss) notes alone.
///
/// At most class_results.h's kMostHeldBytes are held for each output, whatever the set.
Result<Json> evaluation_results(const Model& model, rt::Instance& instance,
                                const rt::Evaluated& evaluated, const std::string& data);

}  // namespace gradc::results
