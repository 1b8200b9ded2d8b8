// Optimizers. A rule, how one step changes a parameter, is one row of a table in
// ir/ops/step_*.cpp: its numbers, what it remembers, its formula as graph and in double. The op
// optimizer_step applies a rule to one parameter; the pass apply_optimizer asks the rule for all
// else, and names none. The frontend adds the options that people write (frontend/optimizers.cpp).
#pragma once

#include "ir/builder.h"
#include "ir/tensor.h"

#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

struct StepRule;

/// A number that a rule's formula has; flags are 0 or 1.
struct StepNumber {
  std::string_view name;
  double initial = 0.0;
  bool is_flag = false;
};

/// Attributes of optimizer_step: the rule, its numbers, and `weight_decay`, which every rule has
/// (w - learning_rate weight_decay w before the step, as Keras 3 does).
class StepAttrs {
 public:
  using Numbers = std::initializer_list<std::pair<std::string_view, double>>;
  StepAttrs() : StepAttrs("sgd") {}
  explicit StepAttrs(std::string_view rule, Numbers numbers = {});

  const StepRule& rule() const { return *rule_; }
  double number(std::string_view name) const;
  bool flag(std::string_view name) const { return number(name) != 0.0; }
  void set(std::string_view name, double value);
  bool decays() const { return number("weight_decay") != 0.0; }
  bool operator==(const StepAttrs& other) const;
  uint64_t hash() const;

 private:
  const StepRule* rule_;
  std::vector<double> numbers_;  ///< the rule's, then weight_decay
};

/// What a rule remembers of one parameter: the state "optimizer/<layer>/<parameter>/<name>".
struct StepSlot {
  std::string_view name;  ///< Keras's
  TensorType type;
  double initial_value = 0.0;
};

/// What a rule remembers once, for all parameters: the state "optimizer/<name>", f32[].
struct SharedSlot {
  std::string_view name;
  double initial_value = 0.0;
};

/// Where a step reads its numbers when they may change from step to step.
class NumberSource {
 public:
  virtual ~NumberSource() = default;
  /// A number that the step follows from.
  virtual void uses(std::string_view name) = 0;
  /// f64[]: what a formula of numbers gives, which is `value` for those of the rule's attributes.
  virtual Val read(const std::string& formula, double value) = 0;
};

/// A number in a rule's formula as graph, or what arithmetic on the host makes of it ("1 -
/// beta_1"): a constant, or read from a source, with the same bits.
class Num {
 public:
  Num(double value) : value_(value) {}  // NOLINT(google-explicit-constructor): a constant
  Num(double value, std::string formula, NumberSource* source)
      : value_(value), formula_(std::move(formula)), source_(source) {}
  /// Of constants alone.
  bool is_constant() const { return source_ == nullptr; }
  double value() const { return value_; }
  const std::string& formula() const { return formula_; }
  /// The same of another formula.
  Num become(double value, std::string formula) const {
    return {value, is_constant() ? std::string() : std::move(formula), source_};
  }
  /// Repeated to a value's type.
  Val like(Val x) const;

 private:
  double value_;
  std::string formula_;
  NumberSource* source_ = nullptr;
};

/// The numbers of a rule as its formula sees them.
struct StepNumbers {
  const StepAttrs* attrs = nullptr;
  NumberSource* source = nullptr;  ///< null: constants
  Num of(std::string_view name) const;
};

/// When a step is made: the learning rate, the number of the step from 1, the shared slots (all
/// f32[]).
struct StepTime : StepNumbers {
  Val learning_rate;
  Val number;
  std::span<const Val> shared;
};

/// What all parameters have in common in one step, f32[]: operands of each optimizer_step, and the
/// new values of the shared slots.
struct StepScalars {
  std::vector<Val> operands;
  std::vector<Val> shared;
};

/// The operands of one expansion: w is decayed already, scalars have the parameter's dtype, no
/// dimensions.
struct StepOperands : StepNumbers {
  Val w, g;
  std::vector<Val> slots;
  std::vector<Val> scalars;
  /// A scalar repeated to the parameter's shape.
  Val like_w(size_t scalar) const { return broadcast(scalars[scalar], w.shape(), {}); }
};

/// The same for the reference evaluation.
struct StepValues {
  const Tensor& w;
  const Tensor& g;
  std::span<const Tensor* const> slots;
  std::vector<double> scalars;
  Tensor& new_w;
  std::span<Tensor> new_slots;
};

struct StepRule {
  std::string_view name;
  std::string_view formula = {};
  std::span<const StepNumber> numbers = {};
  /// In the order of operands and results; null: none.
  std::vector<StepSlot> (*slots)(const StepAttrs&, const TensorType& parameter) = nullptr;
  std::span<const SharedSlot> shared = {};
  /// How many operands `scalars` gives; null: one.
  size_t (*num_scalars)(const StepAttrs&) = nullptr;
  StepScalars (*scalars)(const StepAttrs&, const StepTime&) = nullptr;  ///< null: the learning rate
  /// The new parameter, then the new slots.
  std::vector<Val> (*expand)(const StepAttrs&, const StepOperands&) = nullptr;
  void (*eval)(const StepAttrs&, const StepValues&) = nullptr;  ///< in double, by other formulas
  std::vector<StepAttrs> (*samples)() = nullptr;                ///< settings for the generic tests
};

/// Null for an unknown name.
const StepRule* find_step_rule(std::string_view name);
std::span<const StepRule* const> all_step_rules();
std::vector<StepSlot> step_slots(const StepAttrs& attrs, const TensorType& parameter);
size_t num_step_scalars(const StepAttrs& attrs);
/// A step as graph: the new parameter, then the new slots. `decay` shrinks the parameter first; may
/// be empty.
std::vector<Val> expand_step(StepOperands operands, Val decay);
/// Why the step of a row of a matrix is not made of this row, its gradient and its slots alone, as
/// the formula says; empty where it is.
std::string_view why_not_by_rows(const StepAttrs& attrs);

namespace attr_detail {

std::vector<std::pair<NamedAttr, bool>> step_fields(const void* attrs);
Result<std::shared_ptr<const void>> step_from_fields(std::span<const NamedAttr> fields);
bool equal_steps(const void* a, const void* b);
uint64_t hash_step(const void* attrs);

}  // namespace attr_detail

/// The text form is {rule = adam, beta_1 = 0.8}: which numbers there are follows from the rule.
template <>
inline constexpr AttrVtable kAttrVtable<StepAttrs> = {
    &attr_detail::make_default_struct<StepAttrs>, &attr_detail::step_fields,
    &attr_detail::step_from_fields, &attr_detail::equal_steps, &attr_detail::hash_step};

}  // namespace gradc
