// `gradc bench`: the time of a model's training step on synthetic data of the right shape.
#pragma once

#include "driver/compiled_model.h"
#include "driver/profile.h"
#include "support/result.h"
#include "support/source_file.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gradc {

struct BenchOptions {
  std::string model;
  Given given;        ///< beside the model's file
  int64_t steps = 0;  ///< 0: as many as fit into `seconds`
  double seconds = 2.0;
  int64_t batch_size = 0;
  int threads = 1;
  std::string cpu;  ///< compile for it; empty: all that this machine has
  std::optional<int64_t> memory_budget_bytes;
  double ignored = 0.0;  ///< share of targets that are the loss's ignore_class
  bool cache = false;    ///< take compiled code from the user's cache, and keep it there
  bool profile = false;
  std::string trace;  ///< a file for Chrome's trace events; empty: none
};

struct BenchResult {
  double step_ms_median = 0.0;
  double step_ms_min = 0.0;
  int64_t steps = 0;
  int64_t batch_size = 0;
  double examples_per_second = 0.0;
  double gflop_per_step =
      0.0;  ///< multiply-adds of matrix products and convolutions, counted as two
  double gflops = 0.0;
  double peak_gflops = 0.0;  ///< measured just after: multiply-adds on all threads, each product's
                             ///< share at the peak of its type
  double peak_gflops_fraction = 0.0;
  double compile_ms = 0.0;  ///< of train_step
  int64_t kernels = 0;
  int64_t cached_kernels = 0;  ///< of them, those that were not compiled
  int64_t cached_entries = 0;  ///< 1: not even passes were run
  std::vector<std::pair<std::string, double>> compile_stages_ms;
  int64_t arena_bytes = 0;
  int64_t scratch_bytes = 0;  ///< of each thread
  int64_t planned_bytes = 0;  ///< everything the model takes: all of these, batch buffers, pointers
  int64_t table_bytes = 0;    ///< its description and the steps of compiled entries
  int64_t code_bytes = 0;     ///< object files of kernels
  int64_t input_bytes = 0;    ///< inputs and targets
  int64_t output_bytes = 0;   ///< outputs, loss and metrics
  int64_t resident_bytes = 0;  ///< anonymous memory of the process while it trains
  int64_t parameter_bytes = 0;
  int64_t state_bytes = 0;  ///< states and optimizer state
  int64_t peak_rss_bytes = 0;
  int threads = 1;
  std::optional<Profile> profile;
};

/// A batch of synthetic data: inputs and float targets uniform in [0, 1), integer targets and
/// inputs below the smallest class count that is safe; of targets that may be ignored this share
/// is.
void fill_batch(rt::Instance& instance, double ignored);

Result<BenchResult> run_bench(const BenchOptions& options, SourceSet& sources);

}  // namespace gradc
