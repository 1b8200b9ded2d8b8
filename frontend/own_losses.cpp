#include "frontend/own_losses.h"

#include "frontend/example_values.h"
#include "frontend/families.h"
#include "frontend/function_loss.h"
#include "frontend/layer_def.h"
#include "support/check.h"

#include <algorithm>
#include <map>

namespace gradc {
namespace {

constexpr const char* kText = "value";

constexpr int64_t kTrialBatch = 2;

TensorType trial_type(const TensorSpec& spec) {
  Ints dims = {kTrialBatch};
  dims.insert(dims.end(), spec.shape.begin(), spec.shape.end());
  return {spec.dtype, Shape(dims)};
}

FormulaScope scope_of(const Model& model, const OutputLoss& loss) {
  return {.model = model, .own = loss.of_all ? std::nullopt : std::optional(loss.output)};
}

/// Builds formulas in graphs that are thrown away, to see what they name and give.
class Trial {
 public:
  Trial(const Model& model, Training& training, DiagnosticSink& sink)
      : model_(model), training_(training), sink_(sink) {}

  void run() {
    for (OutputLoss& loss : training_.losses) {
      if (own_loss(loss.loss) == OwnLoss::kFormula) loss.has_target = false;
      if (own_loss(loss.loss) == OwnLoss::kFunction) check_function_loss(model_, loss, sink_);
    }
    const size_t written = training_.losses.size();
    for (size_t i = 0; i < written; ++i)
      if (own_loss(training_.losses[i].loss) == OwnLoss::kFormula) try_formula(i);
  }

 private:
  void try_formula(size_t index) {
    Graph graph("formula");
    Builder builder(graph);
    std::map<size_t, Val> outputs, targets;
    std::vector<size_t> order;
    const OutputLoss loss = training_.losses[index];
    FormulaScope scope = scope_of(model_, loss);
    scope.output = [&](size_t output) {
      TensorSpec spec = model_.spec(model_.outputs[output].value);
      spec.dtype = is_float(spec.dtype) ? accumulator_dtype(spec.dtype) : DType::kF32;
      return input(builder, outputs, order, output, spec);
    };
    scope.target = [&](size_t output) {
      return input(builder, targets, order, output, target_of(output, loss));
    };
    const Place place = place_of(loss);
    const auto formula = parse_formula(loss.loss.options.text(kText), place, sink_);
    if (!formula) return;
    const auto made = build_formula(*formula, scope, place, sink_);
    if (!made) return;
    if (loss.of_all) training_.losses[index].output = order.front();
    const size_t own = training_.losses[index].output;
    if (targets.contains(own)) training_.losses[index].has_target = true;
    for (const auto& [output, value] : targets)
      if (output != own) need_target(output, loss);
    training_.losses[index].values = example_shape(made->value);
    for (const auto& [output, value] : outputs)
      check_mask(training_.losses[index], output, *made, place);
  }

  static Place place_of(const OutputLoss& loss) {
    Place place = loss.loss.place;
    place.pointer += "/value";
    return place;
  }

  static Val input(Builder& builder, std::map<size_t, Val>& known, std::vector<size_t>& order,
                   size_t output, const TensorSpec& spec) {
    const auto [entry, fresh] = known.try_emplace(output);
    if (fresh) {
      order.push_back(output);
      entry->second = builder.input(InputKind::kInput, trial_type(spec), "x", "x");
    }
    return entry->second;
  }

  /// The loss that an output has, or null.
  OutputLoss* loss_of(size_t output) {
    const auto found = std::ranges::find_if(training_.losses, [&](const OutputLoss& loss) {
      return loss.output == output && !loss.of_all;
    });
    return found == training_.losses.end() ? nullptr : &*found;
  }

  TensorSpec target_of(size_t output, OutputLoss formula) {
    if (const OutputLoss* known = loss_of(output)) return model_.target_spec(*known);
    formula.output = output;
    return model_.target_spec(formula);
  }

  void need_target(size_t output, const OutputLoss& formula) {
    OutputLoss* known = loss_of(output);
    if (known != nullptr) {
      known->has_target = true;
      return;
    }
    OutputLoss& added = training_.losses.emplace_back();
    added.output = output;
    added.loss = formula.loss;
    added.for_target = true;
  }

  void check_mask(const OutputLoss& loss, size_t output, const FormulaValue& made,
                  const Place& place) {
    if (!model_.masked(model_.outputs[output].value)) return;
    const Ints& shape = model_.spec(model_.outputs[output].value).shape;
    const Ints& values = *loss.values;
    const bool by_steps = !values.empty() && values.front() == shape.front();
    if (by_steps && !made.meets_steps && output == loss.output && !loss.of_all) return;
    sink_
        .error(DiagKind::kUnsupported, place,
               "some steps of output \"{}\" do not count, but the formula {}",
               model_.outputs[output].name,
               output != loss.output || loss.of_all ? "is not that of its loss"
               : made.meets_steps                   ? "lets its steps meet"
                                                    : "has no value for each of its steps")
        .with_help("end with a layer that drops the mask, like flatten or pooling");
  }

  const Model& model_;
  Training& training_;
  DiagnosticSink& sink_;
};

}  // namespace

void finish_own_losses(const Model& model, Training& training, DiagnosticSink& sink) {
  Trial(model, training, sink).run();
}

int64_t num_losses(const Training& training) {
  return std::ranges::count_if(training.losses,
                               [](const OutputLoss& loss) { return !loss.for_target; });
}

Val build_formula_loss(const Model& model, const OutputLoss& loss, const std::vector<Val>& targets,
                       std::function<Val(size_t)> output) {
  FormulaScope scope = scope_of(model, loss);
  scope.output = std::move(output);
  scope.target = [&](size_t named) {
    const auto& losses = model.training->losses;
    const auto found = std::ranges::find_if(
        losses, [&](const OutputLoss& one) { return one.output == named && one.has_target; });
    GRADC_CHECK(found != losses.end(), "a formula names a target that no loss has");
    return targets[static_cast<size_t>(found - losses.begin())];
  };
  DiagnosticSink sink;
  const auto formula = parse_formula(loss.loss.options.text(kText), loss.loss.place, sink);
  GRADC_CHECK(formula != nullptr, "the formula of a loss cannot be read any more");
  const auto made = build_formula(*formula, scope, loss.loss.place, sink);
  GRADC_CHECK(made.has_value(), "the formula of a loss fits no longer");
  return made->value;
}

}  // namespace gradc
