// Option values and look-up in the families.
#include "frontend/options.h"

#include "frontend/component_reader.h"
#include "frontend/families.h"
#include "support/check.h"

#include <algorithm>

namespace gradc {

std::string_view family_name(Family family) {
  switch (family) {
    case Family::kActivation:
      return "activation";
    case Family::kInitializer:
      return "initializer";
    case Family::kRegularizer:
      return "regularizer";
    case Family::kConstraint:
      return "constraint";
    case Family::kLoss:
      return "loss";
    case Family::kMetric:
      return "metric";
    case Family::kOptimizer:
      return "optimizer";
    case Family::kSchedule:
      return "learning-rate schedule";
  }
  GRADC_UNREACHABLE();
}

void Options::set(std::string_view name, OptionValue value) {
  for (auto& [known, old] : values_) {
    if (known != name) continue;
    old = std::move(value);
    return;
  }
  values_.emplace_back(name, std::move(value));
}

const OptionValue* Options::find(std::string_view name) const {
  const auto found =
      std::ranges::find(values_, name, [](const auto& value) { return value.first; });
  return found == values_.end() ? nullptr : &found->second;
}

const OptionValue& Options::get(std::string_view name) const {
  const OptionValue* found = find(name);
  GRADC_CHECK(found != nullptr, "option \"{}\" is not in the table", name);
  return *found;
}

namespace {
template <class T>
const T& as(const OptionValue& value, std::string_view name) {
  const T* typed = std::get_if<T>(&value);
  GRADC_CHECK(typed != nullptr, "option \"{}\" is read as another type than its table says", name);
  return *typed;
}
}  // namespace

bool Options::has(std::string_view name) const {
  return !std::holds_alternative<NoValue>(get(name));
}
bool Options::flag(std::string_view name) const {
  return as<bool>(get(name), name);
}
int64_t Options::integer(std::string_view name) const {
  return as<int64_t>(get(name), name);
}
double Options::number(std::string_view name) const {
  return as<double>(get(name), name);
}
double Options::number_or(std::string_view name, double otherwise) const {
  return has(name) ? number(name) : otherwise;
}
const std::string& Options::text(std::string_view name) const {
  return as<std::string>(get(name), name);
}
const Ints& Options::ints(std::string_view name) const {
  return as<Ints>(get(name), name);
}
const std::vector<double>& Options::numbers(std::string_view name) const {
  return as<std::vector<double>>(get(name), name);
}
const Component* Options::component(std::string_view name) const {
  if (!has(name)) return nullptr;
  return as<std::shared_ptr<const Component>>(get(name), name).get();
}

const std::vector<std::shared_ptr<const Layer>>& Options::layers(std::string_view name) const {
  return as<std::vector<std::shared_ptr<const Layer>>>(get(name), name);
}
const SourceFile& Options::file(std::string_view name) const {
  return *as<std::shared_ptr<const SourceFile>>(get(name), name);
}
const NamedInts& Options::named_ints(std::string_view name) const {
  return as<NamedInts>(get(name), name);
}
const Layer* Options::layer(std::string_view name) const {
  if (!has(name)) return nullptr;
  return as<std::shared_ptr<const Layer>>(get(name), name).get();
}

std::span<const ComponentDef* const> family_members(Family family) {
  switch (family) {
    case Family::kActivation:
      return activation_components();
    case Family::kInitializer:
      return initializer_components();
    case Family::kRegularizer:
      return regularizer_components();
    case Family::kConstraint:
      return constraint_components();
    case Family::kLoss:
      return loss_components();
    case Family::kMetric:
      return metric_components();
    case Family::kOptimizer:
      return optimizer_components();
    case Family::kSchedule:
      return schedule_components();
  }
  GRADC_UNREACHABLE();
}

std::vector<std::string> split_words(std::string_view words) {
  std::vector<std::string> list;
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (end > 0) list.emplace_back(words.substr(0, end));
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return list;
}

bool has_name(const ComponentDef& def, std::string_view name) {
  if (def.type == name) return true;
  if (name.empty() || name.find(' ') != std::string_view::npos) return false;
  for (size_t at = def.aliases.find(name); at != std::string_view::npos;
       at = def.aliases.find(name, at + 1)) {
    const size_t end = at + name.size();
    const bool starts = at == 0 || def.aliases[at - 1] == ' ';
    const bool ends = end == def.aliases.size() || def.aliases[end] == ' ';
    if (starts && ends) return true;
  }
  return false;
}

const ComponentDef* find_member(Family family, std::string_view name) {
  for (const ComponentDef* def : family_members(family)) {
    if (has_name(*def, name)) return def;
  }
  return nullptr;
}

std::vector<std::string> member_names(Family family) {
  std::vector<std::string> names;
  for (const ComponentDef* def : family_members(family)) {
    names.emplace_back(def->type);
    for (std::string& alias : split_words(def->aliases))
      names.push_back(std::move(alias));
  }
  return names;
}

Component default_component(Family family, std::string_view type) {
  const ComponentDef* def = find_member(family, type);
  GRADC_CHECK(def != nullptr, "no {} \"{}\"", family_name(family), type);
  Component component{def, std::string(type), {}, {}};
  fill_defaults(def->options, component.options);
  return component;
}

}  // namespace gradc
