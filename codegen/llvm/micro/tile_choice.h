// Register tile, cache blocks and the threads' dimension, from sizes and the target's numbers.
#pragma once

#include "codegen/llvm/micro/contract_plan.h"

namespace gradc::cg {

/// Contractions up to this depth keep their sums in registers from first to last.
inline constexpr int64_t kMaxUnblockedDepth = 1280;

/// Columns of a block of sums that go to memory and back between blocks of k.
inline constexpr int64_t kMostBlockedColumns = 512;
/// Shorter aligned blocks of k are not worth it.
inline constexpr int64_t kFewAlignedSteps = 128;

/// A block of k of contractions that have several.
inline constexpr int64_t kDeepBlock = 640;

/// The longest run of whole inner dimensions of k times a divisor of the next one that is no
/// longer than `most`.
int64_t aligned_steps(const Dims& k, int64_t most = kDeepBlock);

/// The most steps of a block of k where A is read as it lies, a tile's rows side by side or not.
int64_t most_direct_steps(int64_t mr, int64_t nv, bool side_by_side, const ContractPlan& plan,
                          const TargetInfo& target);

struct Tile {
  int64_t mr = 1;
  int64_t nv = 1;   ///< vectors of columns
  double cost = 0;  ///< cycles per step of k for the whole matrix, estimated
};

/// Steps of k of a B that may go by panel by panel, these rows being looped over outside; else 0.
int64_t panel_depth(const ContractPlan& plan, const Dims& rows_outside);

/// The register tile with the least estimated time for rows x columns of words. Of tiles that are
/// as good, one whose rows of tiles or panels threads can share evenly, where there are few such
/// products to share, and whose rows meet a large B of so many steps of k fewer times.
Tile choose_tile(int64_t rows, int64_t columns, const TargetInfo& target, int64_t word_bytes = 4,
                 int64_t products = 1, int64_t panel_depth = 0);

/// Whether a tile of mr rows that lie side by side reads a part of a line at each step and goes on
/// before the line has come from the second cache, where the tile beside it reads the rest.
bool leaves_lines(int64_t mr, int64_t nv, const ContractPlan& plan, const TargetInfo& target);

/// Fills mr, nv, mc, nc, kc and whether B goes by panel by panel.
void choose_blocks(ContractPlan& plan, const TargetInfo& target);

/// Fills split: the dimension whose division among the target's cores costs least.
void choose_split(ContractPlan& plan, const TargetInfo& target);

}  // namespace gradc::cg
