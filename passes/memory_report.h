// What a memory plan says to people: sizes, who is live at the peak, a step x offset picture as
// data; as text and as JSON (`gradc plan`).
#pragma once

#include "ir/graph.h"
#include "passes/memory_plan.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace gradc {

/// The first step with the most live bytes.
struct MemoryPeak {
  int64_t step = 0;
  std::string node;  ///< the node of that step, by its kernel label or op
  int64_t bytes = 0;
  std::vector<PlannedBuffer> live;  ///< largest first
  /// "h (16384 bytes), z (1280 bytes) and 3 more".
  std::string live_text(size_t limit) const;
};

MemoryPeak find_memory_peak(const Graph& graph, const MemoryPlan& plan);

/// Sum of the bytes of all inputs of a kind.
int64_t input_bytes(const Graph& graph, InputKind kind);
/// Sum of the bytes of all outputs.
int64_t output_bytes(const Graph& graph);

/// A table for people: sizes, efficiency, the peak, the buffers.
std::string memory_report_text(const Graph& graph, const MemoryPlan& plan);

/// One object: arena_bytes, scratch_bytes (of each thread), lower_bound_bytes, naive_bytes,
/// parameter_bytes, state_bytes, input_bytes, output_bytes, flops, bytes_moved, peak, buffers
/// (name, bytes, offset, first, last), steps (label, kind, phase, location, flops, bytes,
/// live_bytes). buffers x steps is the picture of offsets over time.
nlohmann::json memory_report_json(const Graph& graph, const MemoryPlan& plan);

}  // namespace gradc
