// Everything here is iterative over entries, so that thousands of layers cost no stack.
#include "frontend/wiring.h"

#include "frontend/layer_def.h"
#include "frontend/layer_reader.h"
#include "frontend/wired.h"
#include "support/check.h"

#include <algorithm>

namespace gradc {
namespace {

class Wiring {
 public:
  Wiring(Wired& wired, int64_t batch_size)
      : w_(wired), batch_size_(batch_size), sink_(wired.sink), model_(wired.model) {}

  void run() {
    read_layers();
    resolve_sources();
    resolve_ties();
    sort();
    infer_all();
    check_ties();
    check_rows();
  }

 private:
  /// A call of a layer whose matrix is another's, and the shape that it needs that to have.
  struct TiedCall {
    size_t entry;
    Ints shape;
  };

  const LayerEntry& entry(size_t i) const { return w_.entry(i); }
  Source resolve(const Reference& reference, const std::string& prefix) {
    return w_.references.resolve(reference, prefix);
  }

  void read_layers() {
    w_.layer_of.assign(w_.expansion.entries.size(), kNone);
    for (size_t i = 0; i < w_.expansion.entries.size(); ++i) {
      if (entry(i).type == EntryType::kLayer && entry(i).def != nullptr) read_layer(i);
    }
    for (size_t i = 0; i < w_.expansion.entries.size(); ++i) {
      if (entry(i).type != EntryType::kShared || !entry(i).shared_with) continue;
      const Source source = resolve(*entry(i).shared_with, entry(i).prefix);
      const bool good = !source.is_input && source.index != kNone &&
                        entry(source.index).type == EntryType::kLayer;
      if (good) {
        w_.layer_of[i] = w_.layer_of[source.index];
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
    if (!read_layer_members(sink_, e.json, layer) || !takes_files(layer)) return;
    w_.layer_of[i] = w_.layers.size();
    w_.layers.push_back(std::move(layer));
  }

  /// What layers hold of files is counted, as a block may repeat them: each is understood anew.
  bool takes_files(const Layer& layer) {
    constexpr size_t kMaxBytes = size_t{16} << 20U;
    for (const OptionDef& option : layer.def->base.options) {
      if (option.type == OptionType::kLayer && layer.component.options.has(option.name) &&
          !takes_files(*layer.component.options.layer(option.name)))
        return false;
      if (option.type != OptionType::kFile) continue;
      const size_t before = file_bytes_;
      file_bytes_ += layer.component.options.file(option.name).text().size();
      if (file_bytes_ <= kMaxBytes) continue;
      if (before <= kMaxBytes) {
        sink_.error(DiagKind::kTooLarge, layer.place,
                    "the files that layers name have more than {} bytes, counted for each layer",
                    kMaxBytes);
      }
      return false;
    }
    return true;
  }

  /// "tied_to": the layer that holds the matrix.
  void resolve_ties() {
    for (size_t i = 0; i < w_.expansion.entries.size(); ++i) {
      if (entry(i).type != EntryType::kLayer || w_.layer_of[i] == kNone) continue;
      Layer& layer = w_.layers[w_.layer_of[i]];
      const Options& options = layer.component.options;
      if (!options.defines("tied_to") || !options.has("tied_to")) continue;
      Place place = layer.place;
      place.pointer += "/tied_to";
      const std::string& name = options.text("tied_to");
      const Source source = resolve({entry(i).prefix + name, name, place}, entry(i).prefix);
      if (source.index == kNone) continue;
      if (source.is_input) {
        sink_.error(DiagKind::kUnknownReference, place,
                    "\"{}\" is an input, not a layer that holds a matrix", name);
        continue;
      }
      if (w_.layer_of[source.index] == kNone) continue;  // reported where it was read
      layer.tie = Tie{.layer = w_.layer_of[source.index], .held = {}};
    }
    for (Layer& layer : w_.layers) {
      if (layer.tie) find_table(layer);
    }
  }

  void find_table(Layer& layer) {
    const Layer& holder = w_.layers[layer.tie->layer];
    layer.tie->held = std::string(holder.def->table);
    const bool tied_too =
        holder.component.options.defines("tied_to") && holder.component.options.has("tied_to");
    if (!layer.tie->held.empty() && !tied_too) return;
    Place place = layer.place;
    place.pointer += "/tied_to";
    Diagnostic& error =
        sink_.error(DiagKind::kUnsupported, place, "{} layer \"{}\" is tied to {} \"{}\", which {}",
                    layer.component.written_type, layer.name, holder.component.written_type,
                    holder.name, tied_too ? "is tied itself" : "holds no matrix");
    error.with_help(tied_too ? "name the layer that holds the matrix"
                             : "name an embedding or a dense layer");
  }

  /// What is trained by rows must have no use for the others.
  void check_rows() {
    const auto refuse = [&](const Layer& layer, const std::string& why, const char* what) {
      Place place = layer.place;
      place.pointer += "/sparse";
      sink_
          .error(DiagKind::kUnsupported, place,
                 "{} \"{}\" is sparse: a step moves only rows that its batch looks up, but {}",
                 layer.component.written_type, layer.name, why)
          .with_help(fmt::format("leave {} out, or \"sparse\"", what));
    };
    for (const Layer& layer : w_.layers) {
      for (const ParameterSpec& spec : layer.parameters) {
        if (!spec.by_rows) continue;
        if (spec.regularizer)
          refuse(layer, "its regularizer has a gradient for all rows", "the regularizer");
        if (spec.constraint) refuse(layer, "its constraint changes all rows", "the constraint");
      }
    }
    for (const Layer& layer : w_.layers) {
      if (!layer.tie) continue;
      for (const ParameterSpec& spec : w_.layers[layer.tie->layer].parameters) {
        if (!spec.by_rows || spec.name != layer.tie->held) continue;
        refuse(w_.layers[layer.tie->layer],
               fmt::format("{} \"{}\", which is tied to it, has a gradient for all rows",
                           layer.component.written_type, layer.name),
               "\"tied_to\"");
      }
    }
  }

  /// The matrix that a layer is tied to must be there, transposed.
  void check_ties() {
    for (const TiedCall& call : tied_) {
      const Layer& layer = w_.layers[w_.layer_of[call.entry]];
      const Layer& holder = w_.layers[layer.tie->layer];
      for (const ParameterSpec& parameter : holder.parameters) {
        if (parameter.name != layer.tie->held || parameter.shape == call.shape) continue;
        sink_
            .error(DiagKind::kShapeMismatch, entry(call.entry).json.place(),
                   "{} layer \"{}\" is tied to a matrix of shape {}, but \"{}\" of \"{}\" has "
                   "shape {}",
                   layer.component.written_type, layer.name, shape_text(call.shape), parameter.name,
                   holder.name, shape_text(parameter.shape))
            .with_note("a dense layer's kernel is the transposed matrix: [units, features]");
      }
    }
  }

  void resolve_sources() {
    w_.sources.resize(w_.expansion.entries.size());
    for (size_t i = 0; i < w_.expansion.entries.size(); ++i) {
      for (const Reference& reference : entry(i).inputs)
        w_.sources[i].push_back(resolve(reference, entry(i).prefix));
      for (const auto& named : entry(i).named) {
        if (named) w_.sources[i].push_back(resolve(*named, entry(i).prefix));
      }
    }
  }

  const Reference& reference_of(size_t i, size_t operand) const {
    const LayerEntry& e = entry(i);
    if (operand < e.inputs.size()) return e.inputs[operand];
    size_t left = operand - e.inputs.size();
    for (const auto& named : e.named) {
      if (named && left-- == 0) return *named;
    }
    GRADC_UNREACHABLE();
  }

  /// Depth-first over the inputs, in file order; an edge back into the current path is a cycle.
  void sort() {
    enum : uint8_t { kNew, kOpen, kDone };
    std::vector<uint8_t> state(w_.sources.size(), kNew);
    struct Step {
      size_t entry;
      size_t next;
    };
    for (size_t root = 0; root < w_.sources.size(); ++root) {
      std::vector<Step> path;
      if (state[root] == kNew) path.push_back({root, 0});
      while (!path.empty()) {
        Step& step = path.back();
        state[step.entry] = kOpen;
        if (step.next == w_.sources[step.entry].size()) {
          state[step.entry] = kDone;
          w_.order.push_back(step.entry);
          path.pop_back();
          continue;
        }
        const size_t operand = step.next++;
        const size_t at = step.entry;
        const Source source = w_.sources[at][operand];
        if (source.is_input || source.index == kNone || state[source.index] == kDone) continue;
        if (state[source.index] == kNew) {
          path.push_back({source.index, 0});
          continue;
        }
        std::string text = entry(source.index).name;
        for (size_t k = path.size(); k-- > 0 && path[k].entry != source.index;)
          text += " -> " + entry(path[k].entry).name;
        sink_
            .error(DiagKind::kCycle, reference_of(at, operand).place,
                   "layers form a cycle: {} -> {}", text, entry(source.index).name)
            .with_note("a -> b: layer b takes the result of a");
        w_.sources[at][operand].index = kNone;
      }
    }
  }

  void infer_all() {
    w_.results.resize(w_.sources.size());
    for (const size_t i : w_.order)
      infer_entry(i);
    constexpr int64_t kTooMany = int64_t{1} << 61;
    int64_t total = 0;
    for (const Layer& layer : w_.layers) {
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
    if (w_.layer_of[i] == kNone) return;
    Layer& layer = w_.layers[w_.layer_of[i]];
    std::vector<TensorSpec> inputs;
    std::vector<bool> masks;
    for (size_t k = 0; k < w_.sources[i].size(); ++k) {
      Source& source = w_.sources[i][k];
      if (source.index == kNone) return;
      if (!source.is_input && w_.results[source.index].empty()) return;  // reported there
      if (!w_.find_result(source, reference_of(i, k))) return;
      inputs.push_back(source.is_input ? model_.inputs[source.index].spec
                                       : w_.results[source.index][source.position].spec);
      masks.push_back(!source.is_input && w_.results[source.index][source.position].masked);
    }
    const size_t in_order = entry(i).inputs.size();
    std::vector<std::optional<TensorSpec>> named(entry(i).named.size());
    for (size_t n = 0, next = in_order; n < named.size(); ++n) {
      if (entry(i).named[n]) named[n] = std::move(inputs[next++]);
    }
    inputs.resize(in_order);
    masks.resize(in_order);
    for (TensorSpec& input : inputs)
      input.dtype = layer.seen(input.dtype);
    const bool masked = std::find(masks.begin(), masks.end(), true) != masks.end();
    const Place place = entry(i).json.place();
    LayerInferArgs args{.layer = layer,
                        .inputs = inputs,
                        .sink = sink_,
                        .place = place,
                        .batch_size = batch_size_,
                        .masked = masked,
                        .masks = std::move(masks),
                        .named = std::move(named),
                        .output = {},
                        .parameters = {}};
    if (!check_inputs(args) || !check_mask(args) || !infer_layer(args) || !check_sizes(args))
      return;
    args.output.dtype = layer.seen(args.output.dtype);
    if (!layer.parameters.empty() && !same_parameters(layer, args)) return;
    if (layer.tie) tied_.push_back({i, args.tied_shape});
    layer.parameters = std::move(args.parameters);
    const bool result_masked = layer.def->masks == MaskRule::kCarries ? masked : args.output_masked;
    w_.results[i].push_back({entry(i).name, std::move(args.output), result_masked});
    for (CallResult& result : args.more) {
      result.spec.dtype = w_.results[i].front().spec.dtype;
      w_.results[i].push_back(
          {entry(i).name + "." + result.name, std::move(result.spec), result.masked});
    }
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
    const std::string what = fmt::format("a result for {} examples", batch_size_);
    for (const CallResult& result : args.more) {
      if (too_large(what, result.spec.shape, element * batch_size_)) return false;
    }
    return !too_large(what, args.output.shape, element * batch_size_);
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

  Wired& w_;
  int64_t batch_size_;
  DiagnosticSink& sink_;
  Model& model_;
  std::vector<TiedCall> tied_;
  size_t file_bytes_ = 0;
};

}  // namespace

void connect_layers(Expansion& expansion, const std::optional<JsonCursor>& outputs,
                    int64_t batch_size, DiagnosticSink& sink, Model& model) {
  model.inputs = expansion.inputs;
  References references(expansion, sink);
  Wired wired{.expansion = expansion, .references = references, .sink = sink, .model = model};
  Wiring(wired, batch_size).run();
  take_needed_parts(wired, outputs);
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
  for (const Call& call : model.calls) {
    for (const CallResult& result : call.results)
      check(result.name, result.spec, call.place);
  }
}

}  // namespace gradc
