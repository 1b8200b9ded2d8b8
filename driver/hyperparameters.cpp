#include "driver/hyperparameters.h"

#include "frontend/families.h"
#include "ir/builder.h"
#include "ir/interpreter.h"
#include "passes/optimizer_numbers.h"
#include "runtime/number.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace gradc {

namespace {

constexpr std::string_view kRate = kRateNumber;

Diagnostic unknown_name(std::string_view name, const std::vector<std::string>& known) {
  return make_error(DiagKind::kInvalidUsage, {},
                    "the optimizer has no number \"{}\" to set; it has {}", name,
                    known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
}

/// Within the option's limits.
bool allows(const OptionDef& option, double value) {
  if (!std::isfinite(value) || value < option.min || value > option.max) return false;
  return !(option.above_min && value == option.min) && !(option.below_max && value == option.max);
}

std::string limits_of(const OptionDef& option) {
  std::string text;
  if (option.min != kNoMin)
    text = fmt::format("{} {}", option.above_min ? "above" : "at least", option.min);
  if (option.max != kNoMax)
    text += fmt::format("{}{} {}", text.empty() ? "" : " and ",
                        option.below_max ? "below" : "at most", option.max);
  return text.empty() ? "a number" : text;
}

}  // namespace

Hyperparameters::Hyperparameters(const Model& model) {
  if (!model.training) return;
  optimizer_ = &model.training->optimizer;
  spec_ = make_optimizer_spec(*optimizer_);
  names_ = {std::string(kRate)};
  for (const std::string& name : optimizer_numbers(spec_).names) {
    if (option(name) != nullptr) names_.push_back(name);
  }
}

const OptionDef* Hyperparameters::option(std::string_view name) const {
  const auto options = optimizer_->def->options;
  const auto found = std::ranges::find(options, name, &OptionDef::name);
  return found == options.end() ? nullptr : &*found;
}

std::optional<double> Hyperparameters::value(std::string_view name, int64_t iteration,
                                             double rate_factor) const {
  if (std::ranges::find(names_, name) == names_.end()) return std::nullopt;
  if (name == kRate) return rate_ ? *rate_ : scheduled_rate(iteration) * rate_factor;
  return spec_.number(name);
}

/// As the step computes it, in double.
double Hyperparameters::scheduled_rate(int64_t iteration) const {
  Graph graph("rate");
  Builder builder(graph);
  const Val step = builder.scalar(static_cast<double>(iteration), DType::kF64);
  const Val rate = build_schedule(*optimizer_->options.component(kRate), step);
  graph.add_output("rate", rate.id());
  const auto result = interpret(graph, {});
  GRADC_CHECK(result.ok(), "a schedule was not evaluated");
  return result->outputs.front()[0];
}

Status Hyperparameters::set(std::string_view name, double value) {
  if (std::ranges::find(names_, name) == names_.end()) return unknown_name(name, names_);
  if (name == kRate) {
    if (std::isnan(value)) {
      rate_.reset();
      return Ok{};
    }
    if (!std::isfinite(value) || value < 0.0)
      return make_error(DiagKind::kInvalidUsage, {}, "{} is {}, expected at least 0", name, value);
    rate_ = value;
    return Ok{};
  }
  const OptionDef& rule = *option(name);
  if (!allows(rule, value))
    return make_error(DiagKind::kInvalidUsage, {}, "{} is {}, expected {}", name, value,
                      limits_of(rule));
  spec_.set(name, value);
  return Ok{};
}

void Hyperparameters::write(rt::Instance& instance) const {
  const auto put = [&](const std::string& name, double value) {
    const int64_t index = instance.find(name.c_str());
    GRADC_CHECK(index >= 0, "no tensor \"{}\"", name);
    std::memcpy(instance.data(static_cast<size_t>(index)), &value, sizeof value);
  };
  const Component& schedule = *optimizer_->options.component(kRate);
  const bool constant = schedule.def->type == "constant" && instance.find(kRateFactorInput) < 0;
  const double rate = rate_      ? *rate_
                      : constant ? scheduled_rate(0)
                                 : std::numeric_limits<double>::quiet_NaN();
  put(std::string(kNumberInput) + kRateNumber, rate);
  for (const auto& [name, number] : optimizer_numbers(spec_).inputs)
    put(name, number);
}

}  // namespace gradc
