#include "codegen/kernel/tile.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gradc::kernel {

namespace {

constexpr int64_t kElementBytes = 4;
constexpr int64_t kPageBytes = 4096;  // rows this far apart fall into the same cache sets
constexpr int64_t kMostRows = 16;
constexpr int64_t kMostVectors = 6;
constexpr double kFmaLatency = 4.0;

int64_t ceil_div(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Cycles per step of k of one register tile: the FMAs, the loads that feed them, and the latency
/// of the accumulator chains, whichever is longest.
double tile_cycles(int64_t rows, int64_t vectors, const TargetInfo& target) {
  const double fmas = static_cast<double>(rows * vectors) / target.fma_per_cycle;
  const double loads = static_cast<double>(rows + vectors) / 2.0;
  return std::max({fmas, loads, kFmaLatency});
}

/// Cycles per step of k for the whole m x n, remainders in smaller tiles.
double plane_cycles(int64_t m, int64_t n, int64_t mr, int64_t nv, const TargetInfo& target) {
  const int64_t lanes = target.lanes(kElementBytes);
  const int64_t vectors = ceil_div(n, lanes);
  const auto strip = [&](int64_t width, double count) {
    if (width == 0 || count == 0.0) return 0.0;
    double cycles = static_cast<double>(m / mr) * tile_cycles(mr, width, target);
    if (m % mr != 0) cycles += tile_cycles(m % mr, width, target);
    return cycles * count;
  };
  return strip(nv, static_cast<double>(vectors / nv)) + strip(vectors % nv, 1.0);
}

void choose_tile(const GemmProblem& p, const TargetInfo& target, GemmSchedule& schedule) {
  const int64_t lanes = target.lanes(kElementBytes);
  const int64_t accumulators = target.vector_registers - 4;
  double best = std::numeric_limits<double>::infinity();
  for (int64_t nv = 1; nv <= kMostVectors; ++nv) {
    for (int64_t mr = 1; mr <= kMostRows && mr * nv <= accumulators; ++mr) {
      if (mr > p.m || (nv > 1 && (nv - 1) * lanes >= p.n)) continue;
      // Among equals, the larger tile loads less; among those, the squarer one.
      const double area = static_cast<double>(mr * nv * lanes);
      const double traffic = static_cast<double>(mr + nv * lanes) / area;
      const double cycles = plane_cycles(p.m, p.n, mr, nv, target) * (1.0 + 0.05 * traffic);
      if (cycles >= best) continue;
      best = cycles;
      schedule.mr = mr;
      schedule.nr = nv * lanes;
    }
  }
}

/// Whether walking along the operand's long stride keeps hitting the same cache sets.
bool aliases(int64_t stride, int64_t count) {
  return count > 8 && stride != 0 && stride * kElementBytes % kPageBytes == 0;
}

bool pack_rows(const GemmProblem& p, const GemmSchedule& s, const TargetInfo& target) {
  const int64_t uses = ceil_div(p.n, s.nr);
  if (!p.a.plain || !p.a.regular) return true;
  if (p.a.k_stride != 1 && p.a.stride != 1) return true;
  if (p.a.k_stride == 1 && aliases(p.a.stride, s.mr) && uses > 1) return true;
  if (p.a.stride == 1 && aliases(p.a.k_stride, p.k) && uses > 1) return true;
  return uses > 3 && p.m * p.k * kElementBytes > target.l1_bytes;
}

bool pack_columns(const GemmProblem& p, const GemmSchedule& s, const TargetInfo& target) {
  if (!p.b.plain || !p.b.regular || p.b.stride != 1) return true;
  const int64_t uses = ceil_div(p.m, s.mr);
  if (uses <= 2) return false;
  if (aliases(p.b.k_stride, p.k)) return true;
  return p.k * p.n * kElementBytes > target.l1_bytes;
}

}  // namespace

GemmSchedule choose_schedule(const GemmProblem& p, const TargetInfo& target) {
  GemmSchedule s;
  choose_tile(p, target, s);
  // A panel of B, kc x nr, takes half of L1; a block of A, mc x kc, half of L2; nc x kc of B a
  // share of L3.
  const int64_t panel = std::max<int64_t>(64, target.l1_bytes / 2 / (s.nr * kElementBytes));
  const int64_t blocks = ceil_div(p.k, std::max<int64_t>(panel, 256));
  s.kc = blocks <= 1 ? p.k : ceil_div(ceil_div(p.k, blocks), 8) * 8;
  const int64_t rows = target.l2_bytes / 2 / (s.kc * kElementBytes);
  s.mc = std::clamp(rows / s.mr * s.mr, s.mr, ceil_div(p.m, s.mr) * s.mr);
  const int64_t columns = target.l3_bytes / 4 / (s.kc * kElementBytes);
  s.nc = std::clamp(columns / s.nr * s.nr, s.nr, ceil_div(p.n, s.nr) * s.nr);
  s.pack_a = pack_rows(p, s, target);
  s.pack_b = pack_columns(p, s, target);
  return s;
}

}  // namespace gradc::kernel
