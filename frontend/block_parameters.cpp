// Filling recurses over JSON, whose depth the reader limits; values that are filled in may not make
// it deeper.
#include "frontend/block_parameters.h"

#include "support/json_index.h"
#include "support/suggest.h"

#include <algorithm>
#include <vector>

namespace gradc {

JsonSize json_size(const Json& value) {
  constexpr size_t kNodeBytes = 32;
  JsonSize size{kNodeBytes, 0};
  if (value.is_string()) size.bytes += value.get_ref<const std::string&>().size();
  const auto add = [&size](const Json& inner, size_t key_bytes) {
    const JsonSize part = json_size(inner);
    size.bytes += part.bytes + key_bytes;
    size.depth = std::max(size.depth, part.depth + 1);
  };
  if (value.is_array()) {
    for (const Json& element : value)
      add(element, 0);
  } else if (value.is_object()) {
    for (const auto& [key, member] : value.items())
      add(member, key.size() + kNodeBytes);
  }
  return size;
}

BlockParameters read_block_parameters(ObjectReader& block, const std::optional<JsonCursor>& with) {
  DiagnosticSink& sink = block.sink();
  BlockParameters parameters;
  const auto defaults = block.get("parameters");
  if (defaults && !defaults->value().is_object())
    report_wrong_type(sink, *defaults, "an object of names and default values");
  if (defaults && defaults->value().is_object()) {
    for (const auto& [key, value] : defaults->value().items())
      parameters[key] = {OwnJson(value), json_size(value)};
  }
  if (!with) return parameters;
  if (!with->value().is_object()) {
    report_wrong_type(sink, *with, "an object of block parameters");
    return parameters;
  }
  std::optional<NameIndex> known;
  for (const auto& [key, value] : with->value().items()) {
    const auto found = parameters.find(key);
    if (found != parameters.end()) {
      found->second = {OwnJson(value), json_size(value)};
      continue;
    }
    if (!known) {
      std::vector<std::string> names;
      for (const auto& [name, unused] : parameters)
        names.push_back(name);
      known.emplace(std::move(names));
    }
    sink.error(DiagKind::kUnknownOption, with->member(key, value).key_place(),
               "the block has no parameter \"{}\"", key)
        .with_help(known->suggestion(key));
  }
  return parameters;
}

namespace {

class Filler {
 public:
  Filler(const BlockParameters& parameters, const JsonCursor& at, ExpansionBudget& budget,
         DiagnosticSink& sink)
      : parameters_(parameters), at_(at), budget_(budget), sink_(sink) {}

  bool fill(Json& value, size_t depth) {
    if (value.is_string()) return fill_text(value, depth);
    size_t i = 0;
    if (value.is_array()) {
      for (Json& element : value) {
        steps_.push_back({nullptr, i++});
        if (!fill(element, depth + 1)) return false;
        steps_.pop_back();
      }
    } else if (value.is_object()) {
      for (auto& [key, member] : value.get_ref<Json::object_t&>()) {
        steps_.push_back({&key, 0});
        if (!fill(member, depth + 1)) return false;
        steps_.pop_back();
      }
    }
    return true;
  }

 private:
  struct Step {
    const std::string* key;  ///< null: an element
    size_t index;
  };

  bool fill_text(Json& value, size_t depth) {
    const auto& text = value.get_ref<const std::string&>();
    if (text.size() < 2 || text[0] != '$') return true;
    const auto found = parameters_.find(text.substr(1));
    if (found == parameters_.end()) {
      report_unknown(text);
      return true;
    }
    const auto& [filled, size] = found->second;
    if (depth + size.depth > kMaxJsonDepth || !budget_.take_bytes(size.bytes)) return false;
    value = Json(*filled);
    return true;
  }

  void report_unknown(const std::string& text) {
    if (!known_) {
      std::vector<std::string> names;
      for (const auto& [name, unused] : parameters_)
        names.push_back("$" + name);
      known_.emplace(std::move(names));
    }
    Place place = at_.place();
    for (const Step& step : steps_) {
      place.pointer += '/';
      place.pointer +=
          step.key != nullptr ? escape_pointer_token(*step.key) : fmt::to_string(step.index);
    }
    sink_
        .error(DiagKind::kUnknownReference, std::move(place),
               "the block has no parameter for \"{}\"", text)
        .with_help(known_->suggestion(text));
  }

  const BlockParameters& parameters_;
  const JsonCursor& at_;
  ExpansionBudget& budget_;
  DiagnosticSink& sink_;
  std::vector<Step> steps_;
  std::optional<NameIndex> known_;
};

}  // namespace

bool fill_block(Json& value, const BlockParameters& parameters, const JsonCursor& at,
                ExpansionBudget& budget, DiagnosticSink& sink) {
  return Filler(parameters, at, budget, sink).fill(value, 0);
}

}  // namespace gradc
