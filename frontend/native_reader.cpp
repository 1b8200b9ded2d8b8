// The top level of a model file: which members there are, and in which order they are understood.
#include "frontend/native_reader.h"

#include "frontend/component_reader.h"
#include "frontend/expand.h"
#include "frontend/json_reader.h"
#include "frontend/tensor_names.h"
#include "frontend/training_reader.h"
#include "frontend/wiring.h"
#include "support/json.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <iterator>
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

/// The "batch_size" of a training section when it is a sound one, else Keras's default of 32.
int64_t peek_batch_size(const std::optional<JsonCursor>& training) {
  constexpr int64_t kDefault = 32;
  if (!training || !training->has("batch_size")) return kDefault;
  const Json& value = training->member("batch_size").value();
  const bool sound =
      value.is_number_integer() && value.get<int64_t>() >= 1 && value.get<int64_t>() <= (1 << 30);
  return sound ? value.get<int64_t>() : kDefault;
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
  std::set<std::tuple<DiagKind, std::string_view, std::string_view, size_t, std::string_view>> seen;
  std::vector<Diagnostic> kept;
  for (const Diagnostic& d : list) {
    if (causes.explain(d)) continue;
    const Place& at = d.place;
    if (seen.emplace(d.kind, at.file, at.pointer, at.byte_begin, d.message).second)
      kept.push_back(d);
  }
  return kept;
}

class FileReader {
 public:
  FileReader(SourceSet& sources, const ReadOptions& options)
      : sources_(sources),
        dialects_(options.dialects),
        shapes_(options.given.shapes),
        values_(options.given.values) {}

  Result<Model> read_all(const std::string& path) { return finish(read(path)); }
  Result<Model> read_all(SourceFile text) { return finish(read(std::move(text))); }

 private:
  /// What was assumed and nothing replaced is told.
  Result<Model> finish(Result<Model> model) {
    if (model.ok()) std::ranges::move(assumed_, std::back_inserter(model->warnings));
    return model;
  }

  Result<Model> read(const std::string& path) {
    GRADC_TRY(SourceFile file, dialects_ == nullptr ? read_source_file(path, kMaxFileBytes)
                                                    : dialects_->open(path, kMaxFileBytes));
    return read(std::move(file));
  }

  Result<Model> read(SourceFile text) {
    const SourceFile& file = sources_.add(std::move(text));
    open_.push_back(std::filesystem::path(file.path()).lexically_normal().string());
    auto parsed = parse_json(file);
    if (!parsed) return std::move(parsed).failure();
    OwnJson& json = documents_.emplace_back(parsed.take());
    JsonCursor root(*json, file.path());
    DiagnosticSink sink;
    std::optional<Translation>& native = translations_.emplace_back();
    if (dialects_ != nullptr) native = dialects_->translate(root, shapes_, sink);
    if (sink.has_errors()) return Failure(distinct(sink.take()));
    if (native) {
      assumed_ = std::move(native->assumed);
      root = JsonCursor(*native->json, file.path(), {}, &native->places);
    }
    values_ = set_values(std::move(values_), native ? *native->json : *json, file.path(), sink);
    if (sink.has_errors()) return Failure(sink.take());
    ObjectReader top(sink, root, "the model");
    Model model;
    if (top.is_object()) read_members(top, native.has_value(), model);
    if (sink.has_errors()) return Failure(with_texts(distinct(sink.take())));
    for (Diagnostic& warning : sink.take())
      model.warnings.push_back(std::move(warning));
    return model;
  }

  /// Functions in files of their own are shown where something is wrong with them.
  std::vector<Diagnostic> with_texts(std::vector<Diagnostic> list) {
    for (const Diagnostic& d : list) {
      const std::string& path = d.place.file;
      if (!path.ends_with(".gir") || sources_.find(path) != nullptr) continue;
      Result<SourceFile> text = read_source_file(path, kMaxFileBytes);
      if (text.ok()) sources_.add(text.take());
    }
    return list;
  }

  void read_members(ObjectReader& top, bool translated, Model& model) {
    DiagnosticSink& sink = top.sink();
    model.file = top.cursor().file();
    if (const auto schema = top.get("$schema")) read_string(sink, *schema);  // editors read it
    check_format(top);
    const auto name = top.get("name");
    const auto training = top.get("training");
    const auto data = top.get("data");
    if (const auto base = top.get("model")) {
      if (const auto shapes = top.get("shapes")) read_shapes(*shapes, sink);
      if (!read_base(*base, sink, model)) return top.finish();
    } else {
      if (!translated && !shapes_.empty()) report_shapes(top);
      read_network(top, training, model);
    }
    if (name) {
      if (auto text = read_text(sink, *name)) model.name = *text;
    }
    if (training) {
      if (!translated) assumed_.clear();
      model.training.reset();
      read_training(*training, sink, model);
    }
    if (data) data_.push_back(*data);
    if (!data_.empty() && (!training || model.training)) read_data(data_, sink, model);
    if (!sink.has_errors()) check_tensor_names(model, sink);
    top.finish();
  }

  /// Shapes that the other file leaves open; those of the command line are meant before them.
  void read_shapes(const JsonCursor& at, DiagnosticSink& sink) {
    if (!at.value().is_object())
      return static_cast<void>(report_wrong_type(sink, at, "an object with a shape per input"));
    static constexpr OptionDef kShape = {.name = "shape", .type = OptionType::kInts, .min = 1};
    for (const auto& [name, value] : at.value().items()) {
      if (auto shape = read_option(sink, at.member(name, value), kShape))
        shapes_.emplace(name, std::get<Ints>(*shape));
    }
  }

  void report_shapes(const ObjectReader& top) {
    top.sink()
        .error(DiagKind::kBadValue, {.file = top.cursor().file()},
               "a shape of \"{}\" was given, but a model of this format says all shapes itself",
               shapes_.begin()->first)
        .with_help("change the \"shape\" of the input in the file");
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
  const Dialects* dialects_;
  InputShapes shapes_;
  SetValues values_;  ///< that no file has taken yet
  std::vector<std::string> open_;
  std::vector<Diagnostic> assumed_;
  std::deque<OwnJson> documents_;  ///< of the files, the outermost first
  std::deque<std::optional<Translation>> translations_;
  std::vector<JsonCursor> data_;  ///< sections in them, the outermost last
};

}  // namespace

Result<Model> read_model_file(const std::string& path, SourceSet& sources,
                              const ReadOptions& options) {
  return FileReader(sources, options).read_all(path);
}

Result<Model> read_model_text(const std::string& path, std::string text, SourceSet& sources,
                              const ReadOptions& options) {
  return FileReader(sources, options).read_all(SourceFile(path, std::move(text)));
}

}  // namespace gradc
