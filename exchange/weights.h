// Weights in other programs' files -> tensors by gradc's names.
#pragma once

#include "frontend/model.h"
#include "runtime/safetensors.h"
#include "support/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace gradc::exchange {

/// Whether a file or folder is another program's and has weights in it (model.json with a manifest,
/// .h5, .keras): by what is in it, not by its name.
bool has_foreign_weights(const std::string& path);

/// The tensors of a model in such a file, by gradc's names, and the state of its optimizer where
/// the file has it. All that the file lacks, and all that does not fit, is reported at once; state
/// that does not is left out, with a warning (`left_out` may be null).
Status read_foreign_weights(const Model& model, const std::string& path, rt::SafetensorsFile* out,
                            std::vector<Diagnostic>* left_out = nullptr);

/// Whether arrays by gradc's names are a model's: each parameter there once, of its shape, floats
/// for floats and integers for integers, and nothing unknown. State of an optimizer, statistics of
/// data and the best weights of a checkpoint pass.
Status check_weights(const Model& model, const std::string& path, const rt::SafetensorsFile& file);

/// What makes the arrays of an older file lie otherwise.
struct Origin {
  bool first_keras = false;
  bool theano = false;
};

/// The kernel of a convolution as gradc keeps it: [spatial..., in, out] of what Keras 1 keeps with
/// channels first, and of what Theano keeps turned round. Anything else stays as it is.
void modernize(const Layer& layer, const ParameterSpec& spec, Origin origin, rt::Array& array);

/// The tensors of one layer in a file, in the file's order; or all of a file that does not say what
/// belongs together (an empty layer).
struct WeightGroup {
  std::string layer;
  std::vector<rt::Array> arrays;
  Origin origin = {};
};

/// Gives arrays the names of the model's parameters: by their paths, or layer by layer in order.
Status assign_weights(const Model& model, const std::string& path, std::vector<WeightGroup> groups,
                      rt::SafetensorsFile* out);

}  // namespace gradc::exchange
