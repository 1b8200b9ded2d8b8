// The top level of a model file: which members there are, and in which order they are understood.
#include "frontend/native_reader.h"

#include "frontend/expand.h"
#include "frontend/json_reader.h"
#include "frontend/tensor_names.h"
#include "frontend/training_reader.h"
#include "frontend/wiring.h"
#include "support/json.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>
#include <tuple>

namespace gradc {
namespace {

constexpr std::string_view kFormat = "gradc/1";
constexpr size_t kMaxIndirections = 8;
constexpr size_t kMaxFileBytes = size_t{128} << 20U;

void check_format(ObjectReader& top) {
  const auto at = top.get("format");
  if (!at) return;
  const auto format = read_string(top.sink(), *at);
  if (!format || *format == kFormat) return;
  top.sink()
      .error(DiagKind::kFormatVersion, at->place(),
             "the file says format \"{}\", but this gradc reads \"{}\"", *format, kFormat)
      .with_help("use the gradc version that wrote the file");
}

/// A description with its own layers.
void read_network(ObjectReader& top, const std::optional<JsonCursor>& training, Model& model) {
  DiagnosticSink& sink = top.sink();
  if (const auto dtype = top.get("dtype"))
    model.policy = read_policy(sink, *dtype).value_or(DTypePolicy{});
  Expansion expansion;
  expansion.input_dtype = model.policy.compute;
  expand_layers(top, expansion);
  connect_layers(expansion, top.get("outputs"), peek_batch_size(training), sink, model);
}

/// Finds the diagnostics that only follow from others of the same file.
class Causes {
 public:
  explicit Causes(const std::vector<Diagnostic>& list) {
    for (const Diagnostic& cause : list)
      add(cause);
  }

  bool explain(const Diagnostic& d) const {
    const std::string& at = d.place.pointer;
    if (d.kind == DiagKind::kCycle) return duplicate_name_;  // a reference may mean the other one
    if (d.kind == DiagKind::kUnknownReference) return duplicate_name_ && at.empty();
    if (d.kind == DiagKind::kWrongType)  // a block's parameter that stayed a text
      return unknown_parameters_.count(at) != 0;
    if (d.kind != DiagKind::kMissingOption) return false;
    const auto [first, last] = meant_.equal_range(at);
    return std::any_of(first, last, [&](const auto& entry) {
      return d.message.find("no " + entry.second + ",") != std::string::npos;
    });
  }

 private:
  void add(const Diagnostic& cause) {
    const std::string& where = cause.place.pointer;
    duplicate_name_ = duplicate_name_ || cause.kind == DiagKind::kDuplicateName;
    if (cause.kind == DiagKind::kUnknownReference &&
        cause.message.starts_with("the block has no parameter"))
      unknown_parameters_.insert(where);
    // "unit" for "units", which is then missing.
    constexpr std::string_view kPrefix = "did you mean ";
    if (cause.kind == DiagKind::kUnknownOption && cause.help.starts_with(kPrefix)) {
      meant_.emplace(where.substr(0, where.rfind('/')),
                     cause.help.substr(kPrefix.size(), cause.help.size() - kPrefix.size() - 1));
    }
  }

  bool duplicate_name_ = false;
  std::set<std::string> unknown_parameters_;       ///< pointers
  std::multimap<std::string, std::string> meant_;  ///< object's pointer -> option, in quotes
};

/// Layers of a block may report the same place more than once; what only follows is left out.
std::vector<Diagnostic> distinct(const std::vector<Diagnostic>& list) {
  const Causes causes(list);
  std::set<std::tuple<DiagKind, std::string_view, std::string_view, std::string_view>> seen;
  std::vector<Diagnostic> kept;
  for (const Diagnostic& d : list) {
    if (causes.explain(d)) continue;
    if (seen.emplace(d.kind, d.place.file, d.place.pointer, d.message).second) kept.push_back(d);
  }
  return kept;
}

class FileReader {
 public:
  explicit FileReader(SourceSet& sources) : sources_(sources) {}

  Result<Model> read(const std::string& path) {
    GRADC_TRY(SourceFile file, read_source_file(path, kMaxFileBytes));
    return read(std::move(file));
  }

  Result<Model> read(SourceFile text) {
    const SourceFile& file = sources_.add(std::move(text));
    open_.push_back(std::filesystem::path(file.path()).lexically_normal().string());
    auto json = parse_json(file);
    if (!json) return std::move(json).failure();
    const JsonCursor root(**json, file.path());
    DiagnosticSink sink;
    ObjectReader top(sink, root, "the model");
    Model model;
    if (top.is_object()) read_members(top, model);
    if (sink.has_errors()) return Failure(distinct(sink.take()));
    for (Diagnostic& warning : sink.take())
      model.warnings.push_back(std::move(warning));
    return model;
  }

 private:
  void read_members(ObjectReader& top, Model& model) {
    DiagnosticSink& sink = top.sink();
    model.file = top.cursor().file();
    check_format(top);
    const auto name = top.get("name");
    const auto training = top.get("training");
    const auto data = top.get("data");
    if (const auto base = top.get("model")) {
      if (!read_base(*base, sink, model)) return top.finish();
    } else {
      read_network(top, training, model);
    }
    if (name) {
      if (auto text = read_text(sink, *name)) model.name = *text;
    }
    if (training) {
      model.training.reset();
      model.data.clear();
      read_training(*training, sink, model);
    }
    if (data && (!training || model.training)) read_data(*data, sink, model);
    if (!sink.has_errors()) check_tensor_names(model, sink);
    top.finish();
  }

  /// The network of another file; this one may then only add "name", "training" and "data".
  bool read_base(const JsonCursor& at, DiagnosticSink& sink, Model& model) {
    const auto written = read_string(sink, at);
    if (!written) return false;
    std::filesystem::path path(*written);
    if (path.is_relative()) path = std::filesystem::path(at.file()).parent_path() / path;
    const std::string normal = path.lexically_normal().string();
    for (const std::string& open : open_) {
      if (open != normal) continue;
      sink.error(DiagKind::kCycle, at.place(), "\"model\" leads back to \"{}\"", normal);
      return false;
    }
    if (open_.size() >= kMaxIndirections) {
      sink.error(DiagKind::kTooLarge, at.place(), "more than {} files lead from one to the next",
                 kMaxIndirections);
      return false;
    }
    Result<Model> base = read(normal);
    if (!base) {
      std::vector<Diagnostic> problems = std::move(base).failure().diagnostics;
      for (Diagnostic& problem : problems) {
        if (problem.kind == DiagKind::kFileNotFound || problem.kind == DiagKind::kFileUnreadable)
          problem.place = at.place();
      }
      sink.append(std::move(problems));
      return false;
    }
    model = base.take();
    return true;
  }

  SourceSet& sources_;
  std::vector<std::string> open_;
};

}  // namespace

Result<Model> read_model_file(const std::string& path, SourceSet& sources) {
  return FileReader(sources).read(path);
}

Result<Model> read_model_text(const std::string& path, std::string text, SourceSet& sources) {
  return FileReader(sources).read(SourceFile(path, std::move(text)));
}

}  // namespace gradc
