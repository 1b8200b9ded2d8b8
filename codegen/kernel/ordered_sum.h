// A sum in one of the orders of sum_order.h, term by term: what the interpreter makes of a loop.
#pragma once

#include "codegen/kernel/sum_order.h"

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace gradc::kernel {

/// What a loop of several accumulators adds to one of them.
class OrderedSum {
 public:
  using Add = std::function<double(double, double)>;
  OrderedSum(LocalId local, double before, double zero, int64_t terms, SumOrder order, Add add)
      : local_(local), total_(before), zero_(zero), add_(std::move(add)) {
    columns_ = order == SumOrder::kLanes ? kSumColumns : 1;
    blocks_ = terms / columns_;
    for (int64_t node = kSumGroup; node < blocks_; node *= kSumGroup)
      nodes_.push_back(node);
    open_.assign((nodes_.size() + 1) * static_cast<size_t>(columns_), zero);
  }

  LocalId local() const { return local_; }
  /// The accumulator that term i goes to.
  double open(int64_t i) { return cell(i); }
  void close(int64_t i, double value) {
    cell(i) = value;
    const int64_t block = i / columns_;
    if (block >= blocks_) return;
    for (size_t level = 0; level < nodes_.size(); ++level) {
      if ((block + 1) % nodes_[level] != 0 && block + 1 != blocks_) return;
      double& node = at(level, i % columns_);
      double& above = at(level + 1, i % columns_);
      above = add_(above, std::exchange(node, zero_));
    }
  }
  double total() {
    if (columns_ == 1) return add_(total_, at(nodes_.size(), 0));
    return add_(total_, halved(lanes_.empty() ? columns() : lanes_, 1)[0]);
  }

 private:
  double& at(size_t level, int64_t column) {
    return open_[level * static_cast<size_t>(columns_) + static_cast<size_t>(column)];
  }
  double& cell(int64_t i) {
    if (i / columns_ < blocks_) return at(0, i % columns_);
    if (lanes_.empty()) lanes_ = halved(columns(), kSumLanes);
    return lanes_[static_cast<size_t>(i % kSumLanes)];
  }
  std::vector<double> columns() const { return {open_.end() - columns_, open_.end()}; }
  std::vector<double> halved(std::vector<double> lanes, int64_t to) const {
    while (lanes.size() > static_cast<size_t>(to)) {
      const size_t half = lanes.size() / 2;
      for (size_t j = 0; j < half; ++j)
        lanes[j] = add_(lanes[j], lanes[j + half]);
      lanes.resize(half);
    }
    return lanes;
  }

  LocalId local_;
  double total_;
  double zero_;
  int64_t columns_ = 1;
  int64_t blocks_ = 0;
  std::vector<int64_t> nodes_;  ///< blocks in a node of each level, innermost first
  std::vector<double> open_;    ///< by level and column: sums of the open nodes
  std::vector<double> lanes_;   ///< of what is left behind the last whole block
  Add add_;
};

}  // namespace gradc::kernel
