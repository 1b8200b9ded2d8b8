// Waiting protocol: a waiter re-checks the word, spins up to spin_limit_, then counts itself as a
// sleeper and sleeps on the word; a publisher changes the word first and wakes only if there are
// sleepers. Both sides use sequentially consistent order on (word, sleepers), so no wake-up is
// lost.
#include "runtime/thread_pool.h"

#include <algorithm>
#include <climits>
#include <cstring>
#include <sched.h>
#include <unistd.h>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace gradc::rt {
namespace {

// Pauses (20 to 60 ns each): the most covers the gaps between steps and uneven kernels; the least,
// for threads that have lost their core, is still about what sleeping and waking costs.
constexpr int32_t kSpinLimit = 4000;
constexpr int32_t kLeastSpin = 512;

// While a job runs, subnormal results and operands count as zero, on every thread alike: sums that
// fade out (moments of dead units, saturated softmax gradients) would else cost a hundred cycles a
// multiply-add. The caller's own mode comes back afterwards.
class FlushSubnormals {
 public:
#if defined(__x86_64__)
  FlushSubnormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040U); }  // FTZ, DAZ
  ~FlushSubnormals() { _mm_setcsr(saved_); }
#elif defined(__aarch64__)
  FlushSubnormals() {
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved_));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved_ | (uint64_t{1} << 24)));  // FZ
  }
  ~FlushSubnormals() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }
#else
  FlushSubnormals() {}  // this processor's mode stays as it is
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
#if defined(__x86_64__)
  unsigned saved_;
#elif defined(__aarch64__)
  uint64_t saved_ = 0;
#endif
};

void spin_pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

void sleep_while_equal(std::atomic<uint32_t>* word, uint32_t value) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAIT_PRIVATE, value, nullptr, nullptr,
          0);
#else
  if (word->load() == value) sched_yield();
#endif
}

void wake_all(std::atomic<uint32_t>* word) {
#if defined(__linux__)
  syscall(SYS_futex, reinterpret_cast<uint32_t*>(word), FUTEX_WAKE_PRIVATE, INT_MAX, nullptr,
          nullptr, 0);
#else
  (void)word;
#endif
}

}  // namespace

Status ThreadPool::start(int32_t count, const HostThreads& host) {
  stop();
  host_ = host;
  count_ = count < 1 ? 1 : (count > kMaxThreads ? kMaxThreads : count);
  max_spin_ = count_ <= available_processors() ? kSpinLimit : 0;
  spin_limit_.store(max_spin_);
  arrived_.store(0);
  return {};
}

Status ThreadPool::start(int32_t count) {
  stop();
  host_ = {};
  count_ = count < 1 ? 1 : (count > kMaxThreads ? kMaxThreads : count);
  owner_ = static_cast<int32_t>(getpid());
  // Spinning helps only if every thread can have a core of its own.
  max_spin_ = count_ <= available_processors() ? kSpinLimit : 0;
  spin_limit_.store(max_spin_);
  stopping_.store(false);
  arrived_.store(0);
  for (int32_t i = 1; i < count_; ++i) {
    workers_[i].pool = this;
    workers_[i].index = i;
    workers_[i].count = count_;
    const int failure = pthread_create(&workers_[i].handle, nullptr, worker_main, &workers_[i]);
    if (failure != 0) {
      const int32_t wanted = count_;
      count_ = i;
      stop();
      return error("cannot start %d threads: %s", wanted, strerror(failure));
    }
  }
  return {};
}

bool ThreadPool::usable() const {
  return count_ == 1 || host_.run != nullptr || owner_ == static_cast<int32_t>(getpid());
}

void ThreadPool::stop() {
  if (count_ > 1 && host_.run == nullptr && usable()) {
    stopping_.store(true);
    publish(generation_, generation_.load() + 1);
    for (int32_t i = 1; i < count_; ++i)
      pthread_join(workers_[i].handle, nullptr);
    generation_.store(0);
  }
  count_ = 1;
}

void ThreadPool::wait_while_equal(std::atomic<uint32_t>& word, uint32_t value) {
  const int32_t limit = spin_limit_.load(std::memory_order_relaxed);
  for (int32_t i = 0; i < limit; ++i) {
    if (word.load(std::memory_order_acquire) != value) {
      if (limit < max_spin_)
        spin_limit_.store(std::min(limit + limit / 8 + 1, max_spin_), std::memory_order_relaxed);
      return;
    }
    spin_pause();
  }
  // Spinning was in vain: spin less from now on; successes bring it back soon, since one lost time
  // slice must not turn every later barrier into a sleep.
  if (limit > kLeastSpin)
    spin_limit_.store(std::max(limit / 2, kLeastSpin), std::memory_order_relaxed);
  sleepers_.fetch_add(1);
  while (word.load() == value)
    sleep_while_equal(&word, value);
  sleepers_.fetch_sub(1);
}

void ThreadPool::publish(std::atomic<uint32_t>& word, uint32_t value) {
  word.store(value);
  if (sleepers_.load() > 0) wake_all(&word);
}

void ThreadPool::barrier() {
  if (count_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_acquire);
  if (arrived_.fetch_add(1) + 1 == static_cast<uint32_t>(count_)) {
    arrived_.store(0);
    publish(phase_, phase + 1);
  } else {
    wait_while_equal(phase_, phase);
  }
}

void ThreadPool::barrier_entry(void* pool) {
  static_cast<ThreadPool*>(pool)->barrier();
}

void* ThreadPool::worker_main(void* argument) {
  Worker* worker = static_cast<Worker*>(argument);
  ThreadPool* pool = worker->pool;
  uint32_t seen = 0;
  while (true) {
    pool->wait_while_equal(pool->generation_, seen);
    ++seen;
    if (pool->stopping_.load()) return nullptr;
    const gradc_rt_thread thread = pool->thread_view(worker->index, worker->count);
    {
      const FlushSubnormals flush;
      pool->job_(pool->context_, &thread);
    }
    pool->barrier();  // the end of the job: nobody leaves before all have finished
  }
}

void ThreadPool::host_work(void* argument, int32_t thread) {
  ThreadPool* pool = static_cast<ThreadPool*>(argument);
  const FlushSubnormals flush;
  const gradc_rt_thread view = pool->thread_view(thread, pool->count_);
  pool->job_(pool->context_, &view);
}

void ThreadPool::run(Job job, void* context) {
  if (host_.run != nullptr) {
    job_ = job;
    context_ = context;
    host_.run(host_.user, host_work, this, count_);
    return;
  }
  const FlushSubnormals flush;
  const gradc_rt_thread thread = thread_view(0, count_);
  if (count_ == 1) {
    job(context, &thread);
    return;
  }
  job_ = job;
  context_ = context;
  publish(generation_, generation_.load() + 1);
  job(context, &thread);
  barrier();
}

}  // namespace gradc::rt
