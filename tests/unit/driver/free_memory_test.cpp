// What memory is free, by /proc and cgroups of a made-up machine.
#include "driver/free_memory.h"

#include "command.h"
#include <gtest/gtest.h>

#include <filesystem>

namespace gradc {
namespace {

using test::Scratch;
using test::write_text_file;

class Machine {
 public:
  Machine& file(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ / path).parent_path());
    write_text_file(root_ / path, text);
    return *this;
  }
  int64_t free() const { return free_memory_bytes(root_ / ""); }

 private:
  Scratch root_;
};

TEST(FreeMemory, IsWhatTheSystemHasAvailable) {
  EXPECT_EQ(Machine().free(), INT64_MAX);
  EXPECT_EQ(Machine().file("proc/meminfo", "MemTotal: 9 kB\nMemAvailable:    1000 kB\n").free(),
            1024000);
  EXPECT_GT(free_memory_bytes(), 0);
}

TEST(FreeMemory, IsWhatTheInnermostAndOuterGroupsLeave) {
  Machine machine;
  machine.file("proc/meminfo", "MemAvailable: 1000000 kB\n")
      .file("proc/self/cgroup", "0::/a/b\n")
      .file("sys/fs/cgroup/a/b/memory.max", "max\n")
      .file("sys/fs/cgroup/a/b/memory.current", "77\n")
      .file("sys/fs/cgroup/a/memory.max", "5000\n")
      .file("sys/fs/cgroup/a/memory.current", "1000\n");
  EXPECT_EQ(machine.free(), 4000);
  machine.file("sys/fs/cgroup/a/b/memory.max", "100\n");
  EXPECT_EQ(machine.free(), 23);
  machine.file("sys/fs/cgroup/a/b/memory.current", "700\n");
  EXPECT_EQ(machine.free(), 0);
}

TEST(FreeMemory, KnowsTheOlderGroups) {
  Machine machine;
  machine.file("proc/meminfo", "MemAvailable: 1000000 kB\n")
      .file("proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/docker/1\n0::/\n")
      .file("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9000\n")
      .file("sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "2000\n")
      .file("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
      .file("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
  EXPECT_EQ(machine.free(), 7000);
}

}  // namespace
}  // namespace gradc
