#include "tests/differential/random_entry.h"

#include "ir/builder.h"
#include "ir/differentiate.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

namespace gradc::testing {

namespace {

constexpr uint32_t kContractions =
    kRandomElementwise | kRandomView | kRandomMatmul | kRandomConv | kRandomPool;
constexpr uint32_t kRows = kRandomElementwise | kRandomView | kRandomReduce | kRandomNorm;
constexpr uint32_t kIndices =
    kRandomElementwise | kRandomCompare | kRandomView | kRandomGather | kRandomSource;

constexpr uint32_t kLoops = kRandomLoop | kRandomElementwise | kRandomView | kRandomMatmul;

/// Small values and few steps: loops repeat what is in them.
RandomGraphOptions loops_of(uint64_t seed) {
  RandomGraphOptions options;
  options.families = seed % 3 == 0 ? kLoops | kRandomReduce | kRandomNorm : kLoops;
  options.num_nodes = 3 + static_cast<int>(seed / 4 % 5);
  options.max_extent = seed % 5 == 0 ? 19 : 6;
  return options;
}

/// Products of every element type, among ops without kinks; and large ones of odd extents, which
/// are packed.
RandomGraphOptions products_of(uint64_t seed) {
  RandomGraphOptions options;
  options.product_types = true;
  options.families = kRandomMatmul | kRandomConv | kRandomElementwise | kRandomView;
  if (seed % 3 != 0) options.families = kRandomMatmul | kRandomConv;
  options.num_nodes = 3 + static_cast<int>(seed / 4 % 5);
  if (seed / 8 % 2 == 1) {
    options.max_extent = 90;
    options.max_elements = 6000;
    options.num_nodes = 3;
  }
  return options;
}

RandomGraphOptions attention_of(uint64_t seed) {
  RandomGraphOptions options;
  options.families = kRandomAttention | kRandomView | kRandomMatmul;
  options.num_nodes = 3 + static_cast<int>(seed / 4 % 4);
  if (seed % 3 == 0) {
    options.max_extent = 70;
    options.max_elements = 4000;
  }
  return options;
}

RandomGraphOptions options_of(uint64_t seed) {
  if (seed >= kFirstAttentionSeed) return attention_of(seed);
  if (seed >= kFirstProductSeed) return products_of(seed);
  if (seed >= kFirstLoopSeed) return loops_of(seed);
  static constexpr uint32_t kFamilies[] = {kRandomAll, kContractions, kRandomAll,
                                           kRows,      kRandomAll,    kIndices};
  RandomGraphOptions options;
  options.families = kFamilies[seed % std::size(kFamilies)];
  options.num_nodes = 4 + static_cast<int>(seed / 6 % 7);
  if (seed / 4 % 4 == 1) {  // few large values of odd extents
    options.max_extent = 70;
    options.max_elements = 4000;
    options.num_nodes = 4;
  }
  return options;
}

/// All settings of all rules.
std::vector<OptimizerSpec> optimizers() {
  std::vector<OptimizerSpec> all;
  for (const StepRule* rule : all_step_rules()) {
    for (StepAttrs& attrs : rule->samples())
      all.push_back({.step = std::move(attrs)});
  }
  return all;
}

OptimizerSpec optimizer_of(uint64_t number) {
  const std::vector<OptimizerSpec> all = optimizers();
  OptimizerSpec spec = all[number % all.size()];
  switch (number / all.size() % 4) {
    case 0:
      break;
    case 1:
      spec.clip_value = 0.02;
      break;
    case 2:
      spec.clip_norm = 0.05;
      break;
    case 3:
      spec.global_clip_norm = 0.1;
      break;
  }
  return spec;
}

/// The loss becomes the sum over parameters of mean(tanh(4 * gradient)); false when the graph has
/// no gradient to use.
bool use_gradients_in_loss(Graph& graph) {
  Builder builder(graph);
  builder.set_phase(Phase::kBackward);
  size_t loss = 0;
  while (graph.outputs()[loss].name != "loss")
    ++loss;
  std::vector<ValueId> wrt;
  for (const GraphInput& input : graph.inputs()) {
    if (input.kind == InputKind::kParam) wrt.push_back(input.value);
  }
  const std::vector<ValueId> outputs = {graph.outputs()[loss].value};
  const std::vector<ValueId> seeds = {builder.scalar(1.0).id()};
  const auto gradients = add_gradients(graph, outputs, seeds, wrt, "random");
  GRADC_CHECK(gradients.ok(), "{}", gradients.message());
  std::optional<Val> sum;
  for (const ValueId id : *gradients) {
    if (!id.valid()) continue;
    const Val gradient = builder.wrap(id);
    std::vector<int64_t> axes(static_cast<size_t>(gradient.rank()));
    std::iota(axes.begin(), axes.end(), 0);
    const Val term = reduce_mean(tanh(gradient * 4.0), axes);
    sum = sum ? *sum + term : term;
  }
  if (!sum) return false;
  graph.remove_output(loss);
  graph.add_output("loss", sum->id());
  return true;
}

}  // namespace

RandomEntry random_entry(uint64_t seed) {
  RandomEntry entry;
  entry.seed = seed;
  entry.graph = random_graph(seed, options_of(seed));
  switch (seed % 4) {
    case 0:
      entry.kind = PipelineKind::kForward;
      break;
    case 1:
      entry.kind = PipelineKind::kGradients;
      break;
    case 2: {
      entry.kind = PipelineKind::kTrainStep;
      // The other optimizers divide by gradients, or take their signs, which short floats move.
      entry.options.optimizer = seed < kFirstProductSeed ? optimizer_of(seed / 4) : OptimizerSpec();
      Builder builder(*entry.graph);
      entry.graph->add_output(kLearningRateOutput, builder.scalar(0.05).id());
      break;
    }
    case 3:
      use_gradients_in_loss(*entry.graph);
      entry.kind = PipelineKind::kGradients;
      break;
  }
  return entry;
}

std::vector<Tensor> entry_inputs(const Graph& graph, uint64_t seed) {
  std::vector<Tensor> inputs = random_inputs(graph, seed);
  for (size_t i = 0; i < inputs.size(); ++i) {
    const std::string& name = graph.inputs()[i].name;
    if (!name.starts_with("optimizer/") || !is_float(inputs[i].type.dtype)) continue;
    // A mean of gradients, whose square is below that of squares; a product of momenta below 1.
    const bool average = name.ends_with("/average_gradient");
    const bool product = name.ends_with("/u_product");
    for (double& x : inputs[i].data) {
      x = average ? x / 64.0 : std::abs(x) + 0.125;
      if (product) x = std::min(x, 0.75);
    }
  }
  return inputs;
}

}  // namespace gradc::testing
