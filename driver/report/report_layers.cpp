#include "driver/report/report_layers.h"

#include "frontend/call_locations.h"
#include "ir/location.h"
#include "ir/op.h"

#include <algorithm>

namespace gradc {

ReportLayers::ReportLayers(const Model& model) : num_calls_(model.calls.size()) {
  const std::vector<std::string> locations = call_locations(model);
  for (size_t i = 0; i < num_calls_; ++i) {
    by_location_.emplace(locations[i], i);
    by_layer_.emplace(model.layers[model.calls[i].layer].name, i);
  }
}

size_t ReportLayers::at(std::string_view location, Phase phase) const {
  const LocationParts parts = location_parts(location);
  if (!parts.call.empty()) {
    const auto found = by_location_.find(location_of_call(parts.pointer, parts.call));
    if (found != by_location_.end()) return found->second;
  }
  // Part of a layer's own description, or the whole of it.
  for (std::string_view pointer = parts.pointer; !pointer.empty();
       pointer = pointer.substr(0, pointer.rfind('/'))) {
    const auto found = by_location_.find(pointer);
    if (found != by_location_.end()) return found->second;
  }
  return phase == Phase::kUpdate ? optimizer() : loss();
}

size_t ReportLayers::of_tensor(const std::string& name) const {
  constexpr std::string_view kSlots = "optimizer/";
  for (const std::string_view begin : {std::string_view(), kSlots}) {
    if (!name.starts_with(begin)) continue;
    std::string_view layer = std::string_view(name).substr(begin.size());
    while (layer.find('/') != std::string_view::npos) {
      layer = layer.substr(0, layer.rfind('/'));
      const auto found = by_layer_.find(layer);
      if (found != by_layer_.end()) return found->second;
    }
  }
  return optimizer();
}

std::vector<size_t> ReportLayers::of(const Graph& graph, const Node& node,
                                     const std::vector<std::string>& updated) const {
  std::vector<size_t> layers;
  const auto add = [&](size_t layer) {
    if (std::find(layers.begin(), layers.end(), layer) == layers.end()) layers.push_back(layer);
  };
  add(at(graph.location(node.loc), node.phase));
  if (node.body != nullptr) {
    for (const NodeId id : node.body->nodes()) {
      const Node& inner = node.body->node(id);
      if (inner.loc.valid() && inner.op != Op::kConstant)
        add(at(node.body->location(inner.loc), inner.phase));
    }
  }
  for (const std::string& name : updated)
    add(of_tensor(name));
  // What a layer's kernel does for the loss or the optimizer beside its own is shown there.
  const auto own =
      std::find_if(layers.begin(), layers.end(), [&](size_t layer) { return layer < num_calls_; });
  if (own != layers.end()) std::rotate(layers.begin(), own, own + 1);
  return layers;
}

}  // namespace gradc
