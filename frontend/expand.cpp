// Expansion walks the JSON recursively only through nested blocks, whose depth is limited.
#include "frontend/expand.h"

#include "frontend/component_reader.h"
#include "frontend/layer_def.h"
#include "support/suggest.h"

namespace gradc {
namespace {

constexpr size_t kMaxEntries = 20000;
constexpr size_t kMaxBlockDepth = 32;
constexpr OptionDef kExtent = {.name = "shape", .type = OptionType::kInts, .min = 1};
constexpr OptionDef kRepeat = {.name = "repeat", .type = OptionType::kInt, .min = 1, .max = 100000};

/// One "layers" list: of the model, or of one repetition of a block.
struct Scope {
  std::string prefix;
  std::string previous;  ///< full name of the element before; empty: none
  std::map<std::string, int64_t> counters;
};

class Expander {
 public:
  Expander(ObjectReader& top, Expansion& out) : top_(top), sink_(top.sink()), out_(out) {}

  void run() {
    if (const auto inputs = top_.get("inputs")) read_inputs(*inputs);
    blocks_ = top_.get("blocks");
    if (blocks_ && !blocks_->value().is_object()) {
      report_wrong_type(sink_, *blocks_, "an object of named blocks");
      blocks_.reset();
    }
    const auto layers = top_.require("layers");
    if (!layers) return;
    Scope scope;
    if (out_.inputs.size() == 1) scope.previous = out_.inputs[0].name;
    read_list(*layers, scope);
    out_.last = scope.previous;
    if (out_.entries.empty() && !sink_.has_errors()) {
      sink_.error(DiagKind::kBadValue, layers->place(), "the model has no layers");
    }
    if (out_.inputs.empty() && !sink_.has_errors()) {
      sink_.error(DiagKind::kMissingOption, top_.cursor().place(), "the model has no inputs")
          .with_help("add \"inputs\": [{\"name\": \"x\", \"shape\": [...]}]");
    }
    check_blocks();
  }

 private:
  bool declare(const std::string& name, const Place& place) {
    const auto [found, added] = out_.declared.emplace(name, place);
    if (added) return true;
    sink_.error(DiagKind::kDuplicateName, place, "the name \"{}\" is used twice", name)
        .with_note("first used here", found->second);
    return false;
  }

  /// The "name" member, checked; or the next free automatic one: dense, dense_1, ...
  std::string take_name(ObjectReader& reader, const std::string& type, Scope& scope) {
    if (const auto at = reader.get("name")) {
      const auto name = read_string(sink_, *at);
      if (name && (name->empty() || name->find_first_of("/ \t\n\"%") != std::string::npos)) {
        sink_.error(DiagKind::kBadValue, at->place(),
                    "the name \"{}\" is empty or has a slash, space, quote or percent sign", *name);
      } else if (name) {
        declare(scope.prefix + *name, at->place());
        return scope.prefix + *name;
      }
    }
    for (;;) {
      const int64_t number = scope.counters[type]++;
      const std::string name =
          scope.prefix + (number == 0 ? type : fmt::format("{}_{}", type, number));
      if (out_.declared.count(name) != 0 || reserved_.count(name) != 0) continue;
      declare(name, reader.cursor().place());
      return name;
    }
  }

  /// Names given in the list are taken before automatic ones, wherever they stand.
  void reserve_names(const JsonCursor& list, Scope& scope) {
    for (size_t i = 0; i < list.value().size(); ++i) {
      const Json& entry = list.value()[i];
      if (entry.is_object() && entry.contains("name") && entry["name"].is_string()) {
        reserved_.insert(scope.prefix + entry["name"].get<std::string>());
      }
    }
  }

  void read_inputs(const JsonCursor& list) {
    if (!list.value().is_array()) {
      report_wrong_type(sink_, list, "a list of {\"name\", \"shape\"}");
      return;
    }
    Scope scope;
    reserve_names(list, scope);
    for (size_t i = 0; i < list.value().size(); ++i)
      read_input(list.element(i), scope, false);
  }

