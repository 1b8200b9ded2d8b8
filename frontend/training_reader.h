// The "training" and "data" sections.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/model.h"

#include <span>

namespace gradc {

/// Reads losses, optimizer, metrics and the loop's options; the model's outputs must be known.
void read_training(const JsonCursor& at, DiagnosticSink& sink, Model& model);

/// Reads the rules for inputs and targets, of the "data" sections of files around each other, the
/// outermost last: its rules stand for those of the same name before.
void read_data(std::span<const JsonCursor> sections, DiagnosticSink& sink, Model& model);

/// "augment" of a rule (augment_rules.cpp).
void read_augment(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                  DataRule& rule);
/// Whether "mixup" and "cutmix" can be of all inputs and targets of the model; its rules are read.
void check_mixing(DiagnosticSink& sink, const Model& model);

/// "resize", "series" and "sound" of an input's rule (file_rules.cpp).
void read_resize(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                 DataRule& rule);
void read_series(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                 DataRule& rule);
void read_sound(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec, DataRule& rule);

/// Parts that a column of dates may become, in the order of ColumnRule::Part, from 1.
inline constexpr const char* kDateParts =
    "year quarter month day day_of_week day_of_year hour minute second days";

/// "columns" of an input's rule (column_rules.cpp); its "text" and "series" are known.
void read_columns(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                  DataRule& rule);

/// The option table of the training section's own members, for the schema.
std::span<const OptionDef> training_options();

}  // namespace gradc
