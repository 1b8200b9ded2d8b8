#include "exchange/weights.h"

#include "exchange/container.h"
#include "exchange/h5_weights.h"
#include "exchange/read_model.h"
#include "exchange/tfjs_weights.h"
#include "exchange/translate.h"

namespace gradc::exchange {
namespace {

Result<std::vector<WeightGroup>> read_keras_archive(const std::string& path) {
  GRADC_TRY(const SourceFile text, open_description(path, kMaxDescriptionBytes));
  GRADC_TRY(const OwnJson json, parse_json(text));
  DiagnosticSink sink;
  const auto model = read_keras_graph(JsonCursor(*json, text.path()), sink);
  if (model == nullptr) return Failure(sink.take());
  GRADC_TRY(const rt::Bytes archive, read_archive(path));
  GRADC_TRY(rt::Bytes weights, read_keras_member(path, archive, "model.weights.h5"));
  GRADC_TRY(const auto file, H5File::open_image(path + "/model.weights.h5", weights));
  return read_keras_variables(*file, *model);
}

Result<std::vector<WeightGroup>> read_groups(const std::string& path) {
  switch (container_kind(path)) {
    case ContainerKind::kTfjs:
      return read_tfjs_weights(file_in_folder(path));
    case ContainerKind::kH5: {
      GRADC_TRY(const auto file, H5File::open(path));
      return read_h5_weights(*file);
    }
    case ContainerKind::kKeras:
      return read_keras_archive(path);
    case ContainerKind::kOther:
      break;
  }
  return make_error(DiagKind::kInvalidData, {.file = path}, "\"{}\" has no weights in it", path);
}

}  // namespace

bool has_foreign_weights(const std::string& path) {
  return container_kind(path) != ContainerKind::kOther;
}

Status read_foreign_weights(const Model& model, const std::string& path, rt::SafetensorsFile* out) {
  GRADC_TRY(std::vector<WeightGroup> groups, read_groups(path));
  return assign_weights(model, path, std::move(groups), out);
}

}  // namespace gradc::exchange
