#include "runtime/program.h"

#include "runtime/kernel_call.h"

#include <cstddef>
#include <ctime>

namespace gradc::rt {
namespace {

/// Measures nothing.
struct NoClock {
  void begin() {}
  void waited() {}
  void called(int64_t) {}
};

class StepClock {
 public:
  explicit StepClock(ThreadTimes& times) : times_(times) {}

  void begin() { begin_ = now(); }
  void waited() { times_.waiting += now() - begin_; }
  void called(int64_t step) {
    const int64_t end = now();
    times_.steps[step].nanoseconds += end - begin_;
    ++times_.steps[step].calls;
    if (times_.num_events < times_.max_events)
      times_.events[times_.num_events++] = {step, begin_, end};
  }

 private:
  static int64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<int64_t>(time.tv_sec) * 1000000000 + time.tv_nsec;
  }

  ThreadTimes& times_;
  int64_t begin_ = 0;
};

template <class Clock>
class Walker {
 public:
  Walker(const gradc_rt_entry& entry, void* const* pointers, const gradc_rt_thread& thread,
         Clock clock)
      : entry_(entry),
        pointers_(pointers),
        thread_(thread),
        clock_(clock),
        frame_(reinterpret_cast<void**>(static_cast<char*>(thread.scratch) + entry.frame_offset)) {}

  void run() { walk(entry_.steps, entry_.steps + entry_.num_steps, 0); }

 private:
  void meet() {
    if (thread_.count == 1) return;
    clock_.begin();
    thread_.barrier(thread_.pool);
    clock_.waited();
  }

  void walk(const gradc_rt_step* step, const gradc_rt_step* end, int depth) {
    while (step != end) {
      if ((step->barriers & GRADC_RT_BARRIER_BEFORE) != 0) meet();
      if (step->kind == GRADC_RT_CALL) {
        call(*step);
        ++step;
        continue;
      }
      const gradc_rt_step* body = step + 1;
      for (int64_t i = 0; i < step->trips; ++i) {
        if (i > 0 && (step->barriers & GRADC_RT_BARRIER_BETWEEN) != 0) meet();
        iterations_[depth] = i;
        walk(body, body + step->body, depth + 1);
      }
      step = body + step->body;
    }
  }

  void call(const gradc_rt_step& step) {
    const gradc_rt_kernel& kernel = entry_.kernels[step.kernel];
    if (kernel.parallel == 0 && thread_.index != 0) return;
    void* const* arguments = pointers_ + step.first_argument;
    if (step.num_strides != 0) {
      place(step);
      arguments = frame_;
    }
    clock_.begin();
    call_kernel(kernel, arguments, thread_.index, thread_.count, thread_.scratch);
    clock_.called(&step - entry_.steps);
  }

  // The pointers of a call whose arguments move, at this iteration.
  void place(const gradc_rt_step& step) {
    for (int64_t i = 0; i < step.num_arguments; ++i)
      frame_[i] = pointers_[step.first_argument + i];
    const gradc_rt_stride* strides = entry_.strides + step.first_stride;
    for (int64_t s = 0; s < step.num_strides; ++s) {
      const gradc_rt_stride& stride = strides[s];
      int64_t factor = iterations_[stride.loop];
      if (stride.period != 0) factor = (factor + stride.phase) % stride.period;
      frame_[stride.argument] = static_cast<char*>(frame_[stride.argument]) + stride.bytes * factor;
    }
  }

  const gradc_rt_entry& entry_;
  void* const* pointers_;
  const gradc_rt_thread& thread_;
  Clock clock_;
  void** frame_;
  int64_t iterations_[GRADC_RT_MAX_LOOPS] = {};
};

}  // namespace

void resolve_arguments(const gradc_rt_entry& entry, void* const* slots, void* arena,
                       void** pointers) {
  for (int64_t i = 0; i < entry.num_arguments; ++i) {
    const gradc_rt_argument& argument = entry.arguments[i];
    void* base = arena;
    if (argument.base >= 0) base = slots[argument.base];
    // Kernels only read constants; the pointers of arguments have one type for all.
    if (argument.base <= GRADC_RT_CONSTANT)
      base = const_cast<void*>(entry.constants[GRADC_RT_CONSTANT - argument.base]);
    pointers[i] = static_cast<char*>(base) + argument.offset;
  }
}

void run_steps(const gradc_rt_entry& entry, void* const* pointers, const gradc_rt_thread& thread) {
  Walker(entry, pointers, thread, NoClock{}).run();
}

void run_steps_timed(const gradc_rt_entry& entry, void* const* pointers,
                     const gradc_rt_thread& thread, ThreadTimes* times) {
  Walker(entry, pointers, thread, StepClock(times[thread.index])).run();
}

}  // namespace gradc::rt
