// Everything here is iterative over entries, so that thousands of layers cost no stack.
#include "frontend/wiring.h"

#include "frontend/layer_def.h"
#include "frontend/layer_reader.h"
#include "support/suggest.h"

#include <algorithm>

namespace gradc {
namespace {

constexpr size_t kNone = SIZE_MAX;

/// An input of an entry: a model input or another entry.
struct Source {
  bool is_input = false;
  size_t index = kNone;  ///< kNone: unknown name, already reported
};

class Wiring {
 public:
  Wiring(Expansion& expansion, int64_t batch_size, DiagnosticSink& sink, Model& model)
      : expansion_(expansion), batch_size_(batch_size), sink_(sink), model_(model) {}

  void run(const std::optional<JsonCursor>& outputs) {
    model_.inputs = expansion_.inputs;
    for (size_t i = 0; i < model_.inputs.size(); ++i)
      inputs_by_name_[model_.inputs[i].name] = i;
    for (size_t i = 0; i < expansion_.entries.size(); ++i)
      entries_by_name_[expansion_.entries[i].name] = i;
    read_layers();
    resolve_sources();
    sort();
    infer_all();
    read_outputs(outputs);
    keep_needed();
  }

 private:
  const LayerEntry& entry(size_t i) const { return expansion_.entries[i]; }

  /// What a reference means; reports unknown names with the names of the same scope.
  Source resolve(const Reference& reference, const std::string& prefix) {
    if (const auto name = expansion_.resolve(reference.name)) {
      if (name->empty()) {
        sink_.error(DiagKind::kCycle, reference.place,
                    "layers form a cycle: the result of \"{}\" is its own input",
                    reference.written);
        return {};
      }
      if (const auto input = inputs_by_name_.find(*name); input != inputs_by_name_.end())
        return {true, input->second};
      if (const auto found = entries_by_name_.find(*name); found != entries_by_name_.end())
        return {false, found->second};
      return {};  // a layer that could not be read
    }
    sink_
        .error(DiagKind::kUnknownReference, reference.place, "no layer or input is named \"{}\"",
               reference.written)
        .with_help(names_in(prefix).suggestion(reference.written));
    return {};
  }

  /// What can be referred to in a scope, made when the first wrong name of it is met.
  const NameIndex& names_in(const std::string& prefix) {
    const auto [entry, fresh] = known_names_.try_emplace(prefix);
    if (!fresh) return entry->second;
    std::vector<std::string> known;
    for (auto at = expansion_.declared.lower_bound(prefix);
         at != expansion_.declared.end() && at->first.starts_with(prefix); ++at) {
      if (at->first.find('/', prefix.size()) == std::string::npos)
        known.push_back(at->first.substr(prefix.size()));
    }
    return entry->second = NameIndex(std::move(known));
  }

  void read_layers() {
    layer_of_.assign(expansion_.entries.size(), kNone);
    for (size_t i = 0; i < expansion_.entries.size(); ++i) {
      if (entry(i).type == EntryType::kLayer && entry(i).def != nullptr) read_layer(i);
    }
    for (size_t i = 0; i < expansion_.entries.size(); ++i) {
      if (entry(i).type != EntryType::kShared || !entry(i).shared_with) continue;
      const Source source = resolve(*entry(i).shared_with, entry(i).prefix);
      const bool good = !source.is_input && source.index != kNone &&
                        entry(source.index).type == EntryType::kLayer;
      if (good) {
        layer_of_[i] = layer_of_[source.index];
      } else if (source.index != kNone) {
        sink_.error(DiagKind::kUnknownReference, entry(i).shared_with->place,
                    "\"{}\" is no layer that can be shared", entry(i).shared_with->written);
      }
    }
  }

  void read_layer(size_t i) {
    const LayerEntry& e = entry(i);
    Layer layer;
    layer.def = e.def;
    layer.name = e.name;
    layer.component.written_type = e.type_name;
    layer.policy = model_.policy;
    if (!read_layer_members(sink_, e.json, layer)) return;
    layer_of_[i] = layers_.size();
    layers_.push_back(std::move(layer));
  }

