// Whether what a model needs fits into the memory that is free, asked before hours are spent.
#pragma once

#include "support/result.h"

#include <cstdint>
#include <string>

namespace gradc {

/// Bytes that may still be used: what the system has available, or less where a cgroup of this
/// process (version 1 or 2) leaves less. INT64_MAX when the system does not say. `root` is the root
/// of the file system.
int64_t free_memory_bytes(const std::string& root = "/");

/// kPlanMemory when `needed` is more than is free; `what` needs it.
Status check_free_memory(const std::string& what, int64_t needed);

}  // namespace gradc
