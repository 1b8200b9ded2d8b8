// `gradc bench` of a .gir file: its one entry on synthetic data.
#pragma once

#include "driver/bench.h"
#include "driver/gir_file.h"
#include "runtime/instance.h"
#include "support/result.h"

namespace gradc {

Result<BenchResult> bench_gir(const BenchOptions& options);

/// What is timed: one entry of a compiled program.
struct BenchedEntry {
  const TargetInfo& target;
  const kernel::Program& program;
  const kernel::Entry& entry;
  gradc_rt_entry_kind kind;
};

/// Times a prepared entry on a synthetic batch and fills in what the instance tells: times and
/// memory.
void time_entry(rt::Instance& instance, gradc_rt_entry_kind entry, const BenchOptions& options,
                BenchResult& result);
/// --profile and --trace.
Status measure_kernels(const BenchOptions& options, const BenchedEntry& benched,
                       rt::Instance& instance, const FmaPeaks& peaks, BenchResult& result);

}  // namespace gradc
