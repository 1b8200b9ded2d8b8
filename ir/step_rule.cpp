#include "ir/step_rule.h"

#include "ir/op.h"
#include "ir/ops/step_pieces.h"
#include "ir/optimizer_spec.h"
#include "ir/step_size.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

namespace gradc {

namespace {

constexpr StepNumber kWeightDecay = {"weight_decay"};
constexpr std::string_view kRule = "rule";

size_t count_of(const StepRule& rule) {
  return rule.numbers.size() + 1;
}

const StepNumber& number_of(const StepRule& rule, size_t i) {
  return i < rule.numbers.size() ? rule.numbers[i] : kWeightDecay;
}

/// Where the rule keeps a number; count_of(rule) for an unknown name.
size_t place_of(const StepRule& rule, std::string_view name) {
  size_t i = 0;
  while (i < count_of(rule) && number_of(rule, i).name != name)
    ++i;
  return i;
}

}  // namespace

StepAttrs::StepAttrs(std::string_view rule, Numbers numbers) : rule_(find_step_rule(rule)) {
  GRADC_CHECK(rule_ != nullptr, "no optimizer rule \"{}\"", rule);
  for (size_t i = 0; i < count_of(*rule_); ++i)
    numbers_.push_back(number_of(*rule_, i).initial);
  for (const auto& [name, value] : numbers)
    set(name, value);
}

double StepAttrs::number(std::string_view name) const {
  const size_t place = place_of(*rule_, name);
  GRADC_CHECK(place < numbers_.size(), "rule {} has no number {}", rule_->name, name);
  return numbers_[place];
}

void StepAttrs::set(std::string_view name, double value) {
  const size_t place = place_of(*rule_, name);
  GRADC_CHECK(place < numbers_.size(), "rule {} has no number {}", rule_->name, name);
  numbers_[place] = value;
}

bool StepAttrs::operator==(const StepAttrs& other) const {
  return rule_ == other.rule_ &&
         std::equal(numbers_.begin(), numbers_.end(), other.numbers_.begin(), other.numbers_.end(),
                    [](double a, double b) { return attr_detail::equal_field(a, b); });
}

uint64_t StepAttrs::hash() const {
  uint64_t h = attr_detail::hash_field(17, std::string(rule_->name));
  for (const double number : numbers_)
    h = attr_detail::hash_field(h, number);
  return h;
}

const StepRule* find_step_rule(std::string_view name) {
  const std::span<const StepRule* const> all = all_step_rules();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const StepRule* rule) { return rule->name == name; });
  return found == all.end() ? nullptr : *found;
}

std::span<const StepRule* const> all_step_rules() {
  static const std::vector<const StepRule*> all = [] {
    std::vector<const StepRule*> rules;
    for (const std::span<const StepRule> family :
         {ops::descent_rules(), ops::moment_rules(), ops::factored_rules(),
          ops::orthogonal_rules()}) {
      for (const StepRule& rule : family)
        rules.push_back(&rule);
    }
    return rules;
  }();
  return all;
}

Val Num::like(Val x) const {
  if (is_constant()) return x.builder().splat(value_, x.type());
  return broadcast(cast(source_->read(formula_, value_), x.dtype()), x.shape(), {});
}

Num StepNumbers::of(std::string_view name) const {
  if (source != nullptr) source->uses(name);
  return {attrs->number(name), std::string(name), source};
}

std::vector<StepSlot> step_slots(const StepAttrs& attrs, const TensorType& parameter) {
  const StepRule& rule = attrs.rule();
  return rule.slots == nullptr ? std::vector<StepSlot>{} : rule.slots(attrs, parameter);
}

size_t num_step_scalars(const StepAttrs& attrs) {
  const StepRule& rule = attrs.rule();
  return rule.num_scalars == nullptr ? 1 : rule.num_scalars(attrs);
}

std::vector<Val> expand_step(StepOperands operands, Val decay) {
  StepOperands& o = operands;
  if (decay.valid()) o.w = o.w - o.w * broadcast(decay, o.w.shape(), {});
  return o.attrs->rule().expand(*o.attrs, o);
}

namespace {

/// Whether a node gives each element from the elements in its place and numbers.
bool is_element_wise(const Graph& graph, const Node& node) {
  if (node.op == Op::kBroadcast) return graph.type(node.operands[0]).rank() == 0;
  return node.op == Op::kConstant || def(node.op).has(kTraitElementwise);
}

/// Writes the step of a small matrix; false where a slot has another type than its parameter.
bool write_formula(const StepAttrs& attrs, Graph& graph) {
  Builder b(graph);
  const TensorType type = {DType::kF32, Shape{3, 2}};
  const auto operand = [&](const TensorType& t) { return b.input(InputKind::kInput, t, "", "x"); };
  StepOperands o;
  o.attrs = &attrs;
  o.w = operand(type);
  o.g = operand(type);
  for (const StepSlot& slot : step_slots(attrs, type)) {
    if (slot.type != type) return false;
    o.slots.push_back(operand(type));
  }
  for (size_t i = 0; i < num_step_scalars(attrs); ++i)
    o.scalars.push_back(operand({DType::kF32, {}}));
  expand_step(std::move(o), attrs.decays() ? operand({DType::kF32, {}}) : Val());
  return true;
}

}  // namespace

