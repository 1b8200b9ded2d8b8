#include "runtime/program.h"

#include <cstddef>

namespace gradc::rt {
namespace {

class Walker {
 public:
  Walker(const gradc_rt_entry& entry, void* const* pointers, const gradc_rt_thread& thread)
      : entry_(entry),
        pointers_(pointers),
        thread_(thread),
        frame_(reinterpret_cast<void**>(static_cast<char*>(thread.scratch) + entry.frame_offset)) {}

  void run() { walk(entry_.steps, entry_.steps + entry_.num_steps, 0); }

 private:
  void meet() {
    if (thread_.count > 1) thread_.barrier(thread_.pool);
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
    kernel.fn(arguments, thread_.index, thread_.count, thread_.scratch);
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
  Walker(entry, pointers, thread).run();
}

}  // namespace gradc::rt
