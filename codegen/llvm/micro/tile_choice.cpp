// Sizes from a small cost model: FMA and load throughput, the latency of a sum's chain, copies of
// packing.
#include "codegen/llvm/micro/tile_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace gradc::cg {

namespace {

constexpr double kLatency = 4.0;  // cycles of one FMA
constexpr double kSlack = 0.15;   // per cycle that a step is shorter than 1.5 latencies
constexpr double kLoadsPerCycle = 1.8;
constexpr double kPackCycles = 3.0;  // per vector packed
constexpr double kFarBytesPerCycle = 8.0;
constexpr double kShapePenalty = 0.03;
constexpr int64_t kMaxVectors = 4;
constexpr int64_t kLine = 64;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Cycles of one step of k. Chains that are barely long enough for their latency are started late
/// now and then: 4 x 2 sums take 4.27 cycles where two FMAs a cycle are possible, 6 x 2 take 6.02.
double step_cost(int64_t mr, int64_t nv, const TargetInfo& target) {
  const double fma = static_cast<double>(mr * nv) / target.fma_per_cycle;
  const double loads = static_cast<double>(mr + nv) / kLoadsPerCycle;
  return std::max({fma, loads, kLatency}) + 0.02 * loads +
         kSlack * std::max(0.0, 1.5 * kLatency - fma);
}

/// Whole matrix: full tiles, the last row of tiles, the last column of tiles, the corner.
double matrix_cost(int64_t rows, int64_t columns, int64_t mr, int64_t nv, int64_t lanes,
                   const TargetInfo& target) {
  const int64_t nr = nv * lanes;
  const int64_t full_m = rows / mr;
  const int64_t rest_m = rows % mr;
  const int64_t full_n = columns / nr;
  const int64_t rest_v = ceil_div(columns % nr, lanes);
  const auto row_of_tiles = [&](int64_t height) {
    if (height == 0) return 0.0;
    double cost = static_cast<double>(full_n) * step_cost(height, nv, target);
    if (rest_v > 0) cost += step_cost(height, rest_v, target);
    return cost;
  };
  // Every further shape of tile is one more function to compile.
  const int further = (rest_m > 0 && full_m > 0 ? 1 : 0) + (rest_v > 0 && full_n > 0 ? 1 : 0);
  const double cost = static_cast<double>(full_m) * row_of_tiles(mr) + row_of_tiles(rest_m);
  return cost * (1.0 + kShapePenalty * further);
}

int64_t max_rows(int64_t nv, const TargetInfo& target) {
  // Accumulators, one row of B and one broadcast of A; of many rows a register to spare.
  return std::max<int64_t>(1, (target.vector_registers - nv - (nv > 1 ? 1 : 2)) / nv);
}

/// Lines of A that stay in the first cache, one for each step of k.
int64_t near_lines(const TargetInfo& target) {
  return std::max<int64_t>(target.l1_bytes / 2 / kLine, kLine);
}

/// A packed by k has the rows of all tiles side by side: blocks of k whose lines stay in the first
/// cache have all tiles that share a line read it from there; partial sums cost less.
int64_t steps_of_near_lines(const ContractPlan& plan, const TargetInfo& target) {
  const bool near = plan.a_layout == Layout::kKOfRows && plan.row_tiles() > 1 &&
                    leaves_lines(plan.mr, plan.nv, plan, target);
  return near ? near_lines(target) : plan.depth;
}

/// The part of so many equal pieces that the thread with the most of them has.
double largest_share(int64_t pieces, const TargetInfo& target) {
  const int64_t threads = std::max<int64_t>(target.cores, 1);
  return static_cast<double>(ceil_div(pieces, threads)) / static_cast<double>(pieces);
}

/// The size of equal blocks of `total`, each at most `most`, in units.
int64_t even_blocks(int64_t total, int64_t most, int64_t unit) {
  most = std::max(most / unit * unit, unit);
  const int64_t count = ceil_div(total, most);
  return std::max(ceil_div(ceil_div(total, count), unit) * unit, unit);
}

/// How B goes by panel by panel: the rows of A that it meets at a time at most, all of k or a
/// block.
struct PanelRows {
  int64_t most = 0;  ///< 0: B is not so large, or too few rows meet it
  bool whole_sums = true;
};

PanelRows panel_rows(int64_t rows, int64_t columns, int64_t depth, int64_t word_bytes,
                     const TargetInfo& target) {
  constexpr int64_t kManyRows = 256;
  constexpr int64_t kMostRows = 512;
  constexpr int64_t kShortSum = 512;
  if (depth * columns * word_bytes <= target.l2_bytes / 4) return {};
  const bool short_sums = depth < kShortSum;
  const int64_t held = target.l2_bytes / (short_sums ? 2 : 1) / (depth * word_bytes);
  const bool whole_sums = held >= std::min(rows, short_sums ? rows : kManyRows);
  if (short_sums && !whole_sums) return {};
  return {whole_sums ? held : kMostRows, whole_sums};
}

/// Cycles of packing so many words that the second cache does not hold.
double packing_far(double words, int64_t lanes, int64_t word_bytes) {
  return words * (kPackCycles / static_cast<double>(lanes) +
                  static_cast<double>(word_bytes) / kFarBytesPerCycle);
}

}  // namespace

