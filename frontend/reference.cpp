// The layer list as Markdown.
#include "frontend/reference.h"

#include "frontend/layer_def.h"
#include "frontend/training_reader.h"
#include "frontend/watch_reader.h"
#include "support/check.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace gradc {
namespace {

/// By the number of spatial axes.
constexpr const char* kSizesText[] = {"integer", "integer or pair", "integer or triple"};
constexpr const char* kPaddingsText[] = {"integer or pair", "integer, pair or two pairs",
                                         "integer, triple or three pairs"};

std::string type_text(const OptionDef& def) {
  switch (def.type) {
    case OptionType::kBool:
      return "boolean";
    case OptionType::kInt:
      return "integer";
    case OptionType::kFloat:
      return "number";
    case OptionType::kString:
      return "text";
    case OptionType::kEnum:
      return fmt::format("{}", fmt::join(split_words(def.choices), " or "));
    case OptionType::kInts:
      return "integers";
    case OptionType::kFloats:
      return "numbers";
    case OptionType::kFloatOrFloats:
      return "number or numbers";
    case OptionType::kSizes:
      return kSizesText[static_cast<size_t>(def.count - 1)];
    case OptionType::kIntOrInts:
      return "integer or integers";
    case OptionType::kPaddings:
      return kPaddingsText[static_cast<size_t>(def.count - 1)];
    case OptionType::kLayer:
      return "layer";
    case OptionType::kLayers:
      return "layer or layers";
    case OptionType::kComponent:
      return std::string(family_name(def.family));
    case OptionType::kFile:
      return "file";
    case OptionType::kNamedInts:
      return "object of integers";
  }
  GRADC_UNREACHABLE();
}

/// A bar ends a cell of a Markdown table.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text)
    out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

void add_options(std::string& out, std::span<const OptionDef> options) {
  if (options.empty()) return;
  out += "\n| option | type | default | meaning |\n|---|---|---|---|\n";
  for (const OptionDef& option : options) {
    out +=
        fmt::format("| `{}` | {} | {} | {} |\n", option.name, type_text(option),
                    option.required() ? "must be given" : fmt::format("`{}`", option.default_json),
                    cell(option.doc));
  }
}

void add_component(std::string& out, const ComponentDef& def) {
  out += fmt::format("\n### {}\n\n{}", def.type, def.summary);
  if (!def.aliases.empty())
    out += fmt::format(" (also: {})", fmt::join(split_words(def.aliases), ", "));
  out += "\n";
  add_options(out, def.options);
}

void add_named_inputs(std::string& out, const LayerDef& def) {
  if (def.named_inputs.empty()) return;
  out += "\n| further input | meaning |\n|---|---|\n";
  for (const NamedInput& input : def.named_inputs)
    out += fmt::format("| `{}` | {} |\n", input.name, cell(input.doc));
}

std::string title(Family family, bool plural) {
  std::string title(family_name(family));
  title[0] = static_cast<char>(title[0] - 'a' + 'A');
  return plural ? title + (title.ends_with('s') ? "es" : "s") : title;
}

}  // namespace

std::string layer_reference() {
  std::string out =
      "# Layers\n\nEvery layer also takes `name`, `inputs` (a name or a list of names), "
      "`trainable`, `learning_rate_multiplier` (its parameters are trained at so many times the "
      "optimizer's rate) and `dtype` (the model's unless given): " +
      fmt::format("{}.\n", fmt::join(split_words(kPolicyNames), ", "));
  for (const LayerDef* def : all_layers()) {
    add_component(out, def->base);
    add_named_inputs(out, *def);
  }
  out += "\nEvery activation below is also a layer of that name.\n";
  for (int f = 0; f < kNumFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    out += fmt::format("\n# {}\n", title(family, true));
    for (const ComponentDef* def : family_members(family))
      add_component(out, *def);
  }
  out += "\n# Training\n";
  add_options(out, training_options());
  out +=
      "\nBesides: `loss`, or `losses` and `loss_weights` by output; `metrics` and "
      "`weighted_metrics`; `class_weight`; `early_stopping`:\n";
  add_options(out, early_stopping_options());
  out += "\nand `reduce_on_plateau`:\n";
  add_options(out, reduce_on_plateau_options());
  return out;
}

std::string layer_reference(std::string_view name) {
  const auto is_named = [&](const ComponentDef& def) {
    const auto aliases = split_words(def.aliases);
    return def.type == name || std::ranges::find(aliases, name) != aliases.end();
  };
  std::string out;
  for (const LayerDef* def : all_layers()) {
    if (!is_named(def->base)) continue;
    out += "# Layer\n";
    add_component(out, def->base);
    add_named_inputs(out, *def);
  }
  for (int f = 0; f < kNumFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    for (const ComponentDef* def : family_members(family)) {
      if (!is_named(*def)) continue;
      out += fmt::format("{}# {}\n", out.empty() ? "" : "\n", title(family, false));
      add_component(out, *def);
    }
  }
  return out;
}

std::vector<std::string> layer_reference_names() {
  std::vector<std::string> names;
  for (const LayerDef* def : all_layers())
    names.emplace_back(def->base.type);
  for (int f = 0; f < kNumFamilies; ++f) {
    for (const ComponentDef* def : family_members(static_cast<Family>(f)))
      names.emplace_back(def->type);
  }
  std::ranges::sort(names);
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace gradc
