// What Linux control groups grant a process.
#pragma once

#include <cstdint>

namespace gradc::rt {

/// Processors that the process's control groups (version 1 or 2, every level up to the root) let it
/// use, rounded up; 0 where none limits it. `root` stands before /proc and the mount points: "" but
/// in tests. Allocates nothing.
int32_t cgroup_processors(const char* root);

}  // namespace gradc::rt
