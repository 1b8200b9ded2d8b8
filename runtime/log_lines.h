// What stands in the lines of --log: JSON objects, one for each epoch.
#pragma once

#include "runtime/train_loop.h"

namespace gradc::rt {

/// The line of an epoch, without newline. `run`: empty, or the member that run_json() gives.
Str epoch_json(const Instance& instance, const EpochReport& report, const Str& run);

/// The head of a log, in the first line that a run writes: "run":{"gradc":VERSION, "model":NAME,
/// "optimizer":..., "data":SPEC, "examples":N, "validation_examples":N, "seed", "batch_size",
/// "threads", "target", "started":"2026-01-31T12:00:00Z"}.
Str run_json(const Instance& instance, const Str& data, int64_t examples,
             int64_t validation_examples);

/// "test_loss":..., "test_accuracy":...: what the last line gets when training has ended.
Str test_json(const Instance& instance, const Scores& scores);

}  // namespace gradc::rt
