// Reading one layer by its table: its options, or the attributes of a raw op.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/model.h"

#include <initializer_list>
#include <memory>

namespace gradc {

/// Everything behind `layer.def`, `name` and the type as written; `other` members belong to the
/// caller. False after a report.
bool read_layer_members(DiagnosticSink& sink, const JsonCursor& at,
                        std::initializer_list<const char*> other, Layer& layer);

/// A layer that is an option of another: without "inputs", named as its type unless it has a
/// name. Null after a report.
std::shared_ptr<const Layer> read_inner_layer(DiagnosticSink& sink, const JsonCursor& at);

}  // namespace gradc
