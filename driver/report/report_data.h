// What a report shows, as data: the steps of one entry under the layers they belong to, distinct
// kernels with their calls, the memory plan, why neighbours were not fused, times.
#pragma once

#include "codegen/target_info.h"
#include "driver/entry_builder.h"
#include "driver/report/report_profile.h"
#include "support/json.h"
#include "support/result.h"

#include <cstdint>
#include <optional>

namespace gradc {

struct ReportOptions {
  EntryPoint entry = EntryPoint::kTrainStep;
  int64_t batch = 1;
  TargetInfo target = TargetInfo::host();
  std::optional<int64_t> memory_budget_bytes;
  std::optional<ReportProfile> profile;
};

/// One object. Things are referred to by their number in these lists:
/// - "layers": {name, type, output, parameters, place, inputs: [layer]}; the last two are the loss
///   and the optimizer;
/// - "steps" in execution order: {at, label, phase, layers: [layer], unit, results: [{name, type,
///   place}], updates: [tensor], reads and writes: [buffer], flops, bytes[, ms]}. `at` counts nodes
///   as the plan does; updates and constants are no steps, they are part of what makes them;
/// - "units", the distinct bodies of steps: {kind, ops: [op], body, kernels: [[kernel, calls]]};
/// - "kernels": {name, flops, bytes, code[, ms, roof_share]}: work of one call, time of all;
/// - "buffers" of the arena: {name, bytes, offset, first, last} in the plan's count;
/// - "remarks": {first, second: [step], text};
/// and "model", "entry", "batch", "target", "nodes" (before fusion), "flops" (of the graph's
/// products; kernels count what they do, zeros of a padding included), "memory", and "profile" (or
/// null).
Result<Json> report_data(const Model& model, const ReportOptions& options);

}  // namespace gradc
