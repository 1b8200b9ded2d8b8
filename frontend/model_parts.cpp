// Outputs, and the layers that reach one: they become the model's, others are reported.
#include "frontend/wired.h"

namespace gradc {
namespace {

class PartTaker {
 public:
  explicit PartTaker(Wired& wired) : w_(wired), sink_(wired.sink), model_(wired.model) {}

  void run(const std::optional<JsonCursor>& outputs) {
    read_outputs(outputs);
    keep_needed();
  }

 private:
  void read_outputs(const std::optional<JsonCursor>& outputs) {
    if (!outputs) {
      if (w_.expansion.last.empty() || w_.expansion.entries.empty()) return;
      add_output({w_.expansion.last, w_.expansion.last, {.file = model_.file}});
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
    Source source = w_.references.resolve(reference, "");
    if (source.index == kNone) return;
    if (source.is_input) {
      sink_.error(DiagKind::kUnknownReference, reference.place,
                  "the output \"{}\" is an input; outputs are layers", reference.written);
      return;
    }
    if (!source.is_input && !w_.results[source.index].empty() && !w_.find_result(source, reference))
      return;
    const auto [first, fresh] = wanted_names_.emplace(reference.written, reference.place);
    if (!fresh) {
      sink_
          .error(DiagKind::kDuplicateName, reference.place, "the output \"{}\" is listed twice",
                 reference.written)
          .with_note("first listed here", first->second);
      return;
    }
    wanted_.push_back({reference.written, source.index, source.position, reference.place});
  }

  void keep_needed() {
    if (sink_.has_errors()) return;
    find_needed();
    layer_index_.assign(w_.layers.size(), kNone);
    value_of_.assign(w_.sources.size(), kNone);
    // Layers keep the file's order, calls the topological one.
    for (size_t i = 0; i < w_.sources.size(); ++i) {
      const bool held = w_.layer_of[i] != kNone && held_[w_.layer_of[i]];
      if (w_.entry(i).type == EntryType::kLayer && (needed_[i] || held)) take_layer(w_.layer_of[i]);
    }
    for (const size_t i : w_.order) {
      if (needed_[i]) {
        take_call(i);
      } else if (w_.entry(i).type != EntryType::kLayer || !held_[w_.layer_of[i]]) {
        sink_.warning(DiagKind::kUnusedLayer, w_.entry(i).json.place(),
                      "layer \"{}\" reaches no output and is left out", w_.entry(i).name);
      }
    }
    model_.layers.shrink_to_fit();  // they stay as long as the model does
    model_.calls.shrink_to_fit();
    for (Layer& layer : model_.layers) {
      if (layer.tie) layer.tie->layer = layer_index_[layer.tie->layer];
    }
    for (const Wanted& output : wanted_)
      model_.outputs.push_back(
          {output.name, value_of_[output.entry] + output.result, output.place});
  }

  /// Entries that reach an output, and layers whose matrices these have.
  void find_needed() {
    needed_.assign(w_.sources.size(), false);
    held_.assign(w_.layers.size(), false);
    for (const Wanted& output : wanted_)
      needed_[output.entry] = true;
    for (size_t k = w_.order.size(); k-- > 0;) {
      const size_t i = w_.order[k];
      if (!needed_[i]) continue;
      if (const auto& tie = w_.layers[w_.layer_of[i]].tie) held_[tie->layer] = true;
      for (const Source& source : w_.sources[i]) {
        if (!source.is_input) needed_[source.index] = true;
      }
    }
  }

  size_t take_layer(size_t layer) {
    size_t& index = layer_index_[layer];
    if (index == kNone) {
      index = model_.layers.size();
      model_.layers.push_back(w_.layers[layer]);
    }
    return index;
  }

  void take_call(size_t i) {
    Call call{.name = w_.entry(i).name,
              .layer = take_layer(w_.layer_of[i]),  // maybe only a shared use is needed
              .inputs = {},
              .first = model_.num_values(),
              .results = std::move(w_.results[i]),
              .place = w_.entry(i).json.place()};
    const auto value = [&](const Source& source) {
      return source.is_input ? source.index : value_of_[source.index] + source.position;
    };
    auto source = w_.sources[i].begin();
    for (size_t k = 0; k < w_.entry(i).inputs.size(); ++k)
      call.inputs.push_back(value(*source++));
    for (const auto& named : w_.entry(i).named)
      call.named.push_back(named ? std::optional(value(*source++)) : std::nullopt);
    value_of_[i] = call.first;
    model_.calls.push_back(std::move(call));
  }

  struct Wanted {
    std::string name;
    size_t entry;
    size_t result;
    Place place;
  };

  Wired& w_;
  DiagnosticSink& sink_;
  Model& model_;
  std::vector<Wanted> wanted_;
  std::map<std::string, Place> wanted_names_;
  std::vector<bool> needed_;          ///< entries
  std::vector<bool> held_;            ///< layers of w_ whose matrix another one is tied to
  std::vector<size_t> layer_index_;   ///< in the model, of layers of w_
  std::vector<ModelValue> value_of_;  ///< of entries: the first result
};

}  // namespace

void take_needed_parts(Wired& wired, const std::optional<JsonCursor>& outputs) {
  PartTaker(wired).run(outputs);
}

}  // namespace gradc
