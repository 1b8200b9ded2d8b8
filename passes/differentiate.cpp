// differentiate - adds the gradients of the output "loss" with respect to every parameter, or to
// what stands for it (ir/step_output.h), and to every input "input/...", as the options say; the
// walk itself is ir/differentiate.h. In a graph with inputs "output_gradient/<name>" these are the
// gradients of something unknown in the outputs "output/<name>", which are used up.
#include "ir/differentiate.h"

#include "ir/builder.h"
#include "ir/optimizer_spec.h"
#include "ir/step_output.h"
#include "passes/passes.h"
#include "support/check.h"

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace gradc::passes {

namespace {

/// Nobody asks for what stands for parameters without an optimizer's step, nor for the outputs
/// whose gradients are given.
void remove_outputs(Graph& graph, std::string_view prefix) {
  for (size_t i = graph.outputs().size(); i-- > 0;) {
    if (graph.outputs()[i].name.starts_with(prefix)) graph.remove_output(i);
  }
}

/// What is differentiated, and the gradients to begin with.
struct Seeds {
  std::vector<ValueId> outputs;
  std::vector<ValueId> gradients;
  bool given = false;  ///< as inputs
};

Seeds given_seeds(const Graph& graph) {
  Seeds seeds;
  for (const GraphInput& input : graph.inputs()) {
    if (!input.name.starts_with(kOutputGradient)) continue;
    const std::string name =
        "output/" + input.name.substr(std::string_view(kOutputGradient).size());
    const auto output = graph.find_output(name);
    GRADC_CHECK(output.has_value(), "no output \"{}\"", name);
    seeds.outputs.push_back(*output);
    seeds.gradients.push_back(input.value);
    seeds.given = true;
  }
  return seeds;
}

/// Without the seed of a loss, which is a node that only a graph with something to derive gets.
Result<Seeds> find_seeds(const Graph& graph, const std::string& file) {
  Seeds given = given_seeds(graph);
  if (given.given) return given;
  const auto loss = graph.find_output("loss");
  if (!loss)
    return make_error(DiagKind::kNotDifferentiable, {.file = file},
                      "graph @{} has no output \"loss\" to differentiate", graph.name());
  const TensorType type = graph.type(*loss);
  if (type.rank() != 0 || !is_float(type.dtype))
    return make_error(DiagKind::kNotDifferentiable, {.file = file},
                      "the loss has type {}; only a floating-point scalar can be differentiated",
                      to_string(type));
  return Seeds{{*loss}, {}};
}

/// A graph input that gets a gradient.
struct Wanted {
  GraphInput input;
  ValueId value;     ///< what stands for it
  std::string name;  ///< of the output
};

std::vector<Wanted> wanted_gradients(const Graph& graph, const PassOptions& options) {
  constexpr std::string_view input_prefix = "input/";
  std::vector<Wanted> wanted;
  for (const GraphInput& input : graph.inputs()) {
    if (!is_float(graph.type(input.value).dtype)) continue;
    if (input.kind == InputKind::kParam && options.parameter_gradients) {
      wanted.push_back({input,
                        graph.find_output(kRestatedOutput + input.name).value_or(input.value),
                        "gradient/" + input.name});
    } else if (input.name.starts_with(input_prefix) && options.input_gradients) {
      wanted.push_back(
          {input, input.value, kInputGradient + input.name.substr(input_prefix.size())});
    }
  }
  return wanted;
}

}  // namespace

Result<bool> differentiate(Graph& graph, PassContext& context) {
  const std::string& file = context.options.file;
  GRADC_TRY(Seeds seeds, find_seeds(graph, file));
  const std::vector<Wanted> wanted = wanted_gradients(graph, context.options);
  if (wanted.empty()) return false;
  std::unordered_set<std::string_view> outputs_before;
  for (const GraphOutput& output : graph.outputs())
    outputs_before.insert(output.name);
  std::vector<ValueId> wrt;
  for (const Wanted& one : wanted) {
    wrt.push_back(one.value);
    if (outputs_before.contains(one.name))
      return make_error(DiagKind::kInvalidUsage, {.file = file},
                        "graph @{} already has an output \"{}\"", graph.name(), one.name);
  }
  Builder builder(graph);
  builder.set_phase(Phase::kBackward);
  builder.set_location("gradient of /training/loss");
  if (!seeds.given) {
    const TensorType type = graph.type(seeds.outputs[0]);
    seeds.gradients = {builder.splat(1.0, type).id()};
  }
  GRADC_TRY(std::vector<ValueId> gradients,
            add_gradients(graph, seeds.outputs, seeds.gradients, wrt, file));
  for (size_t i = 0; i < wanted.size(); ++i) {
    const GraphInput& input = wanted[i].input;
    if (!gradients[i].valid()) {
      builder.set_location("gradient of " + graph.location(input.loc));
      gradients[i] = builder.splat(0.0, graph.type(wrt[i])).id();
      context.sink.warning(DiagKind::kUnusedParameter,
                           {.file = file, .pointer = graph.location(input.loc)},
                           "the {} does not depend on {} \"{}\"; its gradient is zero",
                           seeds.given ? "result" : "loss",
                           input.kind == InputKind::kParam ? "parameter" : "the input", input.name);
    }
    graph.add_output(wanted[i].name, gradients[i]);
    context.count("gradients");
  }
  if (!graph.find_output(kLearningRateOutput)) remove_outputs(graph, kRestatedOutput);
  if (seeds.given) remove_outputs(graph, "output/");
  return true;
}

}  // namespace gradc::passes
