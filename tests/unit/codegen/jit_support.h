// Runs kernels made by hand through the JIT, on memory given per argument.
#pragma once

#include "codegen/jit.h"
#include "codegen/kernel/kernel.h"
#include "runtime/program.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace gradc::test {

struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};
inline std::unique_ptr<void, AlignedFree> aligned_bytes(int64_t bytes) {
  const auto size = static_cast<size_t>((bytes + 127) / 64 * 64);
  return std::unique_ptr<void, AlignedFree>(std::aligned_alloc(64, size));
}

/// Runs an entry on one thread of a pool.
inline void run_entry(const JitEntry& entry, void* const* slots, void* arena,
                      const gradc_rt_thread& thread) {
  std::vector<void*> pointers(static_cast<size_t>(entry.table.num_arguments));
  rt::resolve_arguments(entry.table, slots, arena, pointers.data());
  rt::run_steps(entry.table, pointers.data(), thread);
}

/// A program of one entry "run" that calls one kernel on slots 0, 1, ...
inline kernel::Program program_of(kernel::Kernel kernel) {
  kernel::Program program;
  program.name = "test";
  kernel::Call call;
  for (size_t i = 0; i < kernel.num_arguments(); ++i)
    call.arguments.push_back(kernel::Address::slot(static_cast<int64_t>(i)));
  program.kernels.push_back(std::move(kernel));
  kernel::Entry entry;
  entry.name = "run";
  entry.steps.emplace_back(std::move(call));
  program.entries.push_back(std::move(entry));
  return program;
}

/// A compiled single-kernel program.
class Compiled {
 public:
  explicit Compiled(kernel::Kernel kernel, const TargetInfo& target = TargetInfo::host())
      : Compiled(program_of(std::move(kernel)), target) {}
  Compiled(const kernel::Program& program, const TargetInfo& target) {
    auto result = jit_compile(program, target);
    EXPECT_TRUE(result.ok()) << result.message();
    if (result.ok()) jit_ = result.take();
  }

  /// Runs the first entry, each of `threads` threads in turn (single kernels have no barriers).
  void run(std::vector<void*> slots, int threads = 1) {
    const JitEntry& entry = jit_->entries().front();
    const auto arena = aligned_bytes(entry.table.arena_bytes);
    const auto scratch = aligned_bytes(entry.table.scratch_bytes);
    for (int t = 0; t < threads; ++t)
      run_entry(entry, slots.data(), arena.get(),
                {t, threads, [](void*) {}, nullptr, scratch.get()});
  }

  const JitProgram& jit() const { return *jit_; }

 private:
  std::unique_ptr<JitProgram> jit_;
};

}  // namespace gradc::test
