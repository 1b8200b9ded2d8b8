// The native model JSON (docs/schema.md) -> Model. Reports every problem of the file at once.
#pragma once

#include "frontend/model.h"
#include "support/source_file.h"

#include <string>

namespace gradc {

/// Reads a model file, and the one that its "model" member names, if any. The texts stay in
/// `sources`, so that the caller can render the diagnostics.
Result<Model> read_model_file(const std::string& path, SourceSet& sources);

/// The same for text in memory; `path` is used in messages and for a relative "model" member.
Result<Model> read_model_text(const std::string& path, std::string text, SourceSet& sources);

}  // namespace gradc