  void read_input(const JsonCursor& at, Scope& scope, bool has_type) {
    ObjectReader reader(sink_, at, "an input");
    if (!reader.is_object()) return;
    if (has_type) reader.get("type");
    ModelInput input;
    input.place = at.place();
    input.name = take_name(reader, "input", scope);
    if (const auto shape = reader.require("shape")) {
      if (auto value = read_option(sink_, *shape, kExtent))
        input.spec.shape = std::get<Ints>(*value);
    }
    static constexpr OptionDef kDType = {
        .name = "dtype", .type = OptionType::kEnum, .choices = "float32 int32 int64"};
    if (const auto dtype = reader.get("dtype")) {
      if (auto value = read_option(sink_, *dtype, kDType)) {
        const auto& name = std::get<std::string>(*value);
        input.spec.dtype = name == "int32"   ? DType::kI32
                           : name == "int64" ? DType::kI64
                                             : DType::kF32;
      }
    }
    reader.finish();
    const auto elements = checked_product(input.spec.shape);
    if (!elements || input.spec.shape.size() >= Shape::kMaxRank) {
      sink_.error(DiagKind::kTooLarge, at.place(),
                  "input \"{}\" of shape {} is too large: at most {} bytes and {} axes", input.name,
                  shape_text(input.spec.shape), kMaxTensorBytes, Shape::kMaxRank - 1);
      input.spec.shape = {1};
    }
    scope.previous = input.name;
    out_.inputs.push_back(std::move(input));
  }

  void read_list(const JsonCursor& list, Scope& scope) {
    if (!list.value().is_array()) {
      report_wrong_type(sink_, list, "a list of layers");
      return;
    }
    reserve_names(list, scope);
    for (size_t i = 0; i < list.value().size(); ++i) {
      if (out_.entries.size() >= kMaxEntries) {
        if (!overflowed_) {
          sink_.error(DiagKind::kTooLarge, list.place(), "the model has more than {} layers",
                      kMaxEntries);
        }
        overflowed_ = true;
        return;
      }
      read_entry(list.element(i), scope);
    }
  }

  void read_entry(const JsonCursor& at, Scope& scope) {
    ObjectReader reader(sink_, at, "a layer");
    if (!reader.is_object()) return;
    const auto type_at = reader.require("type");
    const auto type = type_at ? read_string(sink_, *type_at) : std::nullopt;
    if (type == "input") {
      if (!scope.prefix.empty()) {
        sink_.error(DiagKind::kUnsupported, type_at->place(),
                    "an input layer cannot stand in a block");
        return;
      }
      return read_input(at, scope, true);
    }
    if (type == "block") return read_block_use(at, scope);
    LayerEntry entry{.json = at};
    entry.type = type == "shared" ? EntryType::kShared : EntryType::kLayer;
    entry.prefix = scope.prefix;
    entry.type_name = type.value_or("layer");
    if (type && entry.type == EntryType::kLayer) {
      entry.def = type->starts_with("op.") ? &raw_op_layer() : find_layer(*type);
      if (entry.def == nullptr) {
        sink_.error(DiagKind::kUnknownLayer, type_at->place(), "unknown layer type \"{}\"", *type)
            .with_help(suggestion(*type, layer_names()));
      }
    }
    std::string automatic = entry.type_name;
    for (char& c : automatic) {
      if (std::string_view("/ \t\n\"%").find(c) != std::string_view::npos) c = '_';
    }
    entry.name = take_name(reader, automatic, scope);
    if (entry.type == EntryType::kShared) {
      if (const auto layer = reader.require("layer")) {
        if (const auto name = read_string(sink_, *layer)) {
          entry.shared_with = Reference{scope.prefix + *name, *name, layer->place()};
        }
      }
    }
    entry.inputs = read_references(reader, scope);
    if (entry.type == EntryType::kShared)
      reader.finish();  // a layer's other members are read by its table
    scope.previous = entry.name;
    out_.entries.push_back(std::move(entry));
  }