size_t element_wise_size(const StepAttrs& attrs) {
  Graph formula("step");
  if (!write_formula(attrs, formula)) return 0;
  size_t size = 0;
  for (const NodeId id : formula.nodes()) {
    const Node& node = formula.node(id);
    if (node.op == Op::kConstant) continue;
    if (!is_element_wise(formula, node) || formula.type(node.results[0]).rank() == 0) return 0;
    size += node.op == Op::kBroadcast ? 0 : 1;
  }
  return size;
}

std::string_view why_not_by_rows(const StepAttrs& attrs) {
  if (attrs.decays()) return "decays all weights";
  Graph formula("step");
  if (!write_formula(attrs, formula)) return "remembers something of the whole parameter";
  for (const NodeId id : formula.nodes()) {
    if (!is_element_wise(formula, formula.node(id))) return "looks at the whole parameter";
  }
  return {};
}

std::string slot_name(std::string_view parameter, const StepSlot& slot) {
  return fmt::format("optimizer/{}/{}", parameter, slot.name);
}
std::string slot_name(const SharedSlot& slot) {
  return fmt::format("optimizer/{}", slot.name);
}

namespace {

/// Where the specification itself keeps a number; null: the rule has it.
template <class Spec>
auto* clip_of(Spec& spec, std::string_view name) {
  if (name == "clipvalue") return &spec.clip_value;
  if (name == "clipnorm") return &spec.clip_norm;
  return name == "global_clipnorm" ? &spec.global_clip_norm : nullptr;
}

}  // namespace

double OptimizerSpec::number(std::string_view name) const {
  const double* const clip = clip_of(*this, name);
  return clip != nullptr ? *clip : step.number(name);
}

void OptimizerSpec::set(std::string_view name, double value) {
  if (double* const clip = clip_of(*this, name))
    *clip = value;
  else
    step.set(name, value);
}

namespace attr_detail {

std::vector<std::pair<NamedAttr, bool>> step_fields(const void* attrs) {
  const auto& self = *static_cast<const StepAttrs*>(attrs);
  const StepRule& rule = self.rule();
  const bool is_default = rule.name == StepAttrs().rule().name;
  std::vector<std::pair<NamedAttr, bool>> result;
  result.emplace_back(NamedAttr{std::string(kRule), std::string(rule.name)}, !is_default);
  for (size_t i = 0; i < count_of(rule); ++i) {
    const StepNumber& number = number_of(rule, i);
    const double value = self.number(number.name);
    const AttrValue shown = number.is_flag ? AttrValue(value != 0.0) : AttrValue(value);
    result.emplace_back(NamedAttr{std::string(number.name), shown}, value != number.initial);
  }
  return result;
}

bool equal_steps(const void* a, const void* b) {
  return *static_cast<const StepAttrs*>(a) == *static_cast<const StepAttrs*>(b);
}

uint64_t hash_step(const void* attrs) {
  return static_cast<const StepAttrs*>(attrs)->hash();
}

Result<std::shared_ptr<const void>> step_from_fields(std::span<const NamedAttr> fields) {
  StepAttrs attrs;
  for (const auto& [name, value] : fields) {
    if (name != kRule) continue;
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return wrong_type(name, value, "a word");
    if (find_step_rule(*text) == nullptr) {
      std::string known;
      for (const StepRule* known_rule : all_step_rules())
        known += (known.empty() ? "" : ", ") + std::string(known_rule->name);
      return make_error(DiagKind::kIrInvalid, {}, "unknown rule \"{}\"; known: {}", *text, known);
    }
    attrs = StepAttrs(*text);
  }
  for (const auto& [name, value] : fields) {
    if (name == kRule) continue;
    const StepRule& rule = attrs.rule();
    const size_t place = place_of(rule, name);
    if (place == count_of(rule)) {
      std::vector<std::string_view> known = {kRule};
      for (size_t i = 0; i < count_of(rule); ++i)
        known.push_back(number_of(rule, i).name);
      return unknown_field(name, known);
    }
    bool flag = false;
    double number = 0.0;
    const bool is_flag = number_of(rule, place).is_flag;
    if (is_flag ? !from_value(value, flag) : !from_value(value, number))
      return wrong_type(name, value, "a number");
    attrs.set(name, is_flag ? static_cast<double>(flag) : number);
  }
  return std::shared_ptr<const void>(std::make_shared<const StepAttrs>(std::move(attrs)));
}

}  // namespace attr_detail

}  // namespace gradc