bool leaves_lines(int64_t mr, int64_t nv, const ContractPlan& plan, const TargetInfo& target) {
  constexpr double kLineCycles = 8.0;
  return mr * plan.word_bytes() <= kLine / 2 &&
         static_cast<double>(mr * nv) / target.fma_per_cycle < kLineCycles;
}

int64_t most_direct_steps(int64_t mr, int64_t nv, bool side_by_side, const ContractPlan& plan,
                          const TargetInfo& target) {
  return side_by_side && leaves_lines(mr, nv, plan, target) ? near_lines(target) : kDeepBlock;
}

int64_t aligned_steps(const Dims& k, int64_t most) {
  int64_t best = 1;
  int64_t inner = 1;
  for (auto dim = k.rbegin(); dim != k.rend() && inner < most; ++dim) {
    for (int64_t steps = 2; steps <= dim->extent && inner * steps <= most; ++steps) {
      if (dim->extent % steps == 0) best = inner * steps;
    }
    inner *= dim->extent;
  }
  return best;
}

int64_t panel_depth(const ContractPlan& plan, const Dims& rows_outside) {
  return plan.k.size() == 1 && rows_outside.empty() ? plan.depth : 0;
}

Tile choose_tile(int64_t rows, int64_t columns, const TargetInfo& target, int64_t word_bytes,
                 int64_t products, int64_t panel_depth) {
  constexpr double kAsFast = 1.01;
  constexpr double kWorth = 0.99;
  const int64_t lanes = target.lanes(word_bytes);
  // A step of k of B is packed once for each block of rows, which are whole tiles.
  const PanelRows held = panel_rows(rows, columns, panel_depth, word_bytes, target);
  const auto packing = [&](const Tile& tile) {
    if (held.most == 0) return 0.0;
    const int64_t times = ceil_div(rows, even_blocks(rows, held.most, tile.mr));
    return packing_far(static_cast<double>(times * columns), lanes, word_bytes);
  };
  // Threads divide the longer side: what the other one packs is packed by each.
  const auto slowest = [&](const Tile& tile) {
    const int64_t tiles = products * ceil_div(rows, tile.mr);
    const int64_t panels = ceil_div(columns, tile.nv * lanes);
    const int64_t pieces = products * rows >= columns ? tiles : panels;
    return (tile.cost + packing(tile)) *
           std::min(largest_share(products, target), largest_share(pieces, target));
  };
  Tile best;
  best.cost = std::numeric_limits<double>::infinity();
  std::vector<Tile> tiles;
  for (int64_t nv = 1; nv <= std::min(kMaxVectors, ceil_div(columns, lanes)); ++nv) {
    const int64_t most = std::min(max_rows(nv, target), rows);
    for (int64_t limit = std::max<int64_t>(1, most / 2); limit <= most; ++limit) {
      const int64_t mr = ceil_div(rows, ceil_div(rows, limit));
      tiles.push_back({mr, nv, matrix_cost(rows, columns, mr, nv, lanes, target)});
      if (tiles.back().cost < best.cost * 0.999) best = tiles.back();
    }
  }
  // Of those whose sums take one thread the same time, one that packs less or that several can
  // share.
  Tile shared = best;
  for (const Tile& tile : tiles) {
    if (tile.cost < kAsFast * best.cost && slowest(tile) < kWorth * slowest(shared)) shared = tile;
  }
  return shared;
}

namespace {

/// B goes by panel by panel, each packed right before its use, so that no packed copy of a large B
/// is written back to memory, and its source is fetched while the panel before is worked on. The
/// rows of A that it meets are as many as the second cache holds, A's lines being read in order,
/// and B goes by again for the next ones. Of short sums all must fit into half of it: results, and
/// what an epilogue reads, go through it nearly as often as A does. Of sums so long that few rows
/// of A would fit, a block of k of many rows does: B still goes by once, and sums are kept between
/// such blocks, panel by panel, of as many columns as the second cache holds. A panel of kc steps
/// stays in the first cache; partial sums cost about 4 / kc of the time.
bool try_panelwise(ContractPlan& plan, const TargetInfo& target) {
  constexpr int64_t kFewTiles = 3;
  constexpr int64_t kLeastSteps = 96;
  constexpr int64_t kUnit = 8;
  const int64_t word = plan.word_bytes();
  const PanelRows held =
      panel_rows(plan.rows, plan.columns, panel_depth(plan, plan.m_outer), word, target);
  if (held.most == 0 || plan.row_tiles() <= kFewTiles) return false;
  plan.panelwise = true;
  plan.mc = even_blocks(plan.rows, held.most, plan.mr);
  const int64_t row_bytes = plan.mc * word;  // of all rows at one k, or in one column
  plan.panel_k = plan.depth;
  plan.nc = plan.panels() * plan.nr();
  if (!held.whole_sums) {
    plan.panel_k = even_blocks(plan.depth, target.l2_bytes / 2 / row_bytes, kUnit);
    plan.nc = even_blocks(plan.columns, target.l2_bytes / row_bytes, plan.nr());
  }
  const int64_t steps = std::max(target.l1_bytes * 2 / 3 / (plan.nr() * word), kLeastSteps);
  plan.kc = std::min(plan.panel_k, even_blocks(plan.panel_k, steps, kUnit));
  plan.prefetch_b = cast_load(plan.exprs, plan.b) != nullptr;
  return true;
}

}  // namespace

