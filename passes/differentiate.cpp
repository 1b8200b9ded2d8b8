// differentiate - adds the gradients of the output "loss" with respect to every parameter, or to
// what stands for it (ir/step_output.h); the walk itself is ir/differentiate.h.
#include "ir/differentiate.h"

#include "ir/builder.h"
#include "ir/optimizer_spec.h"
#include "ir/step_output.h"
#include "passes/passes.h"

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace gradc::passes {

namespace {

/// Without an optimizer's step nobody asks for them.
void remove_restated(Graph& graph) {
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    if (graph.outputs()[i].name.starts_with(kRestatedOutput)) graph.remove_output(i);
  }
}

}  // namespace

Result<bool> differentiate(Graph& graph, PassContext& context) {
  const std::string& file = context.options.file;
  const auto loss = graph.find_output("loss");
  if (!loss)
    return make_error(DiagKind::kNotDifferentiable, {.file = file},
                      "graph @{} has no output \"loss\" to differentiate", graph.name());
  const TensorType type = graph.type(*loss);
  if (type.rank() != 0 || !is_float(type.dtype))
    return make_error(DiagKind::kNotDifferentiable, {.file = file},
                      "the loss has type {}; only a floating-point scalar can be differentiated",
                      to_string(type));
  std::vector<GraphInput> parameters;
  std::vector<ValueId> wrt;
  for (const GraphInput& input : graph.inputs()) {
    if (input.kind != InputKind::kParam || !is_float(graph.type(input.value).dtype)) continue;
    parameters.push_back(input);
    wrt.push_back(graph.find_output(kRestatedOutput + input.name).value_or(input.value));
  }
  if (wrt.empty()) return false;
  std::unordered_set<std::string_view> outputs_before;
  for (const GraphOutput& output : graph.outputs())
    outputs_before.insert(output.name);
  for (const GraphInput& parameter : parameters) {
    if (outputs_before.contains("gradient/" + parameter.name))
      return make_error(DiagKind::kInvalidUsage, {.file = file},
                        "graph @{} already has an output \"gradient/{}\"", graph.name(),
                        parameter.name);
  }

  Builder builder(graph);
  builder.set_phase(Phase::kBackward);
  builder.set_location("gradient of /training/loss");
  const Val one = builder.splat(1.0, type);
  const std::vector<ValueId> outputs = {*loss};
  const std::vector<ValueId> seeds = {one.id()};
  GRADC_TRY(std::vector<ValueId> gradients, add_gradients(graph, outputs, seeds, wrt, file));
  for (size_t i = 0; i < wrt.size(); ++i) {
    if (!gradients[i].valid()) {
      builder.set_location("gradient of " + graph.location(parameters[i].loc));
      gradients[i] = builder.splat(0.0, graph.type(wrt[i])).id();
      context.sink.warning(
          DiagKind::kUnusedParameter, {.file = file, .pointer = graph.location(parameters[i].loc)},
          "the loss does not depend on parameter \"{}\"; its gradient is zero", parameters[i].name);
    }
    graph.add_output("gradient/" + parameters[i].name, gradients[i]);
    context.count("gradients");
  }
  if (!graph.find_output(kLearningRateOutput)) remove_restated(graph);
  return true;
}

}  // namespace gradc::passes
