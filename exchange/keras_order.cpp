#include "exchange/keras_order.h"

#include <algorithm>
#include <tuple>

namespace gradc::exchange {
namespace {

/// Calls as nodes of a graph, inputs before them.
class Order {
 public:
  explicit Order(const Model& model)
      : model_(model),
        state_(model.inputs.size() + model.calls.size()),
        met_(model.inputs.size() + model.layers.size(), kNotMet) {}

  std::vector<KerasItem> run() {
    for (const ModelOutput& output : model_.outputs)
      search(node_of(output.value));
    const std::vector<size_t> depths = item_depths();
    std::vector<size_t> items(met_.size());
    for (size_t i = 0; i < items.size(); ++i)
      items[i] = i;
    std::sort(items.begin(), items.end(), [&](size_t a, size_t b) {
      const bool first = met_[a] != kNotMet;
      const bool second = met_[b] != kNotMet;
      if (first != second) return first;
      if (first && depths[a] != depths[b]) return depths[a] > depths[b];
      return std::tie(met_[a], a) < std::tie(met_[b], b);
    });
    std::vector<KerasItem> order;
    const size_t inputs = model_.inputs.size();
    for (const size_t item : items)
      order.push_back({item < inputs, item < inputs ? item : item - inputs});
    return order;
  }

 private:
  static constexpr size_t kNotMet = SIZE_MAX;
  enum class State : uint8_t { kNew, kOpen, kDone };

  size_t node_of(ModelValue value) const {
    const Call* call = model_.call_of(value);
    if (call == nullptr) return value;
    return model_.inputs.size() + static_cast<size_t>(call - model_.calls.data());
  }
  size_t item_of(size_t node) const {
    const size_t inputs = model_.inputs.size();
    return node < inputs ? node : inputs + model_.calls[node - inputs].layer;
  }
  std::vector<size_t> parents(size_t node) const {
    std::vector<size_t> nodes;
    if (node < model_.inputs.size()) return nodes;
    const Call& call = model_.calls[node - model_.inputs.size()];
    for (const ModelValue value : call.inputs)
      nodes.push_back(node_of(value));
    for (const auto& named : call.named) {
      if (named) nodes.push_back(node_of(*named));
    }
    return nodes;
  }

  /// Depth first, without recursion: networks may be deep.
  void search(size_t output) {
    std::vector<size_t> open = {output};
    while (!open.empty()) {
      const size_t node = open.back();
      if (state_[node] == State::kNew) {
        state_[node] = State::kOpen;
        size_t& met = met_[item_of(node)];
        if (met == kNotMet) met = count_++;
        const std::vector<size_t> before = parents(node);
        for (auto parent = before.rbegin(); parent != before.rend(); ++parent) {
          if (state_[*parent] == State::kNew) open.push_back(*parent);
        }
        continue;
      }
      open.pop_back();
      if (state_[node] == State::kDone) continue;
      state_[node] = State::kDone;
      finished_.push_back(node);
    }
  }

  /// How far a layer is from the outputs, by its farthest call.
  std::vector<size_t> item_depths() const {
    std::vector<size_t> nodes(state_.size(), 0);
    std::vector<size_t> items(met_.size(), 0);
    for (auto node = finished_.rbegin(); node != finished_.rend(); ++node) {
      size_t& item = items[item_of(*node)];
      item = std::max(item, nodes[*node]);
      nodes[*node] = item;
      for (const size_t parent : parents(*node))
        nodes[parent] = std::max(nodes[parent], item + 1);
    }
    return items;
  }

  const Model& model_;
  std::vector<State> state_;
  std::vector<size_t> met_;  ///< of each item: when the search first met it
  size_t count_ = 0;
  std::vector<size_t> finished_;
};

}  // namespace

std::vector<KerasItem> keras_order(const Model& model) {
  return Order(model).run();
}

std::vector<TrainedParameter> trained_parameters(const Model& model) {
  std::vector<TrainedParameter> all;
  for (const KerasItem& item : keras_order(model)) {
    if (item.is_input) continue;
    const Layer& layer = model.layers[item.index];
    for (const ParameterSpec& spec : layer.parameters) {
      if (spec.trainable && !spec.carried) all.push_back({&layer, &spec});
    }
  }
  return all;
}

}  // namespace gradc::exchange