  void resolve_sources() {
    sources_.resize(expansion_.entries.size());
    for (size_t i = 0; i < expansion_.entries.size(); ++i) {
      for (const Reference& reference : entry(i).inputs) {
        sources_[i].push_back(resolve(reference, entry(i).prefix));
      }
    }
  }

  /// Depth-first over the inputs, in file order; an edge back into the current path is a cycle.
  void sort() {
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> state(sources_.size(), kNew);
    struct Step {
      size_t entry;
      size_t next;
    };
    for (size_t root = 0; root < sources_.size(); ++root) {
      std::vector<Step> path;
      if (state[root] == kNew) path.push_back({root, 0});
      while (!path.empty()) {
        Step& step = path.back();
        state[step.entry] = kOpen;
        if (step.next == sources_[step.entry].size()) {
          state[step.entry] = kDone;
          order_.push_back(step.entry);
          path.pop_back();
          continue;
        }
        const size_t operand = step.next++;
        const size_t at = step.entry;
        const Source source = sources_[at][operand];
        if (source.is_input || source.index == kNone || state[source.index] == kDone) continue;
        if (state[source.index] == kNew) {
          path.push_back({source.index, 0});
          continue;
        }
        std::string text = entry(source.index).name;
        for (size_t k = path.size(); k-- > 0 && path[k].entry != source.index;)
          text += " -> " + entry(path[k].entry).name;
        sink_
            .error(DiagKind::kCycle, entry(at).inputs[operand].place,
                   "layers form a cycle: {} -> {}", text, entry(source.index).name)
            .with_note("a -> b: layer b takes the result of a");
        sources_[at][operand].index = kNone;
      }
    }
  }

  void infer_all() {
    outputs_.resize(sources_.size());
    masked_.resize(sources_.size());
    for (const size_t i : order_)
      infer_entry(i);
    constexpr int64_t kTooMany = int64_t{1} << 61;
    int64_t total = 0;
    for (const Layer& layer : layers_) {
      for (const ParameterSpec& parameter : layer.parameters)
        total = std::min(total + checked_product(parameter.shape).value_or(0), kTooMany);
    }
    if (total > kMaxTensorBytes) {
      sink_.error(DiagKind::kTooLarge, {.file = model_.file},
                  "the model has {}{} parameters; at most {} are possible",
                  total == kTooMany ? "more than " : "", total, kMaxTensorBytes);
    }
  }

  void infer_entry(size_t i) {
    if (layer_of_[i] == kNone) return;
    Layer& layer = layers_[layer_of_[i]];
    std::vector<TensorSpec> inputs;
    std::vector<bool> masks;
    for (const Source& source : sources_[i]) {
      if (source.index == kNone) return;
      if (!source.is_input && !outputs_[source.index]) return;  // reported where it went wrong
      inputs.push_back(source.is_input ? model_.inputs[source.index].spec
                                       : *outputs_[source.index]);
      inputs.back().dtype = layer.seen(inputs.back().dtype);
      masks.push_back(!source.is_input && masked_[source.index]);
    }
    const bool masked = std::find(masks.begin(), masks.end(), true) != masks.end();
    const Place place = entry(i).json.place();
    LayerInferArgs args{.layer = layer,
                        .inputs = inputs,
                        .sink = sink_,
                        .place = place,
                        .batch_size = batch_size_,
                        .masked = masked,
                        .masks = std::move(masks),
                        .output = {},
                        .parameters = {}};
    if (!check_inputs(args) || !check_mask(args) || !layer.def->infer(args) || !check_sizes(args))
      return;
    args.output.dtype = layer.seen(args.output.dtype);
    if (!layer.parameters.empty() && !same_parameters(layer, args)) return;
    layer.parameters = std::move(args.parameters);
    outputs_[i] = std::move(args.output);
    masked_[i] = layer.def->masks == MaskRule::kCarries ? masked : args.output_masked;
  }

  bool check_mask(LayerInferArgs& args) {
    if (!args.masked || args.layer.def->masks != MaskRule::kRefuses) return true;
    sink_
        .error(DiagKind::kUnsupported, args.place,
               "{} treats all steps alike, but some of its input's do not count", args.who())
        .with_help("end the steps with a recurrent layer, or leave the mask out");
    return false;
  }

