#include "driver/number_tables.h"

#include "frontend/families.h"
#include "frontend/parameter_steps.h"
#include "ir/builder.h"
#include "ir/interpreter.h"
#include "passes/optimizer_numbers.h"
#include "support/check.h"

#include <algorithm>
#include <limits>
#include <string_view>

namespace gradc {

namespace {

gradc_rt_number_step table_step(NumberStep step) {
  switch (step) {
    case NumberStep::kRest:
      return GRADC_RT_NUMBER_REST;
    case NumberStep::kTwice:
      return GRADC_RT_NUMBER_TWICE;
    case NumberStep::kNegative:
      return GRADC_RT_NUMBER_NEGATIVE;
    case NumberStep::kLogarithm:
      return GRADC_RT_NUMBER_LOGARITHM;
    case NumberStep::kInverse:
      return GRADC_RT_NUMBER_INVERSE;
  }
  GRADC_UNREACHABLE();
}

/// The rate of a training that has one rate; else NaN.
double constant_rate(const Training& training) {
  Graph graph("rate");
  Builder builder(graph);
  const Val rate = rate_of_step(training, builder.scalar(0.0, DType::kF64));
  if (graph.node(graph.def(rate.id())).op != Op::kConstant)
    return std::numeric_limits<double>::quiet_NaN();
  graph.add_output("rate", rate.id());
  const auto result = interpret(graph, {});
  GRADC_CHECK(result.ok(), "a constant rate was not evaluated");
  return result->outputs.front()[0];
}

gradc_rt_hyperparameter row_of(const OptionDef& option, double value) {
  return {.name = nullptr,
          .value = value,
          .min = option.min,
          .max = option.max,
          .flags = (option.above_min ? GRADC_RT_ABOVE_MIN : 0) |
                   (option.below_max ? GRADC_RT_BELOW_MAX : 0)};
}

}  // namespace

NumberTables number_tables(const Model& model) {
  NumberTables tables;
  if (!model.training) return tables;
  const Component& optimizer = model.training->optimizer;
  const OptimizerSpec spec = make_optimizer_spec(optimizer);
  const OptimizerNumbers numbers = optimizer_numbers(spec);
  const gradc_rt_hyperparameter rate = {.name = nullptr,
                                        .value = constant_rate(*model.training),
                                        .min = 0.0,
                                        .max = std::numeric_limits<double>::infinity(),
                                        .flags = 0};
  tables.settings.push_back({kRateNumber, rate});
  for (const std::string& name : numbers.names) {
    const auto options = optimizer.def->options;
    const auto option = std::ranges::find(options, name, &OptionDef::name);
    if (option != options.end())
      tables.settings.push_back({name, row_of(*option, spec.number(name))});
  }
  tables.inputs.push_back({std::string(kNumberInput) + kRateNumber, {}});
  for (const auto& [input, value] : numbers.inputs) {
    const NumberFormula formula =
        read_formula(std::string_view(input).substr(std::string_view(kNumberInput).size()));
    gradc_rt_number row{};
    row.value = spec.number(formula.name);
    GRADC_CHECK(
        formula.steps.size() <= GRADC_RT_MAX_NUMBER_STEPS && evaluate(formula, row.value) == value,
        "{} is not what its name says", input);
    const auto found =
        std::ranges::find(tables.settings, formula.name, &NumberTables::Setting::name);
    row.hyperparameter = found == tables.settings.end() ? -1 : found - tables.settings.begin();
    std::ranges::transform(formula.steps, row.steps, table_step);
    tables.inputs.push_back({input, row});
  }
  return tables;
}

}  // namespace gradc
