// Runs kernels made by hand through the JIT, on memory given per argument.
#pragma once

#include "codegen/jit.h"
#include "codegen/kernel/kernel.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

namespace gradc::test {

/// gradc_rt_thread, as runtime/model_abi.h lays it out.
struct ThreadView {
  int32_t index = 0;
  int32_t count = 1;
  void (*barrier)(void*) = nullptr;
  void* pool = nullptr;
  void* scratch = nullptr;
};

struct AlignedFree {
  void operator()(void* p) const { std::free(p); }
};
inline std::unique_ptr<void, AlignedFree> aligned_bytes(int64_t bytes) {
  const auto size = static_cast<size_t>((bytes + 127) / 64 * 64);
  return std::unique_ptr<void, AlignedFree>(std::aligned_alloc(64, size));
}

/// A program of one entry "run" that calls one kernel on slots 0, 1, ...
inline kernel::Program program_of(kernel::Kernel kernel) {
  kernel::Program program;
  program.name = "test";
  kernel::Call call;
  for (size_t i = 0; i < kernel.num_arguments(); ++i)
    call.arguments.push_back({kernel::BufferRef::Where::kSlot, static_cast<int64_t>(i)});
  program.kernels.push_back(std::move(kernel));
  kernel::Entry entry;
  entry.name = "run";
  entry.calls.push_back(std::move(call));
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
    const auto arena = aligned_bytes(entry.arena_bytes);
    const auto scratch = aligned_bytes(entry.scratch_bytes);
    for (int t = 0; t < threads; ++t) {
      const ThreadView thread{t, threads, [](void*) {}, nullptr, scratch.get()};
      entry.function(slots.data(), arena.get(), &thread);
    }
  }

  const JitProgram& jit() const { return *jit_; }

 private:
  std::unique_ptr<JitProgram> jit_;
};

}  // namespace gradc::test
