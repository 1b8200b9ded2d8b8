// `gradc bench --profile` and `--trace`: what each kernel of a compiled training step takes.
#pragma once

#include "codegen/kernel/program.h"
#include "driver/bandwidth.h"
#include "driver/fma_peak.h"
#include "runtime/instance.h"

#include <cstdint>
#include <string>
#include <vector>

namespace gradc {

/// All calls of one kernel for one place of the model, per training step.
struct ProfileRow {
  std::string kernel;
  std::string layer;  ///< where in the model the calls come from
  int64_t calls = 0;
  double milliseconds = 0.0;  ///< of the thread that took longest
  double share = 0.0;         ///< of all kernels' time
  int64_t flops = 0;          ///< multiply-adds of contractions, counted as two
  int64_t bytes = 0;          ///< read and written, each argument once
  double gflops = 0.0;
  double gigabytes_per_second = 0.0;
  double roof_share = 0.0;  ///< the least time by the measured roofs over the time taken
};

struct Profile {
  std::vector<ProfileRow> rows;  ///< the dearest first
  int64_t steps = 0;             ///< training steps that were measured
  double step_ms = 0.0;          ///< one of them, clocks included
  double waiting_ms = 0.0;       ///< at barriers, of the thread that waited longest
  std::vector<BandwidthPoint> bandwidth;
};

/// What one call reads and writes: every argument once, what is read and written twice.
int64_t argument_bytes(const kernel::Kernel& kernel);

/// Runs the prepared entry for about that long with a clock around each kernel. `entry`: its steps.
Profile profile_entry(rt::Instance& instance, gradc_rt_entry_kind kind,
                      const kernel::Program& program, const kernel::Entry& entry, double seconds,
                      const FmaPeaks& peaks, const std::vector<BandwidthPoint>& bandwidth);

/// The table for people.
std::string profile_text(const Profile& profile);

/// Runs it `runs` times; the calls in Chrome's trace event format, a row for each thread.
std::string trace_entry(rt::Instance& instance, gradc_rt_entry_kind kind,
                        const kernel::Program& program, const kernel::Entry& entry, int runs);

}  // namespace gradc