void choose_blocks(ContractPlan& plan, const TargetInfo& target) {
  const Tile tile = choose_tile(plan.rows, plan.columns, target, plan.word_bytes(),
                                plan.products(plan.m_outer), panel_depth(plan, plan.m_outer));
  plan.mr = tile.mr;
  plan.nv = tile.nv;
  if (try_panelwise(plan, target)) return;
  const int64_t nr = plan.nr();
  constexpr int64_t kUnit = 8;
  const int64_t direct_steps = plan.kc;
  plan.kc = plan.depth;
  if (plan.depth > kMaxUnblockedDepth) {
    const bool direct = plan.a_layout == Layout::kDirect;
    const int64_t aligned = direct ? direct_steps : aligned_steps(plan.k);
    plan.aligned = plan.k.size() > 1 && aligned >= kFewAlignedSteps;
    plan.kc = plan.aligned ? aligned : even_blocks(plan.depth, kDeepBlock, kUnit);
  }
  const int64_t near_steps = steps_of_near_lines(plan, target);
  if (near_steps < plan.kc) {
    plan.aligned = false;
    plan.kc = even_blocks(plan.depth, near_steps, kUnit);
  }
  const bool blocked = plan.kc < plan.depth;
  // A's block stays in half of the second cache, also where it is read as it lies, by one panel
  // after the other; B's, read once per block of A, in the third.
  const int64_t row_bytes = plan.kc * plan.word_bytes();
  const int64_t most_rows = target.l2_bytes / 2 / row_bytes;
  const bool where_it_lies = plan.a_layout == Layout::kDirect || plan.a_layout == Layout::kStaged;
  const bool read_once = !blocked && plan.panels() == 1;
  const bool whole = where_it_lies && (!plan.m_outer.empty() || read_once);
  plan.mc =
      whole ? ceil_div(plan.rows, plan.mr) * plan.mr : even_blocks(plan.rows, most_rows, plan.mr);
  const int64_t share =
      std::max(target.l2_bytes, target.l3_bytes / std::max<int64_t>(target.cores, 1) / 2);
  const int64_t most_columns =
      blocked ? kMostBlockedColumns
              : std::max<int64_t>(nr, std::min<int64_t>(share, 8 << 20) / row_bytes);
  plan.nc = even_blocks(plan.columns, most_columns, nr);
}

void choose_split(ContractPlan& plan, const TargetInfo& target) {
  if (!plan.parallel) {
    plan.split = Split::kNone;
    return;
  }
  const auto share = [&](int64_t pieces) {
    const int64_t threads = std::max<int64_t>(target.cores, 2);
    return static_cast<double>(ceil_div(pieces, threads)) / static_cast<double>(pieces);
  };
  // What the second cache does not hold also has to come and go.
  const auto packing = [&](bool packed, int64_t words) {
    if (!packed) return 0.0;
    const auto count = static_cast<double>(words);
    const bool far = words * plan.word_bytes() > target.l2_bytes / 4;
    return far ? packing_far(count, plan.lanes, plan.word_bytes())
               : count / static_cast<double>(plan.lanes) * kPackCycles;
  };
  const int64_t rows = plan.rows * extent_of(plan.m_outer);
  const double outer = static_cast<double>(extent_of(plan.outer));
  const double work = static_cast<double>(rows) * static_cast<double>(plan.columns * plan.depth) /
                      static_cast<double>(plan.lanes) / target.fma_per_cycle;
  const double pack_a = packing(plan.a_packed(), rows * plan.depth);
  const double pack_b = packing(plan.b_packed(), plan.columns * plan.depth);
  // B goes by once for each block of a thread's rows.
  const auto times = [&](double part) {
    return plan.panelwise
               ? std::ceil(part * static_cast<double>(plan.rows) / static_cast<double>(plan.mc))
               : 1.0;
  };
  const double whole = work + pack_a + times(1.0) * pack_b;
  const double of_rows = share(plan.row_pieces());
  const double by_outer = share(extent_of(plan.outer)) * outer * whole;
  const double by_rows = outer * (of_rows * (work + pack_a) + times(of_rows) * pack_b);
  const double by_columns = outer * (share(plan.panels()) * (work + times(1.0) * pack_b) + pack_a);
  plan.split = by_outer <= by_rows && by_outer <= by_columns ? Split::kOuter
               : by_rows <= by_columns                       ? Split::kRows
                                                             : Split::kColumns;
}

}  // namespace gradc::cg
