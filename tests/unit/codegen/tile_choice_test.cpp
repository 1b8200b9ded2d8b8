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

// With 16 registers 12 sums fill two multipliers; fewer wait for each other. Six rows of two
// vectors or four of three, whichever leaves less at the edges: an image's row of 8 pixels is two
// of four.
TEST(TileChoice, SixteenRegistersHoldTwelveSums) {
  const TargetInfo target = TargetInfo::generic_avx2();
  for (const int64_t rows : {16, 64, 128, 256, 784, 1024}) {
    for (const int64_t columns : {16, 64, 512, 1024}) {
      const Tile tile = choose_tile(rows, columns, target);
      EXPECT_EQ(tile.mr * tile.nv, 12) << rows << " x " << columns;
    }
  }
  EXPECT_EQ(choose_tile(8, 64, target).mr, 4);
  EXPECT_EQ(choose_tile(8, 64, target).nv, 3);
  EXPECT_EQ(choose_tile(1024, 1024, target).mr, 6);
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

// Tiles of 4 x 24 and 6 x 16 take one thread the same time; 1024 columns are 43 panels of 24, of
// which one of two threads gets 22, or 64 of 16.
TEST(TileChoice, ThreadsGetEqualShares) {
  TargetInfo target = TargetInfo::generic_avx2();
  target.l2_bytes = 1 << 20;
  target.cores = 2;
  const test::MatmulShape shape{.m = 256, .n = 1024, .k = 784};
  const ContractPlan plan = plan_of(shape, target);
  EXPECT_TRUE(plan.panelwise);
  EXPECT_EQ(plan.split, Split::kColumns);
  EXPECT_EQ(plan.panels() % 2, 0);
  target.cores = 1;
  const double alone = choose_tile(256, 1024, target).cost;
  target.cores = 2;
  EXPECT_LT(choose_tile(256, 1024, target).cost, 1.01 * alone);
  // Many products beside each other are shared as wholes.
  EXPECT_EQ(choose_tile(256, 1024, target, 4, 64).cost, alone);
}

// The second cache holds 256 rows of 1024: 64 tiles of 4, but not 43 of 6, whose two blocks would
// each have B packed. That costs two threads more than 22 of 43 panels instead of half of them,
// sixteen less than 3 instead of a sixteenth.
TEST(TileChoice, LargeOperandsArePackedOnce) {
  TargetInfo target = TargetInfo::generic_avx2();
  target.l2_bytes = 1 << 20;
  const test::MatmulShape shape{.m = 256, .n = 1024, .k = 1024};
  for (const int cores : {1, 2}) {
    target.cores = cores;
    const ContractPlan plan = plan_of(shape, target);
    EXPECT_TRUE(plan.panelwise);
    EXPECT_EQ(plan.mr, 4) << cores;
    EXPECT_EQ(plan.mc, 256) << cores;
  }
  target.cores = 16;
  EXPECT_EQ(plan_of(shape, target).panels() % 16, 0);
}

// B goes by once for each block of rows that the second cache holds: packing it is paid by rows.
TEST(TileChoice, RowsOfLongSumsStayInTheSecondCache) {
  TargetInfo target = TargetInfo::generic_avx512();
  target.l2_bytes = 1 << 20;
  const ContractPlan large = plan_of({.m = 1024, .n = 1024, .k = 1024}, target);
  EXPECT_TRUE(large.panelwise);
  EXPECT_LE(large.mc * 1024 * 4, target.l2_bytes);
  EXPECT_GE(large.mc, 128);
  EXPECT_FALSE(plan_of({.m = 1024, .n = 1024, .k = 256}, target).panelwise);
}

// Of sums too long for that a block of k of many rows stays there, and B goes by once.
TEST(TileChoice, BlocksOfLongSumsHaveManyRows) {
  TargetInfo target = TargetInfo::generic_avx512();
  target.l2_bytes = 1 << 20;
  for (const int64_t depth : {1536, 3072, 50304}) {
    const ContractPlan plan = plan_of({.m = 256, .n = 768, .k = depth}, target);
    EXPECT_TRUE(plan.panelwise);
    EXPECT_GE(plan.mc, 256) << "one block of rows";
    EXPECT_EQ(plan.nc, 768) << "sums of all columns stay in the second cache";
    EXPECT_LT(plan.panel_k, depth);
    EXPECT_LE(plan.kc, plan.panel_k);
    EXPECT_LE(plan.mc * plan.panel_k * 4, target.l2_bytes / 2 + plan.mc * 32);
  }
  const ContractPlan large = plan_of({.m = 4096, .n = 4096, .k = 4096}, target);
  EXPECT_TRUE(large.panelwise);
  EXPECT_GE(large.mc, 256);
  EXPECT_LE(large.mc * large.nc * 4, target.l2_bytes * 5 / 4);
}

// Rows that are read as they lie go by in blocks too, where several panels read them.
TEST(TileChoice, RowsReadAsTheyLieStayInTheSecondCache) {
  TargetInfo target = TargetInfo::generic_avx512();
  target.l2_bytes = 1 << 20;
  const ContractPlan plan = plan_of({.m = 4096, .n = 384, .k = 384}, target);
  EXPECT_EQ(plan.a_layout, Layout::kDirect);
  EXPECT_LE(plan.mc * 384 * 4, target.l2_bytes / 2);
  EXPECT_GE(plan_of({.m = 4096, .n = 16, .k = 384}, target).mc, 4096) << "read once";
}

// A^T B: rows of A side by side at each k. Each tile has its own lines, also where the rows of all
// could be read as they lie but a tile uses a part of each line.
TEST(TileChoice, TilesOfTransposedRowsArePackedApart) {
  for (const int64_t rows : {784, 1024}) {
    const test::MatmulShape shape{.m = rows, .n = 1024, .k = 256, .transpose_a = true};
    const ContractPlan plan = plan_of(shape, TargetInfo::generic_avx2());
    EXPECT_EQ(plan.a_layout, Layout::kTilesOfK) << rows;
    EXPECT_EQ(plan.k_levels.back().a_stride, plan.mr);
    EXPECT_GE(plan.a_tile_words(), plan.kc * plan.mr + plan.a_lanes() - plan.mr);
    EXPECT_EQ(plan.a_tile_words() / plan.line_words() % 2, 1);
  }
  const test::MatmulShape wide{.m = 784, .n = 1024, .k = 256, .transpose_a = true};
  EXPECT_EQ(plan_of(wide, TargetInfo::generic_avx512()).a_layout, Layout::kDirect);
}

// A weight gradient reads the image as it lies; narrow tiles share lines, which must still be near.
TEST(TileChoice, NarrowTilesReadSharedLinesFromTheFirstCache) {
  const test::ConvShape shape{64, 18, 18, 32, 32};
  const kernel::Kernel k = test::conv_kernel(shape, test::ConvPart::kWeightGradient);
  const auto steps = [&](const TargetInfo& target) {
    for (const kernel::Stmt& stmt : k.body) {
      const auto* contract = std::get_if<std::unique_ptr<kernel::Contract>>(&stmt);
      if (contract == nullptr) continue;
      const ContractPlan plan = plan_contract(**contract, k, target);
      EXPECT_EQ(plan.a_layout, Layout::kDirect);
      return plan.kc;
    }
    return int64_t{0};
  };
  const TargetInfo narrow = TargetInfo::generic_avx2();
  EXPECT_LE(steps(narrow) * 64, narrow.l1_bytes / 2);
  EXPECT_GE(steps(narrow), 128);
  EXPECT_GT(steps(TargetInfo::generic_avx512()), steps(narrow));
}

}  // namespace
}  // namespace gradc::cg
