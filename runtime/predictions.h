// What predict writes: arrays as .npy or .safetensors, or a table with names for people and
// spreadsheets (.csv).
#pragma once

#include "runtime/array.h"
#include "runtime/instance.h"

namespace gradc::rt {

/// Refuses, before anything is computed, a file that cannot hold the model's outputs.
Status check_prediction_file(const Instance& instance, const char* out);

/// Writes the outputs (in the model's order) in the format that the file's name says.
Status write_predictions(const Instance& instance, const Vec<Array>& outputs, const char* out);

/// Predictions as CSV, quoted as RFC 4180 says, numbers as the shortest text that reads back. Of a
/// classification the first column is the class, by name where the model knows names; then a column
/// for each unit of an output, named by class, target column or output. With several outputs the
/// class columns carry the output's name in front. Outputs of more than one dimension give one line
/// for each position.
Status check_csv_predictions(const Instance& instance, const char* out);
Status write_csv_predictions(const Instance& instance, const Vec<Array>& outputs, const char* out);

}  // namespace gradc::rt
