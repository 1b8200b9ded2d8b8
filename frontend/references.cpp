#include "frontend/wired.h"

namespace gradc {

References::References(Expansion& expansion, DiagnosticSink& sink)
    : expansion_(expansion), sink_(sink) {
  for (size_t i = 0; i < expansion.inputs.size(); ++i)
    inputs_[expansion.inputs[i].name] = i;
  for (size_t i = 0; i < expansion.entries.size(); ++i)
    entries_[expansion.entries[i].name] = i;
}

Source References::resolve(const Reference& reference, const std::string& prefix) {
  if (auto meaning = expansion_.resolve(reference.name)) {
    if (meaning->name.empty()) {
      sink_.error(DiagKind::kCycle, reference.place,
                  "layers form a cycle: the result of \"{}\" is its own input", reference.written);
      return {};
    }
    const auto input = inputs_.find(meaning->name);
    if (input != inputs_.end() && meaning->result.empty()) return {true, input->second};
    if (const auto found = entries_.find(meaning->name); found != entries_.end())
      return {false, found->second, std::move(meaning->result)};
    if (input == inputs_.end()) return {};  // a layer that could not be read
  }
  sink_
      .error(DiagKind::kUnknownReference, reference.place, "no layer or input is named \"{}\"",
             reference.written)
      .with_help(names_in(prefix).suggestion(reference.written));
  return {};
}

bool Wired::find_result(Source& source, const Reference& reference) {
  if (source.is_input || source.result.empty()) return true;
  const std::vector<CallResult>& known = results[source.index];
  const LayerEntry& from = entry(source.index);
  const std::string wanted = from.name + "." + source.result;
  std::string names;
  for (size_t i = 0; i < known.size(); ++i) {
    if (known[i].name == wanted) {
      source.position = i;
      return true;
    }
    if (i > 0) names += fmt::format("{}\"{}\"", i > 1 ? ", " : "", known[i].name);
  }
  sink.error(DiagKind::kUnknownReference, reference.place, "layer \"{}\" has no result \"{}\"",
             from.name, source.result)
      .with_help(known.size() > 1
                     ? fmt::format("beside \"{}\" it has {}", from.name, names)
                     : "\"return_state\", \"return_attention_scores\" and \"merge_mode\": null "
                       "give layers more than one");
  return false;
}

/// What can be referred to in a scope, made when the first wrong name of it is met.
const NameIndex& References::names_in(const std::string& prefix) {
  const auto [entry, fresh] = known_.try_emplace(prefix);
  if (!fresh) return entry->second;
  std::vector<std::string> known;
  for (auto at = expansion_.declared.lower_bound(prefix);
       at != expansion_.declared.end() && at->first.starts_with(prefix); ++at) {
    if (at->first.find('/', prefix.size()) == std::string::npos)
      known.push_back(at->first.substr(prefix.size()));
  }
  return entry->second = NameIndex(std::move(known));
}

}  // namespace gradc
