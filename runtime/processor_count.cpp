// How many processors this process may keep busy: its affinity mask, and what its control group
// grants it (containers and job managers limit by time, not by mask).
#include "runtime/cgroup.h"
#include "runtime/thread_pool.h"

#include <algorithm>
#include <cstdlib>
#include <sched.h>
#include <unistd.h>

namespace gradc::rt {
namespace {

int32_t processors_of_mask() {
#if defined(__linux__)
  // The mask of a large machine is larger than cpu_set_t.
  for (size_t bits = 1024; bits <= size_t{1} << 20; bits *= 4) {
    cpu_set_t* set = CPU_ALLOC(bits);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(bits);
    const bool known = sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
#endif
  const long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? static_cast<int32_t>(n) : 1;
}

}  // namespace

int32_t available_processors() {
  const int32_t most = processors_of_mask();
  const int32_t granted = cgroup_processors("");
  return granted > 0 ? std::min(most, granted) : most;
}

}  // namespace gradc::rt
