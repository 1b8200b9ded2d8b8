// gradc convert: a model, and its weights where there are some, in another format.
#include "driver/output.h"
#include "driver/runtime_status.h"
#include "tools/gradc/command.h"

#include "exchange/read_model.h"
#include "exchange/torch_weights.h"
#include "exchange/weights.h"
#include "exchange/write.h"

#include <cstdio>
#include <filesystem>
#include <memory>

namespace gradc::tool {

namespace {

struct ConvertCommandLine {
  std::string in, out, weights, map;
};

/// A safetensors file is of weights under PyTorch's names; gradc's own go with a native model.
bool writes_torch(const ConvertCommandLine& options) {
  return has_extension(options.out, "safetensors");
}

Result<exchange::ModuleMap> read_map(const ConvertCommandLine& options) {
  if (options.map.empty()) return exchange::ModuleMap();
  return exchange::read_module_map(options.map);
}

/// Tensors under PyTorch's names; which became what is told.
Result<rt::SafetensorsFile> read_torch(const ConvertCommandLine& options, const Model& model,
                                       rt::SafetensorsFile file) {
  GRADC_TRY(const exchange::ModuleMap map, read_map(options));
  rt::SafetensorsFile named;
  std::vector<std::string> lines;
  GRADC_TRY_STATUS(
      exchange::assign_torch_weights(model, options.weights, std::move(file), map, &named, &lines));
  for (const std::string& line : lines)
    std::fprintf(stderr, "%s\n", line.c_str());
  return named;
}

/// The weights of --weights, else those in the model's file; nothing where there are none.
Result<std::optional<rt::SafetensorsFile>> find_weights(const ConvertCommandLine& options,
                                                        const Model& model) {
  const std::string& path = options.weights.empty() ? options.in : options.weights;
  const bool map_is_read = !options.map.empty() && !writes_torch(options);
  if (map_is_read && options.weights.empty()) {
    return make_error(
        DiagKind::kInvalidUsage, {},
        "--map is of weights under PyTorch's names: of --weights FILE, or of an --out "
        "that ends with .safetensors");
  }
  if (map_is_read && exchange::has_foreign_weights(path)) {
    return make_error(DiagKind::kInvalidUsage, {},
                      "--map is of weights under PyTorch's names, and \"{}\" has its own", path);
  }
  rt::SafetensorsFile file;
  if (exchange::has_foreign_weights(path)) {
    std::vector<Diagnostic> left_out;
    GRADC_TRY_STATUS(exchange::read_foreign_weights(model, path, &file, &left_out));
    report(left_out);
  } else if (!options.weights.empty()) {
    GRADC_TRY_STATUS(from_runtime(rt::read_safetensors(path.c_str(), &file)));
    if (map_is_read || exchange::has_torch_names(file)) {
      GRADC_TRY(file, read_torch(options, model, std::move(file)));
    }
    GRADC_TRY_STATUS(exchange::check_weights(model, path, file));
  } else {
    return std::optional<rt::SafetensorsFile>();
  }
  return std::optional<rt::SafetensorsFile>(std::move(file));
}

/// Paths of files are from the folder of the file that names them.
void move_paths(Json& json, const std::filesystem::path& from, const std::filesystem::path& to) {
  if (json.is_object() && json.contains("type") && json.contains("file") &&
      json["file"].is_string()) {
    const std::filesystem::path file = json["file"].get<std::string>();
    std::error_code error;
    const auto moved = std::filesystem::relative(from / file, to.empty() ? "." : to, error);
    if (file.is_relative() && !error && !moved.empty()) json["file"] = moved.string();
  }
  if (json.is_structured()) {
    for (Json& inner : json)
      move_paths(inner, from, to);
  }
}

std::string beside(const std::string& out) {
  return std::filesystem::path(out).replace_extension(".safetensors").string();
}

Status write_tensors(const std::string& path, const rt::SafetensorsFile& file,
                     std::vector<std::string>* files) {
  std::vector<rt::TensorView> views;
  for (const rt::Array& array : file.arrays)
    views.push_back({array.name.c_str(),
                     array.dtype,
                     {array.dims.data(), array.dims.size()},
                     array.data.data(),
                     array.data.size()});
  GRADC_TRY_STATUS(from_output(rt::write_safetensors(
      path.c_str(), {views.data(), views.size()}, {file.metadata.data(), file.metadata.size()})));
  files->push_back(path);
  return Ok{};
}

/// The weights under PyTorch's names; which became what is told.
Status write_torch(const ConvertCommandLine& options, const Model& model,
                   const rt::SafetensorsFile* weights, std::vector<std::string>* files) {
  if (weights == nullptr) {
    return make_error(DiagKind::kInvalidUsage, {}, "\"{}\" is to hold weights, and there are none",
                      options.out)
        .with_help("name them by --weights FILE");
  }
  GRADC_TRY(const exchange::ModuleMap map, read_map(options));
  rt::SafetensorsFile named;
  std::vector<std::string> lines;
  GRADC_TRY_STATUS(exchange::torch_weights(model,
                                           options.weights.empty() ? options.in : options.weights,
                                           *weights, map, &named, &lines));
  GRADC_TRY_STATUS(write_tensors(options.out, named, files));
  for (const std::string& line : lines)
    std::fprintf(stderr, "%s\n", line.c_str());
  return Ok{};
}

/// Native JSON, and safetensors beside it: neither appears where the other cannot be written.
Status write_native(const ConvertCommandLine& options, const rt::SafetensorsFile* weights,
                    std::vector<std::string>* files) {
  GRADC_TRY(OwnJson document, exchange::native_document(options.in, given_of_model()));
  const auto from = std::filesystem::path(options.in).parent_path();
  const auto to = std::filesystem::path(options.out).parent_path();
  std::error_code error;
  if (!std::filesystem::equivalent(from.empty() ? "." : from, to.empty() ? "." : to, error))
    move_paths(*document, from, to);
  const std::string text = json_text(*document);
  rt::OutputFile json;
  GRADC_TRY_STATUS(from_output(json.open(options.out.c_str())));
  GRADC_TRY_STATUS(from_output(json.write(text.data(), text.size())));
  GRADC_TRY_STATUS(from_output(json.finish()));
  if (weights != nullptr) {
    GRADC_TRY_STATUS(write_tensors(beside(options.out), *weights, files));
  }
  GRADC_TRY_STATUS(from_output(json.commit()));
  files->push_back(options.out);
  return Ok{};
}

/// A name without an ending is a folder.
exchange::FileFormat format_of(const std::string& path) {
  std::error_code error;
  const std::filesystem::path out(path);
  if (!out.has_extension() || std::filesystem::is_directory(out, error))
    return exchange::FileFormat::kTfjs;
  return exchange::format_of_name(path);
}

/// No file of the input is overwritten: the model, the weights, the map, a folder with its shards.
Status check_inputs(const ConvertCommandLine& options) {
  const bool folder = format_of(options.out) == exchange::FileFormat::kTfjs;
  if (folder && rt::is_standard_output(options.out.c_str())) {
    return make_error(DiagKind::kInvalidUsage, {},
                      "convert writes files by their ending, and none to standard output");
  }
  for (const std::string& input : {options.in, options.weights, options.map}) {
    if (input.empty()) continue;
    GRADC_TRY_STATUS(check_apart(options.out, input));
    if (has_extension(options.out, "json"))
      GRADC_TRY_STATUS(check_apart(beside(options.out), input));
    std::error_code error;
    const std::filesystem::path path(input);
    const bool inside = std::filesystem::is_directory(path, error);
    const auto holder = inside ? path : path.has_parent_path() ? path.parent_path() : ".";
    if (folder && (inside || path.filename() == "model.json"))
      GRADC_TRY_STATUS(check_apart(exchange::main_file(exchange::FileFormat::kTfjs, options.out),
                                   (holder / "model.json").string()));
    if (inside) GRADC_TRY_STATUS(check_apart(options.out, (path / "model.json").string()));
  }
  return Ok{};
}

Status convert(const ConvertCommandLine& options, SourceSet& sources, exchange::Written* written) {
  GRADC_TRY_STATUS(check_inputs(options));
  GRADC_TRY(const Model model, exchange::read_model(options.in, sources, given_of_model()));
  report(model.warnings);
  GRADC_TRY(const std::optional<rt::SafetensorsFile> weights, find_weights(options, model));
  const rt::SafetensorsFile* given = weights ? &*weights : nullptr;
  if (has_extension(options.out, "json")) return write_native(options, given, &written->files);
  if (writes_torch(options)) return write_torch(options, model, given, &written->files);
  const exchange::FileFormat format = format_of(options.out);
  if (format == exchange::FileFormat::kNative) {
    return make_error(DiagKind::kInvalidUsage, {},
                      "\"{}\" ends with none of .json (native, with .safetensors beside it), "
                      ".keras, .h5, .onnx, .safetensors (weights under PyTorch's names) and / "
                      "(a folder of TensorFlow.js)",
                      options.out);
  }
  return exchange::write_model(format, model, given, options.out, written);
}

int run_convert(const ConvertCommandLine& options) {
  SourceSet sources;
  exchange::Written written;
  const Status status = convert(options, sources, &written);
  if (!status.ok()) return report(status.diagnostics());
  report(written.left_out);
  for (const std::string& file : written.files) {
    if (!rt::is_standard_output(file.c_str())) std::printf("%s\n", file.c_str());
  }
  return kSuccess;
}

}  // namespace

void register_convert(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<ConvertCommandLine>();
  CLI::App* command = app.add_subcommand("convert", "write a model in another program's format");
  command->footer(
      "Examples:\n"
      "  gradc convert model.keras -o model.json            and model.safetensors beside it\n"
      "  gradc convert net.json --weights net.safetensors -o net.keras\n"
      "  gradc convert net.h5 -o net_tfjs/\n"
      "  gradc convert model.keras -o model.onnx            what predict computes, with the "
      "weights\n"
      "  gradc convert net.json --weights net.safetensors -o torch.safetensors --map modules.json\n"
      "docs/exchange.md says what is read and written.");
  command
      ->add_option("MODEL", options->in,
                   "native JSON, Keras's JSON, .h5 or .keras, a folder of TensorFlow.js")
      ->required();
  command
      ->add_option("-o,--out", options->out,
                   "what to write, by its ending: .json, .keras, .h5, .onnx, .safetensors (weights "
                   "under PyTorch's names), or / for a folder")
      ->check(output_name())
      ->required();
  command->add_option("--weights", options->weights,
                      "weights of the model (default: those in its file)");
  command->add_option("--map", options->map,
                      "of weights under PyTorch's names: a JSON file {\"layer\": \"module\", ...} "
                      "(default: read by order, written by the layers' names)");
  command->callback(
      [options, &selection] { selection.run = [options] { return run_convert(*options); }; });
}

}  // namespace gradc::tool
