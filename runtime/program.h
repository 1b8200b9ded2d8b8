// Runs an entry: walks its steps on every thread, calls kernels, meets at barriers. Allocates
// nothing.
#pragma once

#include "runtime/model_abi.h"

namespace gradc::rt {

/// The pointers of an entry's arguments, in their order: what slots, arena and constants are now,
/// without what loops add. One for each argument; to be made again when a slot or the arena moves.
void resolve_arguments(const gradc_rt_entry& entry, void* const* slots, void* arena,
                       void** pointers);

/// One thread's part of an entry; all threads of the pool call it with the same pointers.
void run_steps(const gradc_rt_entry& entry, void* const* pointers, const gradc_rt_thread& thread);

/// What one thread spent in a step, all calls together.
struct StepTime {
  int64_t nanoseconds;
  int64_t calls;
};

/// One call of a kernel on one thread; the clock is CLOCK_MONOTONIC.
struct StepEvent {
  int64_t step;
  int64_t begin;  // nanoseconds
  int64_t end;
};

/// Where one thread's measurements go; the caller's memory.
struct ThreadTimes {
  StepTime* steps;    // one for each step of the entry, added to
  int64_t waiting;    // nanoseconds at barriers
  StepEvent* events;  // may be NULL
  int64_t num_events;
  int64_t max_events;  // further ones are not kept
};

/// The same as run_steps with a clock around every call; `times` by thread.
void run_steps_timed(const gradc_rt_entry& entry, void* const* pointers,
                     const gradc_rt_thread& thread, ThreadTimes* times);

}  // namespace gradc::rt
