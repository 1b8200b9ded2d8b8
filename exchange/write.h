// Models and weights in other programs' formats, and in gradc's own.
#pragma once

#include "frontend/model.h"
#include "frontend/native_reader.h"
#include "runtime/safetensors.h"
#include "support/result.h"

#include <string>
#include <vector>

namespace gradc::exchange {

/// The native JSON of a description in any dialect, with the values that are given.
Result<OwnJson> native_document(const std::string& path, const Given& given);

enum class FileFormat : uint8_t {
  kNative,  ///< gradc's own, or none that is known
  kTfjs,
  kH5,
  kKeras,
  kOnnx,  ///< what predict computes, with the weights
};
/// By the name's ending: ".keras", ".h5" (or ".hdf5"), ".onnx", or "/"; a folder with a model.json
/// in it is one without.
FileFormat format_of_name(const std::string& path);
/// "folder/model.json" of a folder, else the path: the file that is written last.
std::string main_file(FileFormat format, const std::string& path);

/// What was written, and what could not be said there.
struct Written {
  std::vector<std::string> files;
  std::vector<Diagnostic> left_out;
};

/// Whether the model can be written at all: everything that the format does not have.
Status check_writable(FileFormat format, const Model& model);

/// A whole model: description, training, weights, and the optimizer's state where `weights` has it.
/// `weights` may be null; they must be the model's (exchange/weights.h).
Status write_model(FileFormat format, const Model& model, const rt::SafetensorsFile* weights,
                   const std::string& path, Written* written);

}  // namespace gradc::exchange
