// Models and weights in other programs' formats, and in gradc's own.
#pragma once

#include "frontend/model.h"
#include "frontend/native_reader.h"
#include "runtime/safetensors.h"
#include "support/result.h"

#include <string>
#include <vector>

namespace gradc::exchange {

/// The native JSON of a description in any dialect.
Result<OwnJson> native_document(const std::string& path, const InputShapes& shapes);

/// A folder for TensorFlow.js: model.json last, after its shards. `weights` may be null.
Status write_tfjs(const Model& model, const rt::SafetensorsFile* weights, const std::string& folder,
                  std::vector<std::string>* files);

/// A whole Keras 2 model in one HDF5 file.
Status write_h5(const Model& model, const rt::SafetensorsFile* weights, const std::string& path);

}  // namespace gradc::exchange