  bool check_inputs(LayerInferArgs& args) {
    const auto count = static_cast<int64_t>(args.inputs.size());
    const LayerDef& def = *args.layer.def;
    if (count == 0 && def.min_inputs > 0) return false;  // reported where "inputs" was read
    if (count < def.min_inputs || (def.max_inputs >= 0 && count > def.max_inputs)) {
      sink_
          .error(DiagKind::kWrongInputCount, args.place, "{} takes {}{} input{}, got {}",
                 args.who(), def.max_inputs == def.min_inputs ? "" : "at least ", def.min_inputs,
                 def.min_inputs == 1 ? "" : "s", count)
          .with_help(count == 1 && def.min_inputs > 1 ? "name them in \"inputs\"" : "");
      return false;
    }
    for (const TensorSpec& input : args.inputs) {
      if (def.integers || is_float(input.dtype)) continue;
      sink_
          .error(DiagKind::kTypeMismatch, args.place, "{} needs float inputs, got {}", args.who(),
                 to_string(input))
          .with_help(
              "use an embedding layer for indices, or \"dtype\": \"float32\" for the model's "
              "input");
      return false;
    }
    return true;
  }

  bool check_sizes(LayerInferArgs& args) {
    const auto too_large = [&](const std::string& what, const Ints& shape, int64_t factor) {
      const auto elements = checked_product(shape);
      int64_t bytes = 0;
      if (elements && !__builtin_mul_overflow(*elements, factor, &bytes) &&
          bytes <= kMaxTensorBytes && shape.size() < static_cast<size_t>(Shape::kMaxRank)) {
        return false;
      }
      sink_.error(DiagKind::kTooLarge, args.place,
                  "{} has {} of shape {}, which is too large: at most {} bytes and {} axes",
                  args.who(), what, shape_text(shape), kMaxTensorBytes, Shape::kMaxRank - 1);
      return true;
    };
    const int64_t element = dtype_bytes(args.layer.policy.compute);
    for (const ParameterSpec& parameter : args.parameters) {
      if (too_large(fmt::format("parameter \"{}\"", parameter.name), parameter.shape, element))
        return false;
    }
    return !too_large(fmt::format("a result for {} examples", batch_size_), args.output.shape,
                      element * batch_size_);
  }

  bool same_parameters(const Layer& layer, LayerInferArgs& args) {
    for (size_t k = 0; k < layer.parameters.size(); ++k) {
      const Ints& first = layer.parameters[k].shape;
      if (first == args.parameters[k].shape) continue;
      sink_
          .error(DiagKind::kShapeMismatch, args.place,
                 "shared {} has a {} of shape {}, but this input {} needs {}", args.who(),
                 layer.parameters[k].name, shape_text(first), to_string(args.inputs[0]),
                 shape_text(args.parameters[k].shape))
          .with_note("the layer is defined here", layer.place);
      return false;
    }
    return true;
  }

  // ---- outputs
  // ----------------------------------------------------------------------------------------------------

  void read_outputs(const std::optional<JsonCursor>& outputs) {
    if (!outputs) {
      if (expansion_.last.empty() || entries_by_name_.empty()) return;
      add_output({expansion_.last, expansion_.last, {.file = model_.file}});
      return;
    }
    const auto add = [&](const JsonCursor& at) {
      if (const auto name = read_string(sink_, at)) add_output({*name, *name, at.place()});
    };
    if (outputs->value().is_string()) {
      add(*outputs);
    } else if (outputs->value().is_array() && !outputs->value().empty()) {
      for (size_t i = 0; i < outputs->value().size(); ++i)
        add(outputs->element(i));
    } else {
      report_wrong_type(sink_, *outputs, "a layer's name or a list of names");
    }
  }

  void add_output(const Reference& reference) {
    const Source source = resolve(reference, "");
    if (source.index == kNone) return;
    if (source.is_input) {
      sink_.error(DiagKind::kUnknownReference, reference.place,
                  "the output \"{}\" is an input; outputs are layers", reference.written);
      return;
    }
    const auto [first, fresh] = wanted_names_.emplace(reference.written, reference.place);
    if (!fresh) {
      sink_
          .error(DiagKind::kDuplicateName, reference.place, "the output \"{}\" is listed twice",
                 reference.written)
          .with_note("first listed here", first->second);
      return;
    }
    wanted_.push_back({reference.written, source.index, reference.place});
  }

