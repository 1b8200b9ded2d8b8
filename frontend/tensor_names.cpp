// The names as graph_builder.cpp, passes/apply_optimizer.cpp and the runtime's files make them.
#include "frontend/tensor_names.h"

#include "frontend/families.h"
#include "frontend/graph_builder.h"
#include "frontend/own_losses.h"
#include "frontend/parameter_steps.h"
#include "ir/optimizer_spec.h"
#include "ir/step_output.h"

#include <map>
#include <optional>

namespace gradc {
namespace {

/// What has a name, for messages, and where it stands.
struct Owner {
  std::string what;
  Place place;
};

class Names {
 public:
  Names(DiagnosticSink& sink, std::string_view kind) : sink_(sink), kind_(kind) {}

  void add(const std::string& name, std::string what, const Place& place) {
    const auto [first, fresh] = owners_.try_emplace(name, Owner{what, place});
    if (fresh) return;
    sink_
        .error(DiagKind::kDuplicateName, place, "two {} are named \"{}\": {} and {}", kind_, name,
               first->second.what, what)
        .with_note("the first is here", first->second.place)
        .with_help("give one of them another name");
  }

 private:
  DiagnosticSink& sink_;
  std::string_view kind_;
  std::map<std::string, Owner> owners_;
};

void add_parameters(const Model& model, Names& names) {
  const Component* rule = nullptr;
  bool keeps_best = false;
  Place optimizer{.file = model.file};
  if (model.training) {
    rule = &model.training->optimizer;
    for (const SharedSlot& slot : make_optimizer_spec(*rule).step.rule().shared)
      names.add(slot_name(slot), fmt::format("the optimizer's {}", slot.name),
                model.training->optimizer.place);
    optimizer = model.training->optimizer.place;
    keeps_best = model.training->early_stopping.has_value();
  }
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& parameter : layer.parameters) {
      const std::string name = layer.name + "/" + parameter.name;
      const std::string what = fmt::format("\"{}\" of layer \"{}\"", parameter.name, layer.name);
      names.add(name, what, layer.place);
      if (keeps_best) names.add("best/" + name, "the best epoch's " + what, layer.place);
      if (!parameter.trainable || rule == nullptr) continue;
      const TensorType type{parameter.dtype, Shape(parameter.shape)};
      std::vector<StepSlot> slots = step_slots(step_of(*rule, layer, parameter), type);
      if (accumulated_steps(*rule) > 1) slots.push_back({kAccumulatorSlot, type});
      if (average_options(*rule)) slots.push_back({kAverageSlot, type});
      for (const StepSlot& slot : slots) {
        names.add(slot_name(name, slot), fmt::format("the optimizer's {} for {}", slot.name, what),
                  optimizer);
      }
    }
  }
}

void check_tensors(const Model& model, DiagnosticSink& sink) {
  Names names(sink, "tensors");
  names.add(kIterationInput, "the optimizer's iteration", {.file = model.file});
  names.add(kLearningRateOutput, "the learning rate", {.file = model.file});
  names.add("tail/weight", "the weights of a smaller batch", {.file = model.file});
  for (const ModelInput& input : model.inputs)
    names.add("input/" + input.name, fmt::format("input \"{}\"", input.name), input.place);
  for (const ModelOutput& output : model.outputs)
    names.add("target/" + output.name, fmt::format("the target of \"{}\"", output.name),
              output.place);
  if (model.training && model.training->sample_weight)
    names.add(kSampleWeightInput, "the weights of examples", {.file = model.file});
  for (const DataRule& rule : model.data) {
    if (rule.standardize == DataRule::Standardize::kNone) continue;
    for (const char* statistic : {"mean", "std"}) {
      names.add(fmt::format("data/{}/{}", rule.name, statistic),
                fmt::format("the {} of \"{}\"", statistic, rule.name), rule.place);
    }
  }
  add_parameters(model, names);
}

/// Keys of a line of the log, each also with "val_".
void check_scores(const Model& model, DiagnosticSink& sink) {
  Names names(sink, "scores");
  const auto add = [&](const std::string& name, const std::string& what, const Place& place) {
    names.add(name, what, place);
    names.add("val_" + name, what + " in validation", place);
  };
  for (const char* fixed : {"epoch", "step", "seconds", "examples_per_second"})
    names.add(fixed, fmt::format("a line's {}", fixed), {.file = model.file});
  add("loss", "the loss", {.file = model.file});
  const Training& training = *model.training;
  for (const OutputLoss& loss : training.losses) {
    if (num_losses(training) == 1) break;
    if (loss.for_target) continue;
    const std::string& output = model.outputs[loss.output].name;
    add(output + "_loss", fmt::format("the loss of \"{}\"", output), loss.loss.place);
  }
  for (const OutputMetric& metric : training.metrics)
    add(metric.name, "the metric", metric.metric.place);
}

}  // namespace

void check_tensor_names(const Model& model, DiagnosticSink& sink) {
  check_tensors(model, sink);
  if (model.training) check_scores(model, sink);
}

}  // namespace gradc
