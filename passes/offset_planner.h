// Offset assignment: puts buffers with known lifetimes into one block of memory so that no two that
// live at the same time overlap (dynamic storage allocation, NP-hard). Knows nothing of the IR.
//
// Three stages, each only when the one before is above the lower bound: a portfolio of orders and
// fits; a search over orders; exact branch and bound (offset_exact). All are deterministic: bounded
// by counts, never by time. What is too large for one order of the portfolio, which compares every
// two buffers, is placed along time.
#pragma once

#include "support/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// One buffer, live at the steps first..last (both included).
struct BufferSpec {
  std::string name;
  int64_t bytes = 0;
  int64_t first = 0;
  int64_t last = 0;
  int64_t alignment = 64;        ///< of the offset, at least 1
  std::optional<int64_t> fixed;  ///< an offset that it must have

  bool lives_with(const BufferSpec& other) const {
    return first <= other.last && other.first <= last;
  }
};

struct OffsetPlannerOptions {
  uint64_t seed = 1;
  int64_t search_steps = 2000;        ///< orders tried by the ordering search
  int64_t exact_nodes = 50'000;       ///< nodes of branch and bound; 0: off
  int64_t comparisons = 300'000'000;  ///< of two buffers, by the portfolio
  std::optional<int64_t> good_size;   ///< stop as soon as the block is not larger than this
};

struct OffsetPlan {
  std::vector<int64_t> offsets;  ///< by buffer
  int64_t bytes = 0;             ///< size of the block
  int64_t lower_bound = 0;       ///< the most bytes live at one step
  int64_t naive_bytes = 0;       ///< every buffer on its own
  bool proven_optimal = false;   ///< no smaller block exists
  std::string method;            ///< what found it: "size/first_fit", "along_time", "exact"
  int64_t compared = 0;          ///< pairs of buffers, by the portfolio
};

/// Plans all buffers; diagnoses negative sizes, reversed lifetimes, sums over 2^62 and fixed
/// buffers that overlap.
Result<OffsetPlan> plan_offsets(std::span<const BufferSpec> buffers,
                                const OffsetPlannerOptions& options = {});

/// The largest sum of bytes live at one step.
int64_t live_bytes_lower_bound(std::span<const BufferSpec> buffers);

/// Independent check of a plan: alignment, fixed offsets, the block's size, and no two buffers that
/// live together share a byte. Says what is wrong, or is empty.
std::string verify_offsets(std::span<const BufferSpec> buffers, std::span<const int64_t> offsets,
                           int64_t bytes);

namespace offset_detail {

enum class BufferOrder : uint8_t { kSize, kDuration, kArea, kStart, kPeak, kPeakSize };
inline constexpr int kNumBufferOrders = 6;
std::string_view buffer_order_name(BufferOrder order);
enum class Fit : uint8_t { kFirst, kBest };

/// Indices of the buffers, first to be placed first.
std::vector<uint32_t> make_order(std::span<const BufferSpec> buffers, BufferOrder order);
/// Places buffers one after the other; returns the size of the block.
int64_t place_in_order(std::span<const BufferSpec> buffers, std::span<const uint32_t> order,
                       Fit fit, std::vector<int64_t>& offsets);
/// Places buffers as they begin in time, or backwards as they end; none may be fixed.
int64_t place_along_time(std::span<const BufferSpec> buffers, bool backwards,
                         std::vector<int64_t>& offsets);
/// Places what is alive at the fullest step one above the other, then everything else from there
/// along time and backwards.
int64_t place_around_peak(std::span<const BufferSpec> buffers, std::vector<int64_t>& offsets);
/// Improves an order by moving buffers, `steps` times; returns the best block size seen.
int64_t search_orders(std::span<const BufferSpec> buffers, std::vector<uint32_t> order,
                      const OffsetPlannerOptions& options, int64_t target,
                      std::vector<int64_t>& offsets);

enum class ExactOutcome : uint8_t { kFound, kInfeasible, kGaveUp };
/// Looks for offsets within `capacity` by branch and bound over canonical solutions (buffers in
/// order of offset, each as low as it can go), with dominance and per-section bounds as in
/// MiniMalloc (ASPLOS 2023). Takes what it uses from `nodes`. Buffers must not be fixed.
ExactOutcome search_exact(std::span<const BufferSpec> buffers, int64_t capacity, int64_t& nodes,
                          std::vector<int64_t>& offsets);

}  // namespace offset_detail
}  // namespace gradc
