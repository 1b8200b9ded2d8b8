// Expansion walks the JSON recursively only through nested blocks, whose depth is limited; what it
// makes is counted (frontend/expansion_budget.h).
#include "frontend/expand.h"

#include "frontend/block_parameters.h"
#include "frontend/component_reader.h"
#include "frontend/layer_def.h"
#include "support/suggest.h"

namespace gradc {
namespace {

constexpr size_t kMaxBlockDepth = 32;
constexpr OptionDef kExtent = {.name = "shape", .type = OptionType::kInts, .min = 1};
constexpr OptionDef kRepeat = {.name = "repeat", .type = OptionType::kInt, .min = 1, .max = 100000};

/// One "layers" list: of the model, or of one repetition of a block.
struct Scope {
  std::string prefix;
  std::string previous;  ///< full name of the element before; empty: none
  std::map<std::string, int64_t> counters;
};

/// A block that is being expanded, and where it is used.
struct OpenBlock {
  std::string name;
  Place use;
};

class Expander {
 public:
  Expander(ObjectReader& top, Expansion& out) : top_(top), sink_(top.sink()), out_(out) {}

  void run() {
    if (const auto inputs = top_.get("inputs")) read_inputs(*inputs);
    if (const auto blocks = top_.get("blocks")) find_blocks(*blocks);
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
    constexpr size_t kDeclaration = 400;  // maps of names, places, an entry
    count_bytes(kDeclaration + 4 * name.size());
    const auto [found, added] = out_.declared.emplace(name, place);
    if (added) return true;
    sink_.error(DiagKind::kDuplicateName, place, "the name \"{}\" is used twice", name)
        .with_note("first used here", found->second);
    return false;
  }

  void find_blocks(const JsonCursor& at) {
    if (!at.value().is_object()) {
      report_wrong_type(sink_, at, "an object of named blocks");
      return;
    }
    for (const auto& [name, value] : at.value().items())
      blocks_.emplace(name, at.member(name, value));
  }

  /// Counts what a block's layer takes; outside blocks a model is no larger than its file.
  void count_bytes(size_t bytes) {
    if (!open_blocks_.empty() && !budget_.take_bytes(bytes)) report_overflow();
  }

  /// The model makes too much of itself: said where its outermost block is used.
  void report_overflow() {
    if (std::exchange(overflowed_, true)) return;
    const std::string limit =
        budget_.too_many_parts()
            ? fmt::format("more than {} layers and repetitions of blocks",
                          ExpansionBudget::kMaxParts)
            : fmt::format("more than {} MB, or values nested more than {} levels deep",
                          ExpansionBudget::kMaxBytes >> 20U, kMaxJsonDepth);
    if (open_blocks_.empty()) {
      sink_.error(DiagKind::kTooLarge, top_.cursor().member("layers").place(), "the model has {}",
                  limit);
      return;
    }
    Diagnostic& error = sink_.error(DiagKind::kTooLarge, open_blocks_.front().use,
                                    "block \"{}\" makes {}", open_blocks_.front().name, limit);
    for (size_t i = 1; i < open_blocks_.size(); ++i)
      error.with_note(fmt::format("it repeats block \"{}\"", open_blocks_[i].name),
                      open_blocks_[i].use);
    error.with_help("use fewer repetitions, or smaller parameters");
  }

