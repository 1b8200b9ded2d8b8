// Keras's JSON, of all versions and with what .h5, .keras and tfjs put around it -> native JSON.
#pragma once

#include "frontend/native_reader.h"

#include "exchange/keras_model.h"

#include <memory>
#include <optional>

namespace gradc::exchange {

/// Nothing for a native description, and after a report.
std::optional<Translation> translate(const JsonCursor& root, const InputShapes& shapes,
                                     DiagnosticSink& sink);

/// The graph alone, as it stands in the file; null after a report.
std::shared_ptr<KerasModel> read_keras_graph(const JsonCursor& root, DiagnosticSink& sink);

}  // namespace gradc::exchange
