#include "driver/step_entry.h"

#include "frontend/families.h"
#include "frontend/graph_builder.h"
#include "ir/location.h"
#include "passes/index_ranges.h"

#include <fmt/format.h>

namespace gradc {

namespace {

/// One window of numbers of tokens, or of rows of 0 and 1, and of each place or of the last what
/// comes next.
bool may_go_on_with_text(const Model& model) {
  if (model.inputs.size() != 1 || model.outputs.size() != 1 || !model.training ||
      model.training->losses.empty())
    return false;
  const TensorSpec& in = model.inputs.front().spec;
  const TensorSpec& out = model.spec(model.outputs.front().value);
  const DataRule* rule = model.data_rule(model.inputs.front().name, false);
  const bool rows = in.shape.size() == 2 && rule != nullptr && rule->one_hot > 0;
  const bool numbers = in.shape.size() == 1 && is_integer(in.dtype);
  if ((!rows && !numbers) || in.shape.front() < 2 || !is_float(out.dtype)) return false;
  const bool every_place = out.shape.size() == 2 && out.shape.front() == in.shape.front();
  if (!every_place && out.shape.size() != 1) return false;
  return loss_domain(model.training->losses.front().loss).classes ==
         TargetDomain::Classes::kLastAxis;
}

/// Whether it tells the tokens apart that it reads.
bool gives_what_it_reads(const Model& model, const Graph& graph) {
  const TensorSpec& in = model.inputs.front().spec;
  const int64_t given = model.spec(model.outputs.front().value).shape.back();
  if (in.shape.size() == 2) return in.shape.back() == given;
  const IndexRanges ranges = index_ranges(graph);
  const auto range = ranges.find("input/" + model.inputs.front().name);
  return range != ranges.end() && range->second.front().high + 1 == given;
}

/// "layer "pool" (global_average_pooling1d)", of a location in the model's file.
std::string layer_at(const Model& model, const std::string& location) {
  const LocationParts at = location_parts(location);
  const Call* found = nullptr;
  for (const Call& call : model.calls) {
    const bool is_it =
        at.call.empty() ? at.pointer.starts_with(call.place.pointer) : at.call == call.name;
    if (is_it && !call.place.pointer.empty()) found = &call;
  }
  if (found == nullptr) return location.empty() ? "the model" : location;
  return fmt::format("layer \"{}\" ({})", found->name,
                     model.layers[found->layer].component.written_type);
}

}  // namespace

std::optional<StepGraph> step_entry(const Model& model) {
  if (!may_go_on_with_text(model)) return std::nullopt;
  const Result<EntryGraph> window = build_entry_graph(model, {EntryKind::kPredict, 1, false});
  if (!window.ok() || !gives_what_it_reads(model, *window->graph)) return std::nullopt;
  StepGraph step = make_step_graph(*window->graph);
  if (step.graph == nullptr) step.problem = layer_at(model, step.location) + ", " + step.problem;
  return step;
}

}  // namespace gradc
