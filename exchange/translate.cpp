#include "exchange/translate.h"

#include "support/utf8.h"

#include "exchange/keras_model.h"
#include "exchange/keras_names.h"
#include "exchange/keras_options.h"
#include "exchange/keras_training.h"
#include "exchange/keras_writer.h"

namespace gradc::exchange {
namespace {

constexpr const char* kTfjsTraining = "trainingConfig";

/// The object with "class_name" and "config": the document itself, or inside of what is around.
std::optional<JsonCursor> find_model(const JsonCursor& root) {
  if (root.has("class_name") && root.has("config")) return root;
  for (const char* around : {"modelTopology", "model_config"}) {
    if (!root.has(around)) continue;
    if (auto model = find_model(root.member(around))) return model;
  }
  return std::nullopt;
}

/// "training_config" or "compile_config", around the model or beside it; "trainingConfig" is what
/// TensorFlow.js itself says of training, where there is none of Keras's.
std::optional<JsonCursor> find_training(const JsonCursor& root) {
  for (const char* around : {"modelTopology", "model_config"}) {
    if (!root.has(around)) continue;
    if (auto inner = find_training(root.member(around))) return inner;
  }
  for (const char* key : {"training_config", "compile_config", kTfjsTraining}) {
    if (root.has(key) && root.value()[key].is_object() && !root.value()[key].empty())
      return root.member(key);
  }
  return std::nullopt;
}

/// Whether the file is one of the dialects at all; graph models of TensorFlow are told apart.
bool is_foreign(const JsonCursor& root) {
  const Json& value = root.value();
  if (!value.is_object() || value.contains("layers")) return false;
  for (const char* key : {"class_name", "modelTopology", "model_config"}) {
    if (value.contains(key)) return true;
  }
  return false;
}

void report_no_model(const JsonCursor& root, DiagnosticSink& sink) {
  const bool graph = root.value().value("format", "") == "graph-model" ||
                     (root.has("modelTopology") && root.member("modelTopology").has("node"));
  if (graph) {
    sink.error(
            DiagKind::kUnsupported, root.place(),
            "this is a TensorFlow.js graph model: operations without layers, which are not to be "
            "trained")
        .with_help("convert the Keras model it came from with --output_format=tfjs_layers_model");
    return;
  }
  sink.error(DiagKind::kMissingOption, root.place(),
             "the file has no object with \"class_name\" and \"config\": no Keras model");
}

}  // namespace

std::shared_ptr<KerasModel> read_keras_graph(const JsonCursor& root, DiagnosticSink& sink) {
  const auto at = find_model(root);
  if (!at) {
    report_no_model(root, sink);
    return nullptr;
  }
  const Context context{sink, find_dialect(root)};
  auto model = read_keras_model(context, *at);
  return sink.has_errors() ? nullptr : model;
}

std::optional<Translation> translate(const JsonCursor& root, const InputShapes& shapes,
                                     DiagnosticSink& sink) {
  if (!is_foreign(root)) return std::nullopt;
  const auto at = find_model(root);
  if (!at) {
    report_no_model(root, sink);
    return std::nullopt;
  }
  Context context{sink, find_dialect(root)};
  const auto training = find_training(root);
  if (training && training->pointer().ends_with(kTfjsTraining)) context.dialect.tfjs = true;
  const std::string class_name = string_member(at->value(), "class_name");
  if (!is_model_class(class_name)) {
    sink.error(DiagKind::kUnsupported, at->member("class_name").place(),
               "the model is of class {}, written in Python: its file does not say its layers",
               printable(class_name, 80))
        .with_help("build it with keras.Model(inputs, outputs), or Sequential, and save that");
    return std::nullopt;
  }
  const auto model = read_keras_model(context, *at);
  if (model == nullptr) return std::nullopt;
  const bool complete = !sink.has_errors();  // else references to what could not be read follow
  if (!complete) return std::nullopt;
  NativeNetwork network = write_network(context, *model, shapes);
  Translation result;
  Piece document;
  document.places.emplace_back("", root.pointer());
  if (!model->name.empty() && is_all_printable(model->name) && model->name.size() <= kMaxNameBytes)
    document.json["name"] = model->name;
  document.put("inputs", std::move(network.inputs));
  if (!network.blocks.json.empty()) document.put("blocks", std::move(network.blocks));
  document.put("layers", std::move(network.layers));
  document.put("outputs", std::move(network.outputs));
  const bool compiled =
      training && ((training->has("loss") && !training->value()["loss"].is_null()));
  document.put("training", compiled ? translate_training(context, *training, network)
                                    : assume_training(network, root.file(), result.assumed));
  if (sink.has_errors()) return std::nullopt;
  document.tell("", result.places);
  result.json = OwnJson(std::move(document.json));
  return result;
}

}  // namespace gradc::exchange
