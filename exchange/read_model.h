// Every file that gradc can take a model from: native JSON, Keras JSON, .keras, .h5, a folder of
// TensorFlow.js.
#pragma once

#include "frontend/native_reader.h"

#include <string>

namespace gradc::exchange {

inline constexpr size_t kMaxDescriptionBytes = size_t{128} << 20U;

const Dialects& all_dialects();

/// The text of the description in a file or folder: a JSON file itself, the model.json of a
/// folder, the configuration in a .keras or .h5 file.
Result<SourceFile> open_description(const std::string& path, size_t max_bytes);

/// read_model_file for all dialects.
Result<Model> read_model(const std::string& path, SourceSet& sources, const Given& given = {});

}  // namespace gradc::exchange
