// What training watches from epoch to epoch: a loss or a metric by its name in the log, and what
// follows when it no longer gets better.
#pragma once

#include "runtime/instance.h"
#include "runtime/status.h"

namespace gradc::rt {

struct EpochReport;

/// The rate falls where training no longer gets better, as Keras's ReduceLROnPlateau has it.
struct ReduceOnPlateau {
  bool enabled = false;
  const char* monitor = nullptr;  // NULL = "val_loss"
  double factor = 0.1;            // of the rate, each time
  int64_t patience = 10;          // epochs without improvement before that
  double min_delta = 1e-4;
  int64_t mode = -1;     // -1 smaller is better, 1 larger
  int64_t cooldown = 0;  // epochs after it that do not count
  double least = 0;      // what all factors together are at least
};

/// Where it stands; a checkpoint holds it.
struct PlateauState {
  bool has_best = false;
  double best = 0;
  int64_t wait = 0;
  int64_t cooldown = 0;  // epochs left
};

/// Whether a value is better than the best by more than min_delta.
bool improves(double value, double best, int64_t mode, double min_delta);

/// A finished epoch's value; whether the rate falls now.
bool passes_plateau(const ReduceOnPlateau& options, double value, PlateauState* state);

/// The state "optimizer/rate_factor", which every step multiplies its rate by; 1 where there is
/// none.
double rate_factor(const Instance& instance);

/// What follows a factor: options.factor of it, not less than options.least.
double reduced_factor(const ReduceOnPlateau& options, double factor);

/// Multiplies it. Returns its new value, or 0 where it is as small as it may be.
double reduce_rate(Instance& instance, const ReduceOnPlateau& options);

const char* monitor_or_default(const char* monitor);

/// False if there is no such loss or metric.
bool monitored_value(const Instance& instance, const char* monitor, const EpochReport& report,
                     double* value);

/// An error that names what there is; `who` watches it.
Status check_monitor(const Instance& instance, const char* who, const char* monitor,
                     bool has_validation);

}  // namespace gradc::rt
