// Which loop variables the loads, stores and index expressions of a kernel depend on, and merging
// adjacent dimensions that always move together.
#pragma once

#include "codegen/kernel/emitter.h"
#include "codegen/kernel/nest.h"

#include <vector>

namespace gradc::kernel {

/// One load, store or index expression.
struct Access {
  std::vector<int64_t> coefficients;  ///< by dimension
  std::vector<bool> dynamic;          ///< by dimension: through an integer expression
  double weight = 0.0;                ///< loads 1, stores 2, others 0
};

/// `lets` are the statements in which integer expressions may be defined.
Access access_of(const Kernel& kernel, const Block& lets, const std::vector<VarId>& vars,
                 const Index& at, double weight);

/// Appends the accesses of all expressions of the kernel.
void add_accesses(const Kernel& kernel, const Block& lets, const std::vector<VarId>& vars,
                  std::vector<Access>& accesses);

/// Merges neighbours of one class and group that are contiguous in every space and every access.
void merge_dims(std::vector<NestDim>& dims, std::vector<Access>& accesses);

}  // namespace gradc::kernel