  /// Moves the layers that reach an output into the model; the others are reported and left out.
  void keep_needed() {
    if (sink_.has_errors()) return;
    std::vector<bool> needed(sources_.size(), false);
    for (const Wanted& output : wanted_)
      needed[output.entry] = true;
    for (size_t k = order_.size(); k-- > 0;) {
      if (!needed[order_[k]]) continue;
      for (const Source& source : sources_[order_[k]]) {
        if (!source.is_input) needed[source.index] = true;
      }
    }
    std::vector<size_t> layer_index(layers_.size(), kNone);
    std::vector<ModelValue> value_of(sources_.size(), kNone);
    // Layers keep the file's order, calls the topological one.
    for (size_t i = 0; i < sources_.size(); ++i) {
      if (!needed[i] || entry(i).type != EntryType::kLayer) continue;
      layer_index[layer_of_[i]] = model_.layers.size();
      model_.layers.push_back(layers_[layer_of_[i]]);
    }
    for (const size_t i : order_) {
      if (!needed[i]) {
        sink_.warning(DiagKind::kUnusedLayer, entry(i).json.place(),
                      "layer \"{}\" reaches no output and is left out", entry(i).name);
        continue;
      }
      size_t& layer = layer_index[layer_of_[i]];
      if (layer == kNone) {  // only a shared use is needed, not the layer's own place
        layer = model_.layers.size();
        model_.layers.push_back(layers_[layer_of_[i]]);
      }
      Call call{.name = entry(i).name,
                .layer = layer,
                .inputs = {},
                .output = *outputs_[i],
                .masked = masked_[i],
                .place = entry(i).json.place()};
      for (const Source& source : sources_[i])
        call.inputs.push_back(source.is_input ? source.index : value_of[source.index]);
      value_of[i] = model_.inputs.size() + model_.calls.size();
      model_.calls.push_back(std::move(call));
    }
    for (const Wanted& output : wanted_) {
      model_.outputs.push_back({output.name, value_of[output.entry], output.place});
    }
  }

  struct Wanted {
    std::string name;
    size_t entry;
    Place place;
  };

  Expansion& expansion_;
  int64_t batch_size_;
  DiagnosticSink& sink_;
  Model& model_;
  std::map<std::string, size_t> inputs_by_name_;
  std::map<std::string, size_t> entries_by_name_;
  std::vector<Layer> layers_;
  std::vector<size_t> layer_of_;  ///< per entry
  std::vector<std::vector<Source>> sources_;
  std::vector<size_t> order_;
  std::vector<std::optional<TensorSpec>> outputs_;
  std::vector<bool> masked_;  ///< whether some steps of outputs_ do not count
  std::vector<Wanted> wanted_;
  std::map<std::string, Place> wanted_names_;
  std::map<std::string, NameIndex> known_names_;  ///< by scope
};

}  // namespace

void connect_layers(Expansion& expansion, const std::optional<JsonCursor>& outputs,
                    int64_t batch_size, DiagnosticSink& sink, Model& model) {
  Wiring(expansion, batch_size, sink, model).run(outputs);
}

void check_batch_size(const Model& model, int64_t batch_size, DiagnosticSink& sink) {
  const auto check = [&](const std::string& name, const TensorSpec& spec, const Place& place) {
    int64_t bytes = 0;
    const auto elements = checked_product(spec.shape);
    if (elements && !__builtin_mul_overflow(*elements, batch_size, &bytes) &&
        !__builtin_mul_overflow(bytes, dtype_bytes(spec.dtype), &bytes) &&
        bytes <= kMaxTensorBytes) {
      return;
    }
    sink.error(DiagKind::kTooLarge, place,
               "\"{}\" of shape {} for {} examples is too large: at most {} bytes", name,
               shape_text(spec.shape), batch_size, kMaxTensorBytes);
  };
  for (const ModelInput& input : model.inputs)
    check(input.name, input.spec, input.place);
  for (const Call& call : model.calls)
    check(call.name, call.output, call.place);
}

}  // namespace gradc
