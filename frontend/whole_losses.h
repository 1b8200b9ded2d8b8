// Losses whose value is of an example, or of a batch, as a whole: no value belongs to one position.
#pragma once

#include "frontend/options.h"
#include "ir/builder.h"

namespace gradc {

struct WholeLossArgs {
  const Options& options;
  Val output;         ///< [batch, ...]
  Val target;         ///< as the loss's TargetKind says
  Val examples = {};  ///< bool[batch]: which examples count; empty: all
  Val steps = {};     ///< bool[batch, steps]: which steps of the output count; empty: all
};

/// Keras 3's `dice`: 1 - 2 sum(t y) / (sum(t) + sum(y) + 1e-7) over the option "axis", all axes
/// where it is null; of what is left, the batch is the first axis unless it is summed over.
Val build_dice(const WholeLossArgs& a);
/// Keras 3's `tversky`: 1 - i / (i + alpha sum((1 - y) t) + beta sum(y (1 - t)) + 1e-7), with
/// i = sum(t y), likewise.
Val build_tversky(const WholeLossArgs& a);
/// Whether the option "axis" has the batch, or is null.
bool sums_batch(const Options& options);

/// Schroff, Kalenichenko, Philbin: "FaceNet", 2015, as TensorFlow Addons has it. Outputs are
/// embeddings [batch, size], targets their classes, i32[batch]. For each anchor and each other
/// example of its class ("positive") the negative is the nearest of another class that is farther
/// than the positive, or where there is none the farthest of another class. The result, a scalar,
/// is the mean of max(0, margin + d(anchor, positive) - d(anchor, negative)) over those pairs.
Val build_triplet_semi_hard(const WholeLossArgs& a);
/// Hermans, Beyer, Leibe: "In defense of the triplet loss", 2017: for each anchor the farthest
/// positive and the nearest negative, the mean over the anchors that have both. With "soft"
/// log(1 + exp(d(anchor, positive) - d(anchor, negative))), without a margin.
Val build_triplet_hard(const WholeLossArgs& a);

/// Graves, Fernandez, Gomez, Schmidhuber: "Connectionist temporal classification", 2006, Keras 3's
/// `ctc`: outputs are logits [batch, steps, classes], of which class 0 is the blank, targets are
/// labels i32[batch, labels] filled up with 0. The result is -log p(labels), [batch]: infinite
/// where there are too few steps for the labels, or 0 with "zero_infinity".
Val build_ctc(const WholeLossArgs& a);

}  // namespace gradc
