#include "exchange/weights.h"

#include "support/utf8.h"

#include "exchange/container.h"
#include "exchange/h5_weights.h"
#include "exchange/read_model.h"
#include "exchange/tfjs_weights.h"
#include "exchange/translate.h"
#include <fmt/ranges.h>

#include <set>

namespace gradc::exchange {
namespace {

struct FileWeights {
  std::vector<WeightGroup> groups;
  std::optional<StateVariables> state;
};

Result<FileWeights> read_keras_archive(const std::string& path) {
  GRADC_TRY(const SourceFile text, open_description(path, kMaxDescriptionBytes));
  GRADC_TRY(const OwnJson json, parse_json(text));
  DiagnosticSink sink;
  const auto model = read_keras_graph(JsonCursor(*json, text.path()), sink);
  if (model == nullptr) return Failure(sink.take());
  GRADC_TRY(const rt::Bytes archive, read_archive(path));
  GRADC_TRY(rt::Bytes weights, read_keras_member(path, archive, "model.weights.h5"));
  GRADC_TRY(const auto file, H5File::open_image(path + "/model.weights.h5", weights));
  FileWeights read;
  GRADC_TRY(read.groups, read_keras_variables(*file, *model));
  GRADC_TRY(read.state, read_keras_state(*file));
  return read;
}

Result<FileWeights> read_file(const std::string& path) {
  FileWeights read;
  switch (container_kind(path)) {
    case ContainerKind::kTfjs: {
      GRADC_TRY(TfjsWeights all, read_tfjs_weights(file_in_folder(path)));
      read.groups = std::move(all.groups);
      if (!all.optimizer.empty())
        read.state = StateVariables{std::move(all.optimizer), StateLayout::kTfjs};
      return read;
    }
    case ContainerKind::kH5: {
      GRADC_TRY(const auto file, H5File::open(path));
      GRADC_TRY(read.groups, read_h5_weights(*file));
      GRADC_TRY(read.state, read_h5_state(*file));
      return read;
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

Status read_foreign_weights(const Model& model, const std::string& path, rt::SafetensorsFile* out,
                            std::vector<Diagnostic>* left_out) {
  GRADC_TRY(FileWeights file, read_file(path));
  GRADC_TRY_STATUS(assign_weights(model, path, std::move(file.groups), out));
  if (!file.state) return Ok{};
  const std::string problem = assign_state(model, std::move(*file.state), out);
  if (!problem.empty() && left_out != nullptr) {
    left_out->push_back({DiagKind::kLeftOut,
                         Severity::kWarning,
                         fmt::format("the optimizer's state is left out: {}", problem),
                         {.file = path},
                         {},
                         "training starts with fresh state"});
  }
  return Ok{};
}

Status check_weights(const Model& model, const std::string& path, const rt::SafetensorsFile& file) {
  std::vector<Diagnostic> problems;
  const auto problem = [&](DiagKind kind, std::string text) {
    problems.push_back(make_error(kind, {.file = path}, "{}", std::move(text)));
  };
  std::set<std::string_view> known;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      const std::string name = layer.name + "/" + spec.name;
      const rt::Array* array = file.find(name.c_str());
      if (array != nullptr) known.insert({array->name.c_str(), array->name.size()});
      if (spec.carried) continue;
      if (array == nullptr) {
        problem(DiagKind::kInvalidData, fmt::format("the file has no weights for \"{}\" [{}]", name,
                                                    fmt::join(spec.shape, ", ")));
        continue;
      }
      const Ints shape(array->dims.begin(), array->dims.end());
      if (shape != spec.shape || rt::is_float(array->dtype) != is_float(spec.dtype))
        problem(DiagKind::kShapeMismatch,
                fmt::format("\"{}\" is {}, but the model's is {}", printable(name, 120),
                            rt::array_type_text(*array).c_str(),
                            to_string(TensorSpec{spec.dtype, spec.shape})));
    }
  }
  for (const rt::Array& array : file.arrays) {
    const std::string_view name(array.name.c_str(), array.name.size());
    const std::string_view bare = name.substr(std::min(name.find_first_not_of('_'), name.size()));
    const bool other =
        bare.starts_with("optimizer/") || bare.starts_with("data/") || bare.starts_with("best/");
    if (!other && known.count(name) == 0)
      problem(DiagKind::kInvalidData,
              fmt::format("the file's \"{}\" {} is in no layer of the model", printable(name, 120),
                          rt::array_type_text(array).c_str()));
  }
  if (!problems.empty()) return Failure(std::move(problems));
  return Ok{};
}

}  // namespace gradc::exchange