  /// The "name" member, checked; or the next free automatic one: dense, dense_1, ...
  std::string take_name(ObjectReader& reader, const std::string& type, Scope& scope) {
    if (const auto at = reader.get("name")) {
      if (const auto name = read_name(sink_, *at)) {
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
        .name = "dtype", .type = OptionType::kEnum, .choices = "float32 float64 int32 int64"};
    input.spec.dtype = out_.input_dtype;
    if (const auto dtype = reader.get("dtype")) {
      if (auto value = read_option(sink_, *dtype, kDType)) {
        const auto& name = std::get<std::string>(*value);
        input.spec.dtype = name == "int32"     ? DType::kI32
                           : name == "int64"   ? DType::kI64
                           : name == "float64" ? DType::kF64
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
    for (size_t i = 0; i < list.value().size() && !overflowed_; ++i)
      read_entry(list.element(i), scope);
  }

  void read_entry(const JsonCursor& at, Scope& scope) {
    ObjectReader reader(sink_, at, "a layer");
    if (!reader.is_object()) return;
    if (!budget_.take_part()) return report_overflow();
    if (!open_blocks_.empty()) count_bytes(json_size(at.value()).bytes);
    if (overflowed_) return;
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
            .with_help(known_types().suggestion(*type));
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
    if (entry.def != nullptr) entry.named = read_named(reader, entry.def->named_inputs, scope);
    if (entry.type == EntryType::kShared)
      reader.finish();  // a layer's other members are read by its table
    scope.previous = entry.name;
    out_.entries.push_back(std::move(entry));
  }

  static const NameIndex& known_types() {
    static const NameIndex types(layer_names());
    return types;
  }

  /// Inputs that a layer names by themselves, like "attention_mask".
  std::vector<std::optional<Reference>> read_named(ObjectReader& reader,
                                                   std::span<const NamedInput> inputs,
                                                   const Scope& scope) {
    std::vector<std::optional<Reference>> references(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto at = reader.get(inputs[i].name);
      if (!at || at->value().is_null()) continue;
      if (const auto name = read_string(sink_, *at))
        references[i] = Reference{scope.prefix + *name, *name, at->place()};
    }
    return references;
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
        constexpr size_t kReference = 300;  // three texts and a place
        count_bytes(kReference + 3 * name->size() + 2 * scope.prefix.size());
        references.push_back({scope.prefix + *name, *name, element.place()});
      }
    };
    if (at->value().is_string()) {
      add(*at);
    } else if (at->value().is_array() && !at->value().empty()) {
      for (size_t i = 0; i < at->value().size() && !overflowed_; ++i)
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
    const auto block = blocks_.find(*block_name);
    if (block == blocks_.end()) {
      sink_
          .error(DiagKind::kUnknownReference, block_at->place(), "unknown block \"{}\"",
                 *block_name)
          .with_help(known_blocks().suggestion(*block_name));
      return;
    }
    if (!may_open(*block_name, block_at->place())) return;
    used_blocks_.insert(*block_name);
    open_blocks_.push_back({*block_name, at.place()});
    instantiate(block->second, with, name, inputs, repeat, at);
    open_blocks_.pop_back();
  }

  const NameIndex& known_blocks() {
    if (!block_names_) {
      std::vector<std::string> names;
      for (const auto& [name, unused] : blocks_)
        names.push_back(name);
      block_names_.emplace(std::move(names));
    }
    return *block_names_;
  }

  /// Whether a block may be used inside those that are open.
  bool may_open(const std::string& name, const Place& place) {
    for (size_t i = 0; i < open_blocks_.size(); ++i) {
      if (open_blocks_[i].name != name) continue;
      std::string path;
      for (size_t k = i; k < open_blocks_.size(); ++k)
        path += open_blocks_[k].name + " -> ";
      sink_.error(DiagKind::kCycle, place, "block \"{}\" contains itself: {}{}", name, path, name);
      return false;
    }
    if (open_blocks_.size() < kMaxBlockDepth) return true;
    sink_.error(DiagKind::kTooLarge, place, "blocks are nested more than {} deep", kMaxBlockDepth);
    return false;
  }

  void instantiate(const JsonCursor& block, const std::optional<JsonCursor>& with,
                   const std::string& name, const std::vector<Reference>& inputs, int64_t repeat,
                   const JsonCursor& use) {
    ObjectReader reader(sink_, block, "a block");
    const BlockParameters parameters = read_block_parameters(reader, with);
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
    const std::string output_name = output ? read_string(sink_, *output).value_or("") : "";
    Json* filled = fill(*layers, parameters);
    if (filled == nullptr) return;
    const JsonCursor list = layers->with_value(*filled);
    std::string carried = inputs[0].name;
    for (int64_t r = 0; r < repeat; ++r) {
      if (!budget_.take_part()) report_overflow();
      if (overflowed_) return;
      Scope scope;
      scope.prefix = repeat == 1 ? name + "/" : fmt::format("{}_{}/", name, r);
      for (size_t i = 0; i < input_names.size(); ++i) {
        const std::string inner = scope.prefix + input_names[i];
        declare(inner, block.place());
        out_.aliases[inner] = i == 0 ? carried : inputs[i].name;
      }
      scope.previous = scope.prefix + input_names[0];
      const size_t errors = sink_.all().size();
      read_list(list, scope);
      carried = output_name.empty() ? scope.previous : scope.prefix + output_name;
      if (sink_.all().size() != errors) break;  // the other repetitions have the same problems
    }
    out_.aliases[name] = carried;
  }

  /// The block's layers with its parameters filled in; null when that is too large.
  Json* fill(const JsonCursor& layers, const BlockParameters& parameters) {
    count_bytes(json_size(layers.value()).bytes);
    for (const auto& [name, parameter] : parameters)
      count_bytes(parameter.size.bytes);
    if (overflowed_) return nullptr;
    Json* filled = &*out_.rewritten.emplace_back(layers.value());
    if (fill_block(*filled, parameters, layers, budget_, sink_)) return filled;
    report_overflow();
    return nullptr;
  }

  std::vector<std::string> block_inputs(ObjectReader& reader) {
    const auto at = reader.get("inputs");
    if (!at) return {"input"};
    std::vector<std::string> names;
    if (at->value().is_array()) {
      for (size_t i = 0; i < at->value().size(); ++i) {
        if (auto name = read_name(sink_, at->element(i))) names.push_back(*name);
      }
    }
    if (!names.empty()) return names;
    report_wrong_type(sink_, *at, "a list of names");
    return {"input"};
  }

  /// Blocks that nobody uses are still checked to be objects with layers.
  void check_blocks() {
    for (const auto& [name, at] : blocks_) {
      if (used_blocks_.count(name) != 0) continue;
      ObjectReader reader(sink_, at, "a block");
      for (const char* known : {"parameters", "inputs", "output"})
        reader.get(known);
      reader.require("layers");
      reader.finish();
    }
  }

  ObjectReader& top_;
  DiagnosticSink& sink_;
  Expansion& out_;
  ExpansionBudget budget_;
  std::map<std::string, JsonCursor> blocks_;
  std::optional<NameIndex> block_names_;
  std::set<std::string> used_blocks_;
  std::set<std::string> reserved_;
  std::vector<OpenBlock> open_blocks_;
  bool overflowed_ = false;
};

}  // namespace

void expand_layers(ObjectReader& top, Expansion& expansion) {
  Expander(top, expansion).run();
}

/// The end of the aliases; an empty name when they form a circle.
std::string Expansion::follow(const std::string& name) {
  std::vector<std::string*> path;
  std::set<const std::string*> seen;
  std::string end = name;
  for (auto alias = aliases.find(end); alias != aliases.end(); alias = aliases.find(end)) {
    const bool circle = !seen.insert(&alias->second).second;
    end = circle ? std::string() : alias->second;
    if (circle) break;
    path.push_back(&alias->second);
  }
  for (std::string* alias : path)
    *alias = end;  // a long way is gone once
  return end;
}

std::optional<Expansion::Meaning> Expansion::resolve(const std::string& name) {
  std::string end = follow(name);
  if (end.empty() || declared.count(end) != 0) return Meaning{std::move(end), {}};
  const size_t dot = end.rfind('.');
  if (dot == std::string::npos || dot == 0) return std::nullopt;
  std::string base = follow(end.substr(0, dot));
  if (!base.empty() && declared.count(base) == 0) return std::nullopt;
  return Meaning{std::move(base), end.substr(dot + 1)};
}

}  // namespace gradc
