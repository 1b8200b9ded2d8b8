// What the writers of the formats share.
#pragma once

#include "frontend/model.h"
#include "runtime/output_file.h"
#include "runtime/safetensors.h"
#include "support/json.h"
#include "support/result.h"

#include "exchange/write.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc::exchange {

Status write_file(const std::string& path, std::string_view bytes);
/// Files that belong together: none appears before all are on the disk.
class OutputFiles {
 public:
  Status prepare(const std::string& path, std::string_view bytes);
  /// In the order in which they were prepared; appends their names.
  Status commit(std::vector<std::string>* written);

 private:
  std::vector<std::pair<std::string, std::unique_ptr<rt::OutputFile>>> files_;
};
/// For people to read as well.
std::string text_of(const Json& json);

/// A layer, or an input, and its parameters, in the order of keras_order.
struct LayerWeights {
  const Layer* layer = nullptr;                                  ///< null: an input
  std::string name;                                              ///< as it is called in the file
  std::vector<std::pair<std::string, const rt::Array*>> arrays;  ///< by the parameters' own names
};
/// `names` are those of the model's layers in the file.
Result<std::vector<LayerWeights>> weights_by_layer(const Model& model,
                                                   const std::vector<std::string>& names,
                                                   const rt::SafetensorsFile& file);

Status write_h5(const Model& model, const rt::SafetensorsFile* weights, const std::string& path,
                Written* written);
Status write_keras(const Model& model, const rt::SafetensorsFile* weights, const std::string& path,
                   Written* written);
Status write_onnx(const Model& model, const rt::SafetensorsFile* weights, const std::string& path,
                  Written* written);
/// Whether ONNX has all that predict computes.
Status check_onnx(const Model& model);
/// A folder: model.json last, after its shards.
Status write_tfjs(const Model& model, const rt::SafetensorsFile* weights, const std::string& folder,
                  Written* written);

}  // namespace gradc::exchange
