// The thread pool: N threads that run one function together and meet at barriers. Thread 0 is the
// caller, or all are the host's. Waiting spins for a bounded time, then sleeps in the kernel
// (futex), so that occupied cores cost little. After create() nothing is allocated. One caller at a
// time.
#pragma once

#include "runtime/model_abi.h"
#include "runtime/status.h"

#include <atomic>
#include <cstdint>
#include <pthread.h>

namespace gradc::rt {

/// Threads that a host has already. run(user, work, argument, threads) calls work(argument, i) for
/// each i from 0 to threads - 1, on threads that run at the same time, since they wait for each
/// other, and returns when all have returned. null: none.
struct HostThreads {
  void (*run)(void* user, void (*work)(void* argument, int32_t thread), void* argument,
              int32_t threads) = nullptr;
  void* user = nullptr;
};

class ThreadPool {
 public:
  static constexpr int32_t kMaxThreads = GRADC_RT_MAX_THREADS;
  using Job = void (*)(void* context, const gradc_rt_thread* thread);

  ThreadPool() = default;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool() { stop(); }

  /// Starts count - 1 workers; count is clamped to [1, kMaxThreads].
  Status start(int32_t count);
  /// Has the host's threads instead, count at a time.
  Status start(int32_t count, const HostThreads& host);
  /// Ends and joins the workers; start() may follow.
  void stop();
  /// False in a child of fork(): the workers did not come along. The host's threads are his matter.
  bool usable() const;
  /// Runs job(context, thread) once on every thread and returns when all have finished.
  void run(Job job, void* context);
  int32_t count() const { return count_; }
  /// Thread i gets base + i * stride as its scratch in the following runs.
  void set_scratch(void* base, size_t stride) {
    scratch_ = static_cast<char*>(base);
    scratch_stride_ = stride;
  }

 private:
  struct Worker {
    ThreadPool* pool;
    pthread_t handle;
    int32_t index;
    int32_t count;
  };

  static void* worker_main(void* worker);
  static void barrier_entry(void* pool);
  static void host_work(void* pool, int32_t thread);
  gradc_rt_thread thread_view(int32_t index, int32_t count) {
    return {index, count, barrier_entry, this,
            scratch_ + static_cast<size_t>(index) * scratch_stride_};
  }
  void barrier();
  void wait_while_equal(std::atomic<uint32_t>& word, uint32_t value);
  void publish(std::atomic<uint32_t>& word, uint32_t value);

  // Shared words live on cache lines of their own.
  alignas(64) std::atomic<uint32_t> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};       // of the barrier
  alignas(64) std::atomic<uint32_t> generation_{0};  // of run()
  alignas(64) std::atomic<int32_t> sleepers_{0};
  std::atomic<int32_t> spin_limit_{0};
  std::atomic<bool> stopping_{false};
  HostThreads host_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  int32_t count_ = 1;
  int32_t owner_ = 0;  // the process that has the workers
  int32_t max_spin_ = 0;
  char* scratch_ = nullptr;
  size_t scratch_stride_ = 0;
  Worker workers_[kMaxThreads];
};

/// Processors this process may run on, at least 1.
int32_t available_processors();

}  // namespace gradc::rt
