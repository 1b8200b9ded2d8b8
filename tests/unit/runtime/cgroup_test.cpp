// Processors that control groups grant, from made-up /proc and mount trees.
#include "runtime/cgroup.h"

#include "runtime/thread_pool.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <sched.h>

namespace gradc::rt {
namespace {

using testing::TempDir;
using testing::write_bytes;

/// A root folder with /proc/self files and groups.
class Tree {
 public:
  Tree(const std::string& cgroup, const std::string& mountinfo) {
    put("/proc/self/cgroup", cgroup);
    put("/proc/self/mountinfo", mountinfo);
  }
  Tree& put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(dir_.path() + path).parent_path());
    write_bytes(dir_.path() + path, text);
    return *this;
  }
  int32_t processors() const { return cgroup_processors(dir_.path().c_str()); }

 private:
  TempDir dir_;
};

const std::string kMount2 =
    "35 30 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(Cgroup, Version2TakesTheLeastOfEveryLevel) {
  Tree tree("0::/user.slice/app.scope\n", kMount2);
  EXPECT_EQ(tree.processors(), 0);
  tree.put("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "max 100000\n");
  EXPECT_EQ(tree.processors(), 0);
  tree.put("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "350000 100000\n");
  EXPECT_EQ(tree.processors(), 4);  // rounded up
  tree.put("/sys/fs/cgroup/user.slice/cpu.max", "200000 100000\n");
  EXPECT_EQ(tree.processors(), 2);
  tree.put("/sys/fs/cgroup/user.slice/app.scope/cpu.max", "5000 100000\n");
  EXPECT_EQ(tree.processors(), 1);
}

TEST(Cgroup, ContainersSeeTheirPartOfTheTree) {
  // The group's own namespace: the path is the root.
  Tree own("0::/\n", kMount2);
  own.put("/sys/fs/cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(own.processors(), 2);
  // Without one: the mount begins where the path leads.
  Tree docker("0::/docker/abc\n", "35 30 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n");
  docker.put("/sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(docker.processors(), 3);
}

TEST(Cgroup, Version1HasItsOwnFiles) {
  Tree tree("5:memory:/x\n4:cpu,cpuacct:/batch/job\n0::/\n",
            "30 25 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
            "31 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n");
  tree.put("/sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_quota_us", "-1\n");
  tree.put("/sys/fs/cgroup/cpu,cpuacct/batch/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(tree.processors(), 0);
  tree.put("/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_quota_us", "250000\n");
  tree.put("/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(tree.processors(), 3);
}

TEST(Cgroup, WhatDoesNotParseLimitsNothing) {
  for (const char* text :
       {"", "\n", "max", "x y\n", "100000\n", "-5 100000\n", "100000 0\n", "1e5 1e5\n"}) {
    Tree tree("0::/\n", kMount2);
    tree.put("/sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(tree.processors(), 0) << text;
  }
  EXPECT_EQ(Tree("", "").processors(), 0);
  EXPECT_EQ(Tree("0::/../../etc\n", kMount2).processors(), 0);
  EXPECT_EQ(Tree(std::string(100000, ':'), std::string(100000, '-')).processors(), 0);
  EXPECT_EQ(cgroup_processors("/nonexistent"), 0);
}

TEST(Cgroup, TheMaskCounts) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(available_processors(), 1);
  sched_setaffinity(0, sizeof before, &before);
}

}  // namespace
}  // namespace gradc::rt
