// The register tile: rows x vectors of accumulators over the whole of a k block, then the epilogue
// on them. One LLVM function per shape of tile.
#pragma once

#include "codegen/llvm/emitter.h"
#include "codegen/llvm/micro/contract_plan.h"
#include "codegen/llvm/micro/environment.h"

#include <string>

namespace gradc::cg {

struct TileShape {
  int64_t rows = 1;
  int64_t vectors = 1;
  int64_t last_lanes = 1;  ///< columns in the last vector
  int64_t first_row = -1;  ///< where it is always the same; else -1
};

/// Arguments of a tile function, in order: A's and B's first elements, the partial sums (k blocks),
/// the surroundings, first row and column, steps of k, flags.
struct TileArguments {
  static constexpr unsigned kA = 0, kB = 1, kPartial = 2, kSurroundings = 3, kRow = 4, kColumn = 5,
                            kDepth = 6, kFlags = 7;
  static constexpr int64_t kResume = 1;      ///< flag: start from the partial sums
  static constexpr int64_t kUnfinished = 2;  ///< flag: leave partial sums, no epilogue
};

/// Emits the tile function of one shape. `partial_stride`: elements between rows of partial sums.
llvm::Function* emit_tile(Emitter& parent, const ContractPlan& plan, const Environment& environment,
                          const TileShape& shape, int64_t partial_stride, const std::string& name);

}  // namespace gradc::cg
