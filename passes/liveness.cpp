#include "passes/liveness.h"

#include "ir/op.h"
#include "passes/in_place.h"

#include <algorithm>

namespace gradc {

LivenessModel::LivenessModel(const Graph& graph, std::vector<ValueId> targets)
    : targets_(std::move(targets)),
      bytes_(graph.value_capacity(), 0),
      readers_(graph.value_capacity(), 0),
      row_of_(graph.node_capacity(), 0) {
  rows_.reserve(graph.num_nodes());
  PointReads reads(graph);
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    row_of_[id.index] = static_cast<uint32_t>(rows_.size());
    Row& row = rows_.emplace_back();
    if (node.op == Op::kConstant) continue;
    for (ValueId result : node.results) {
      const bool in_arena = !graph.value(result).uses.empty() && !graph.is_output(result) &&
                            !targets_[result.index].valid();
      if (!in_arena) continue;
      bytes_[result.index] = arena_bytes(graph.type(result));
      row.results.push_back(result);
    }
    for (ValueId operand : node.operands) {
      std::vector<ValueId>& list = row.operands;
      if (bytes_[operand.index] == 0 ||
          std::find(list.begin(), list.end(), operand) != list.end()) {
        continue;
      }
      list.push_back(operand);
      ++readers_[operand.index];
    }
    if (row.results.empty() || row.operands.empty()) continue;
    auto candidates = reads.overwritable(id);
    for (ValueId result : row.results)
      row.overwritable.push_back(std::move(candidates[graph.value(result).index]));
  }
}

void LivenessModel::taken_over(NodeId node, std::span<const uint32_t> reads_to_come,
                               std::vector<std::pair<ValueId, ValueId>>& pairs) const {
  pairs.clear();
  const auto& candidates = row(node).overwritable;
  for (size_t r = 0; r < candidates.size(); ++r) {
    for (ValueId operand : candidates[r]) {
      if (bytes_[operand.index] == 0 || reads_to_come[operand.index] != 1) continue;
      const bool taken = std::any_of(pairs.begin(), pairs.end(),
                                     [&](const auto& pair) { return pair.second == operand; });
      if (taken) continue;
      pairs.emplace_back(row(node).results[r], operand);
      break;
    }
  }
}

LiveProfile LivenessModel::profile(std::span<const NodeId> order) const {
  LiveProfile result;
  std::vector<uint32_t> reads = readers_;
  std::vector<std::pair<ValueId, ValueId>> pairs;
  int64_t live = 0;
  for (size_t step = 0; step < order.size(); ++step) {
    const NodeId id = order[step];
    taken_over(id, reads, pairs);
    for (ValueId value : arena_results(id))
      live += bytes_[value.index];
    for (const auto& [written, operand] : pairs)
      live -= bytes_[operand.index];
    if (live > result.peak) {
      result.peak = live;
      result.peak_step = step;
    }
    result.total += static_cast<double>(live);
    for (ValueId operand : arena_operands(id)) {
      if (--reads[operand.index] > 0) continue;
      const bool taken = std::any_of(pairs.begin(), pairs.end(),
                                     [&](const auto& pair) { return pair.second == operand; });
      if (!taken) live -= bytes_[operand.index];
    }
  }
  return result;
}

std::vector<LiveBuffer> live_buffers(const Graph& graph, const LivenessModel& model) {
  std::vector<LiveBuffer> buffers;
  std::vector<size_t> buffer_of(graph.value_capacity(), SIZE_MAX);
  std::vector<uint32_t> reads(graph.value_capacity(), 0);
  for (size_t i = 0; i < reads.size(); ++i)
    reads[i] = model.num_readers(ValueId(i));
  std::vector<std::pair<ValueId, ValueId>> pairs;
  int64_t step = 0;
  for (NodeId id : graph.nodes()) {
    model.taken_over(id, reads, pairs);
    for (ValueId result : model.arena_results(id)) {
      const auto pair = std::find_if(pairs.begin(), pairs.end(),
                                     [&](const auto& p) { return p.first == result; });
      if (pair != pairs.end()) {
        buffer_of[result.index] = buffer_of[pair->second.index];
        buffers[buffer_of[result.index]].values.push_back(result);
        buffers[buffer_of[result.index]].spec.last = step;
        continue;
      }
      buffer_of[result.index] = buffers.size();
      LiveBuffer buffer;
      buffer.values = {result};
      buffer.spec.bytes = model.bytes(result);
      buffer.spec.first = buffer.spec.last = step;
      buffer.spec.alignment = kArenaAlignment;
      buffers.push_back(std::move(buffer));
    }
    for (ValueId operand : model.arena_operands(id)) {
      --reads[operand.index];
      buffers[buffer_of[operand.index]].spec.last = step;
    }
    ++step;
  }
  for (LiveBuffer& buffer : buffers) {
    for (ValueId value : buffer.values) {
      if (!buffer.spec.name.empty()) buffer.spec.name += "+";
      buffer.spec.name += graph.value(value).name;
    }
  }
  return buffers;
}

}  // namespace gradc
