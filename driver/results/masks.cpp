#include "driver/results/masks.h"

#include "frontend/graph_builder.h"
#include "ir/interpreter.h"
#include "passes/pass_manager.h"
#include "passes/passes.h"
#include "support/check.h"

#include <string_view>

namespace gradc::results {

Result<OutputMasks> OutputMasks::of(const Model& model, int64_t batch) {
  OutputMasks masks;
  GRADC_TRY(const EntryGraph entry,
            build_entry_graph(model, {.kind = EntryKind::kMasks, .batch_size = batch}));
  if (entry.graph->outputs().empty()) return masks;
  PassContext context;
  GRADC_TRY([[maybe_unused]] const bool changed, passes::dce(*entry.graph, context));
  for (size_t i = entry.graph->inputs().size(); i-- > 0;) {
    if (!entry.graph->has_uses(entry.graph->inputs()[i].value)) entry.graph->remove_input(i);
  }
  masks.graph_ = entry.graph;
  return masks;
}

Result<std::map<std::string, Tensor>> OutputMasks::read(const rt::Instance& instance) const {
  std::map<std::string, Tensor> masks;
  if (graph_ == nullptr) return masks;
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph_->inputs()) {
    const int64_t index = instance.find(input.name.c_str());
    GRADC_CHECK(index >= 0, "the model has no tensor \"{}\"", input.name);
    Tensor& tensor = inputs.emplace_back(graph_->type(input.value));
    const void* data = instance.data(static_cast<size_t>(index));
    for (int64_t i = 0; i < tensor.size(); ++i) {
      tensor[i] =
          rt::load_f64(data, static_cast<rt::Dtype>(tensor.type.dtype), static_cast<size_t>(i));
    }
  }
  GRADC_TRY(InterpretResult result, interpret(*graph_, inputs));
  constexpr size_t kPrefix = std::string_view(kMaskOutput).size();
  for (size_t i = 0; i < result.outputs.size(); ++i)
    masks.emplace(graph_->outputs()[i].name.substr(kPrefix), std::move(result.outputs[i]));
  return masks;
}

}  // namespace gradc::results
