// The pool: every thread runs the job, barriers order memory, bounded spinning survives
// oversubscription.
#include "runtime/thread_pool.h"

#include "runtime/train_loop.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace gradc::rt {
namespace {

struct Relay {
  std::vector<int> values;
  int rounds = 0;
};

// Each round, thread i reads what thread i+1 wrote in the round before: wrong unless the barrier
// orders memory.
void relay_job(void* context, const gradc_rt_thread* t) {
  Relay* relay = static_cast<Relay*>(context);
  for (int round = 0; round < relay->rounds; ++round) {
    const size_t next = static_cast<size_t>((t->index + 1) % t->count);
    const int seen = relay->values[next];
    t->barrier(t->pool);
    relay->values[static_cast<size_t>(t->index)] = seen + 1;
    t->barrier(t->pool);
  }
}

void check_relay(int32_t threads, int rounds, int runs) {
  ThreadPool pool;
  ASSERT_TRUE(pool.start(threads).ok());
  ASSERT_EQ(pool.count(), threads);
  Relay relay{std::vector<int>(static_cast<size_t>(threads)), rounds};
  for (int run = 0; run < runs; ++run)
    pool.run(relay_job, &relay);
  for (int value : relay.values)
    EXPECT_EQ(value, rounds * runs);
}

TEST(ThreadPool, OneThread) {
  check_relay(1, 10, 10);
}
TEST(ThreadPool, TwoThreads) {
  check_relay(2, 1000, 20);
}
TEST(ThreadPool, ManyMoreThreadsThanCores) {
  check_relay(16, 50, 10);
}

/// Threads of a host, made for each run.
void run_on_threads(void* runs, void (*work)(void*, int32_t), void* argument, int32_t threads) {
  ++*static_cast<int*>(runs);
  std::vector<std::thread> all;
  for (int32_t i = 0; i < threads; ++i)
    all.emplace_back([=] { work(argument, i); });
  for (std::thread& one : all)
    one.join();
}

TEST(ThreadPool, ThreadsOfAHostMeetAtBarriers) {
  ThreadPool pool;
  int runs = 0;
  ASSERT_TRUE(pool.start(3, {run_on_threads, &runs}).ok());
  ASSERT_EQ(pool.count(), 3);
  Relay relay{std::vector<int>(3), 100};
  for (int run = 0; run < 10; ++run)
    pool.run(relay_job, &relay);
  EXPECT_EQ(runs, 10);
  EXPECT_EQ(relay.values, (std::vector<int>(3, 1000)));
  // Threads of its own again.
  ASSERT_TRUE(pool.start(2).ok());
  Relay own{std::vector<int>(2), 10};
  pool.run(relay_job, &own);
  EXPECT_EQ(runs, 10);
  EXPECT_EQ(own.values, (std::vector<int>(2, 10)));
}

TEST(ThreadPool, OversubscribedPoolsDoNotCollapse) {
  const double begin = now_seconds();
  check_relay(available_processors() * 4, 200, 5);
  EXPECT_LT(now_seconds() - begin, 60.0);
}

TEST(ThreadPool, RestartsWithAnotherCount) {
  ThreadPool pool;
  for (int32_t count : {3, 1, 2}) {
    ASSERT_TRUE(pool.start(count).ok());
    Relay relay{std::vector<int>(static_cast<size_t>(count)), 5};
    pool.run(relay_job, &relay);
    EXPECT_EQ(relay.values[0], 5);
  }
}

TEST(ThreadPool, ScratchIsPerThread) {
  ThreadPool pool;
  ASSERT_TRUE(pool.start(3).ok());
  std::vector<char> memory(3 * 64);
  pool.set_scratch(memory.data(), 64);
  pool.run([](void*, const gradc_rt_thread* t) { memset(t->scratch, t->index + 1, 64); }, nullptr);
  for (size_t i = 0; i < memory.size(); ++i)
    EXPECT_EQ(memory[i], static_cast<char>(i / 64 + 1));
}

TEST(ThreadPool, TwoPoolsSideBySide) {
  ThreadPool a;
  ThreadPool b;
  ASSERT_TRUE(a.start(2).ok());
  ASSERT_TRUE(b.start(2).ok());
  Relay ra{std::vector<int>(2), 100};
  Relay rb{std::vector<int>(2), 100};
  for (int i = 0; i < 10; ++i) {
    a.run(relay_job, &ra);
    b.run(relay_job, &rb);
  }
  EXPECT_EQ(ra.values[0], 1000);
  EXPECT_EQ(rb.values[1], 1000);
}

}  // namespace
}  // namespace gradc::rt
