// What examples weigh in the loss that is trained on: "class_weight" of the training section.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/model.h"

namespace gradc {

/// Reads "class_weight": of the only output, or of each by its name. The losses are known.
void read_example_weights(ObjectReader& reader, const Model& model, Training& training);

/// "sample_weight" needs losses that have a value for each example.
void check_sample_weight(DiagnosticSink& sink, const JsonCursor& training_at, const Model& model,
                         const Training& training);

/// Begins the name of the f32 sum of what the positions of an output weigh in a batch, where
/// weighted metrics ask for it.
inline constexpr const char* kWeightSumOutput = "weight_sum/";
/// Whether a metric counts examples and classes by their weights.
bool is_weighted(const Component& metric);
/// Whether examples or classes of an output have weights.
bool is_weighed(const Training& training, size_t output);

/// How many classes the targets of a loss tell apart; 0: they are no classes, or more than one of
/// two for each position.
int64_t classes_of(const Model& model, const OutputLoss& loss);

}  // namespace gradc