  std::vector<Reference> read_references(ObjectReader& reader, const Scope& scope) {
    std::vector<Reference> references;
    const auto at = reader.get("inputs");
    if (!at) {
      if (!scope.previous.empty()) {
        references.push_back({scope.previous, scope.previous, reader.cursor().place()});
      } else {
        sink_
            .error(DiagKind::kMissingOption, reader.cursor().place(),
                   "nothing comes before this layer, and it has no \"inputs\"")
            .with_help(out_.inputs.empty() ? "give the model \"inputs\""
                                           : "name one of the model's inputs");
      }
      return references;
    }
    const auto add = [&](const JsonCursor& element) {
      if (const auto name = read_string(sink_, element)) {
        references.push_back({scope.prefix + *name, *name, element.place()});
      }
    };
    if (at->value().is_string()) {
      add(*at);
    } else if (at->value().is_array() && !at->value().empty()) {
      for (size_t i = 0; i < at->value().size(); ++i)
        add(at->element(i));
    } else if (at->value().is_array()) {
      sink_.error(DiagKind::kBadValue, at->place(), "\"inputs\" names no layer");
    } else {
      report_wrong_type(sink_, *at, "a layer's name or a list of names");
    }
    return references;
  }

  // ---- blocks
  // -----------------------------------------------------------------------------------------------------

  void read_block_use(const JsonCursor& at, Scope& scope) {
    ObjectReader reader(sink_, at, "a block layer");
    reader.get("type");
    const std::string name = take_name(reader, "block", scope);
    const std::vector<Reference> inputs = read_references(reader, scope);
    int64_t repeat = 1;
    if (const auto count = reader.get("repeat"))
      repeat = read_integer(sink_, *count, kRepeat).value_or(1);
    const auto with = reader.get("with");
    const auto block_at = reader.require("block");
    reader.finish();
    scope.previous = name;
    const auto block_name = block_at ? read_string(sink_, *block_at) : std::nullopt;
    if (!block_name) return;
    if (!blocks_ || !blocks_->has(*block_name)) {
      std::vector<std::string> known;
      if (blocks_) {
        for (const auto& [key, value] : blocks_->value().items())
          known.push_back(key);
      }
      sink_
          .error(DiagKind::kUnknownReference, block_at->place(), "unknown block \"{}\"",
                 *block_name)
          .with_help(suggestion(*block_name, known));
      return;
    }
    for (size_t i = 0; i < open_blocks_.size(); ++i) {
      if (open_blocks_[i] != *block_name) continue;
      std::string path;
      for (size_t k = i; k < open_blocks_.size(); ++k)
        path += open_blocks_[k] + " -> ";
      sink_.error(DiagKind::kCycle, block_at->place(), "block \"{}\" contains itself: {}{}",
                  *block_name, path, *block_name);
      return;
    }
    if (open_blocks_.size() >= kMaxBlockDepth) {
      sink_.error(DiagKind::kTooLarge, block_at->place(), "blocks are nested more than {} deep",
                  kMaxBlockDepth);
      return;
    }
    used_blocks_.insert(*block_name);
    open_blocks_.push_back(*block_name);
    instantiate(blocks_->member(*block_name), with, name, inputs, repeat, at);
    open_blocks_.pop_back();
  }

  void instantiate(const JsonCursor& block, const std::optional<JsonCursor>& with,
                   const std::string& name, const std::vector<Reference>& inputs, int64_t repeat,
                   const JsonCursor& use) {
    ObjectReader reader(sink_, block, "a block");
    std::map<std::string, Json> values = block_parameters(reader, with);
    const std::vector<std::string> input_names = block_inputs(reader);
    const auto output = reader.get("output");
    const auto layers = reader.require("layers");
    reader.finish();
    if (!layers) return;
    if (inputs.size() != input_names.size()) {
      sink_.error(DiagKind::kWrongInputCount, use.place(), "block \"{}\" takes {} inputs, got {}",
                  name, input_names.size(), inputs.size());
      return;
    }
    Json* filled = &out_.rewritten.emplace_back(layers->value());
    substitute(*filled, values, *layers);
    std::string carried = inputs[0].name;
    for (int64_t r = 0; r < repeat && !overflowed_; ++r) {
      Scope scope;
      scope.prefix = repeat == 1 ? name + "/" : fmt::format("{}_{}/", name, r);
      for (size_t i = 0; i < input_names.size(); ++i) {
        const std::string inner = scope.prefix + input_names[i];
        declare(inner, block.place());
        out_.aliases[inner] = i == 0 ? carried : inputs[i].name;
      }
      scope.previous = scope.prefix + input_names[0];
      const size_t errors = sink_.all().size();
      read_list(JsonCursor(*filled, layers->file(), layers->pointer()), scope);
      carried = scope.previous;
      if (output && output->value().is_string())
        carried = scope.prefix + output->value().get<std::string>();
      if (output && !output->value().is_string())
        report_wrong_type(sink_, *output, "a layer's name");
      if (sink_.all().size() != errors) break;  // the other repetitions have the same problems
    }
    out_.aliases[name] = carried;
  }

