#include "exchange/read_model.h"

#include "exchange/container.h"
#include "exchange/h5_weights.h"
#include "exchange/translate.h"

namespace gradc::exchange {
namespace {

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kModelConfig = "model_config";

/// "x.keras" of "x.keras/config.json", the name under which messages show what is inside.
std::string around(const std::string& path) {
  for (const std::string_view inside : {kConfig, kModelConfig}) {
    const std::string end = "/" + std::string(inside);
    if (path.ends_with(end)) return path.substr(0, path.size() - end.size());
  }
  return path;
}

std::string text_of(const rt::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

const Dialects& all_dialects() {
  static constexpr Dialects kAll = {.open = open_description, .translate = translate};
  return kAll;
}

Result<SourceFile> open_description(const std::string& path, size_t max_bytes) {
  const std::string file = file_in_folder(around(path));
  switch (container_kind(file)) {
    case ContainerKind::kKeras: {
      GRADC_TRY(const rt::Bytes archive, read_archive(file));
      GRADC_TRY(const rt::Bytes text, read_keras_member(file, archive, std::string(kConfig)));
      return SourceFile(fmt::format("{}/{}", file, kConfig), text_of(text));
    }
    case ContainerKind::kH5: {
      GRADC_TRY(const auto h5, H5File::open(file));
      if (!h5_has_description(*h5)) {
        return make_error(DiagKind::kInvalidData, {.file = file},
                          "\"{}\" has weights alone, and no description of a network", file)
            .with_help("give the model's JSON, and this file by --weights");
      }
      GRADC_TRY(std::string text, h5_description(*h5));
      return SourceFile(fmt::format("{}/{}", file, kModelConfig), std::move(text));
    }
    case ContainerKind::kTfjs:
    case ContainerKind::kOther:
      break;
  }
  return read_source_file(file == around(path) ? path : file, max_bytes);
}

Result<Model> read_model(const std::string& path, SourceSet& sources, const Given& given) {
  return read_model_file(path, sources, {.dialects = &all_dialects(), .given = given});
}

}  // namespace gradc::exchange
