// The accumulators of the code around a loop while the loop adds to them. A loop over columns has
// slots of its own, whose lanes are combined in halves at its end; a loop that sums in groups has
// fresh ones for every node of the tree (kernel/sum_order.h).
#pragma once

#include "codegen/llvm/emitter.h"

#include <functional>
#include <map>
#include <vector>

namespace gradc::cg {

class OpenSums {
 public:
  OpenSums(Emitter& em, const std::map<uint32_t, kernel::AccumulateOp>& accumulated);

  size_t num_ordered() const;
  /// Fresh slots of `width` lanes, all neutral. Slots that are read in parts stay in memory.
  void start(size_t slots, unsigned width, bool in_parts);
  /// Fresh columns, added to `width` at a time: in so many slots, or as parts of one. What has no
  /// order has one slot of that width.
  void start_columns(unsigned columns, unsigned width, bool in_parts);
  /// What is accumulated from now on goes to this slot, or to a part of slot 0.
  void bind(size_t slot = 0);
  void bind_part(llvm::Value* column, unsigned width);
  /// Every slot takes the place of the one before it; the first comes last.
  void rotate();
  /// Combines the lanes of each to fewer.
  void narrow(unsigned width, bool in_parts = false);
  /// Combines all lanes, adds them to the accumulators around, and binds these again.
  void finish();
  /// Binds the accumulators around again, whose own slots were added to.
  void restore();

  /// A node of ordered sums: begins with fresh slots like the present ones, and is added to these
  /// at its end.
  using Node = std::vector<std::vector<llvm::Value*>>;
  Node begin_node();
  void end_node(const Node& above);

 private:
  struct Sum {
    uint32_t local = 0;
    kernel::AccumulateOp op{};
    DType dtype{};
    bool ordered = false;
    LocalValue outer;
    llvm::Type* type = nullptr;  ///< of a slot
    std::vector<llvm::Value*> slots;
  };

  llvm::Value* place(const Sum& sum);
  llvm::Value* fresh_slot(const Sum& sum);
  llvm::Value* all_lanes(const Sum& sum, unsigned width);

  Emitter& em_;
  std::vector<Sum> sums_;
  bool in_parts_ = false;
};

/// body(iv) for iv = low, low + stride, ... < high (constants). Groups are of 16 `step`s: the sums
/// get a node for every group.
void grouped_loop(Emitter& em, OpenSums& sums, int64_t low, int64_t high, int64_t step,
                  int64_t stride, const std::function<void(llvm::Value*)>& body, const char* name);

}  // namespace gradc::cg
