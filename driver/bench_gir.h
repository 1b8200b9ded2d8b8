// `gradc bench` of a .gir file: its one entry on synthetic data.
#pragma once

#include "driver/bench.h"
#include "driver/gir_file.h"
#include "runtime/instance.h"
#include "support/result.h"

namespace gradc {

Result<BenchResult> bench_gir(const BenchOptions& options);

/// Times a prepared entry on a synthetic batch and fills in what the instance tells: times, arena,
/// parameters and states.
void time_entry(rt::Instance& instance, gradc_rt_entry_kind entry, const BenchOptions& options,
                BenchResult& result);

}  // namespace gradc
