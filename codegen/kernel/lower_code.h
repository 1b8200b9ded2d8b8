// What lowering keeps of one node's kernels. Internal to lowering.
#pragma once

#include "codegen/kernel/lower_unit.h"

#include <cstdint>
#include <vector>

namespace gradc::kernel {

struct UnitCode {
  struct Call {
    uint32_t kernel = 0;             ///< of the program
    std::vector<UnitRef> arguments;  ///< a constant's number is the program's
    bool joins_previous = false;
  };
  std::vector<Call> calls;
  std::vector<int64_t> temporaries;  ///< offsets in the workspace
  int64_t workspace_bytes = 0;
  std::vector<UnitRef> results;  ///< the results themselves, or temporaries for those nobody reads
};

}  // namespace gradc::kernel
