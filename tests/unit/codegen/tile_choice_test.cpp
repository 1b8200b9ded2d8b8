// The register tile of contractions: within the registers, the problem and the cost model's claims.
#include "codegen/llvm/micro/tile_choice.h"

#include <gtest/gtest.h>

namespace gradc::cg {
namespace {

TEST(TileChoice, TilesFitTheRegistersAndTheProblem) {
  for (const TargetInfo& target : {TargetInfo::generic_avx512(), TargetInfo::generic_avx2(),
                                   TargetInfo::generic_neon(), TargetInfo::generic_sse()}) {
    for (const int64_t rows : {1, 7, 32, 64, 1000}) {
      for (const int64_t columns : {4, 10, 64, 128, 1000}) {
        const Tile tile = choose_tile(rows, columns, target);
        EXPECT_GE(tile.mr, 1);
        EXPECT_LE(tile.mr, rows);
        EXPECT_GE(tile.nv, 1);
        EXPECT_LT((tile.nv - 1) * target.lanes(4), columns);
        EXPECT_LE(tile.mr * tile.nv + tile.nv + 1, target.vector_registers);
      }
    }
  }
}

TEST(TileChoice, LargeProblemsKeepTheMultipliersBusy) {
  const TargetInfo target = TargetInfo::generic_avx512();
  const Tile tile = choose_tile(1008, 1024, target);
  const double ideal =
      1008.0 * 1024.0 / static_cast<double>(target.lanes(4)) / target.fma_per_cycle;
  EXPECT_LT(tile.cost, 1.1 * ideal);
}

}  // namespace
}  // namespace gradc::cg
