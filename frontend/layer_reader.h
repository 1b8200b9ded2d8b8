// Reading one layer by its table: its options, or the attributes of a raw op.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/model.h"

#include <memory>

namespace gradc {

/// Everything of an element of "layers" behind `layer.def`, `name`, the type as written and the
/// model's policy. False after a report.
bool read_layer_members(DiagnosticSink& sink, const JsonCursor& at, Layer& layer);

/// A layer that is an option of another: without "inputs" and "dtype", named as its type unless it
/// has a name. Null after a report.
std::shared_ptr<const Layer> read_inner_layer(DiagnosticSink& sink, const JsonCursor& at);

}  // namespace gradc