  std::map<std::string, Json> block_parameters(ObjectReader& reader,
                                               const std::optional<JsonCursor>& with) {
    std::map<std::string, Json> values;
    if (const auto defaults = reader.get("parameters")) {
      if (!defaults->value().is_object())
        report_wrong_type(sink_, *defaults, "an object of names and default values");
      for (const auto& [key, value] : defaults->value().items()) {
        if (defaults->value().is_object()) values[key] = value;
      }
    }
    if (!with) return values;
    if (!with->value().is_object()) {
      report_wrong_type(sink_, *with, "an object of block parameters");
      return values;
    }
    std::vector<std::string> known;
    for (const auto& [key, value] : values)
      known.push_back(key);
    for (const auto& [key, value] : with->value().items()) {
      if (values.count(key) == 0) {
        sink_
            .error(DiagKind::kUnknownOption, with->member(key).key_place(),
                   "the block has no parameter \"{}\"", key)
            .with_help(suggestion(key, known));
        continue;
      }
      values[key] = value;
    }
    return values;
  }

  std::vector<std::string> block_inputs(ObjectReader& reader) {
    const auto at = reader.get("inputs");
    if (!at) return {"input"};
    std::vector<std::string> names;
    if (at->value().is_array()) {
      for (size_t i = 0; i < at->value().size(); ++i) {
        if (auto name = read_string(sink_, at->element(i))) names.push_back(*name);
      }
    }
    if (!names.empty()) return names;
    report_wrong_type(sink_, *at, "a list of names");
    return {"input"};
  }

  /// Replaces strings "$name" by the block parameter's value. Depth is limited by the JSON reader.
  void substitute(Json& value, const std::map<std::string, Json>& values, const JsonCursor& at) {
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      if (text.size() < 2 || text[0] != '$') return;
      const auto found = values.find(text.substr(1));
      if (found != values.end()) {
        value = Json(found->second);
        return;
      }
      std::vector<std::string> known;
      for (const auto& [key, unused] : values)
        known.push_back("$" + key);
      sink_
          .error(DiagKind::kUnknownReference, at.place(), "the block has no parameter for \"{}\"",
                 text)
          .with_help(suggestion(text, known));
    } else if (value.is_structured()) {
      size_t i = 0;
      for (auto& [key, member] : value.items()) {
        substitute(member, values, value.is_array() ? at.element(i++) : at.member(key));
      }
    }
  }

  /// Blocks that nobody uses are still checked to be objects with layers.
  void check_blocks() {
    if (!blocks_) return;
    for (const auto& [key, value] : blocks_->value().items()) {
      if (used_blocks_.count(key) != 0) continue;
      ObjectReader reader(sink_, blocks_->member(key), "a block");
      for (const char* known : {"parameters", "inputs", "output"})
        reader.get(known);
      reader.require("layers");
      reader.finish();
    }
  }

  ObjectReader& top_;
  DiagnosticSink& sink_;
  Expansion& out_;
  std::optional<JsonCursor> blocks_;
  std::set<std::string> used_blocks_;
  std::set<std::string> reserved_;
  std::vector<std::string> open_blocks_;
  bool overflowed_ = false;
};

}  // namespace

void expand_layers(ObjectReader& top, Expansion& expansion) {
  Expander(top, expansion).run();
}

std::optional<std::string> resolve_alias(const Expansion& expansion, const std::string& name) {
  std::string at = name;
  for (size_t steps = 0; steps <= expansion.aliases.size(); ++steps) {
    const auto alias = expansion.aliases.find(at);
    if (alias == expansion.aliases.end()) {
      if (expansion.declared.count(at) == 0) return std::nullopt;
      return at;
    }
    at = alias->second;
  }
  return std::nullopt;
}

}  // namespace gradc
