// The register tile of contractions: within the registers, the problem and the cost model's claims.
#include "codegen/llvm/micro/tile_choice.h"

#include "tests/unit/codegen/gemm_kernels.h"

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

// With 16 registers 12 sums of 6 rows fill two multipliers; fewer wait for each other.
TEST(TileChoice, SixteenRegistersHoldSixRowsOfTwoVectors) {
  const TargetInfo target = TargetInfo::generic_avx2();
  for (const int64_t rows : {16, 64, 128, 256, 784, 1024}) {
    for (const int64_t columns : {16, 64, 512, 1024}) {
      const Tile tile = choose_tile(rows, columns, target);
      EXPECT_EQ(tile.mr, 6) << rows << " x " << columns;
      EXPECT_EQ(tile.nv, 2) << rows << " x " << columns;
    }
  }
}

ContractPlan plan_of(const test::MatmulShape& shape, const TargetInfo& target) {
  const kernel::Kernel k = test::matmul_kernel(shape);
  for (const kernel::Stmt& stmt : k.body) {
    if (const auto* contract = std::get_if<std::unique_ptr<kernel::Contract>>(&stmt))
      return plan_contract(**contract, k, target);
  }
  ADD_FAILURE() << "no contraction";
  return {};
}

// A^T B: rows of A side by side at each k. Narrow tiles share lines, which must still be there.
TEST(TileChoice, NarrowTilesReadLinesOfPackedRowsFromTheFirstCache) {
  const test::MatmulShape shape{.m = 1024, .n = 1024, .k = 1024, .transpose_a = true};
  const TargetInfo narrow = TargetInfo::generic_avx2();
  const ContractPlan blocked = plan_of(shape, narrow);
  EXPECT_EQ(blocked.a_layout, Layout::kKOfRows);
  EXPECT_LE(blocked.kc * 64, narrow.l1_bytes / 2);
  EXPECT_GE(blocked.kc, 128);
  const ContractPlan whole = plan_of(shape, TargetInfo::generic_avx512());
  EXPECT_EQ(whole.a_layout, Layout::kKOfRows);
  EXPECT_EQ(whole.kc, 1024);
}

}  // namespace
}  // namespace gradc::cg
