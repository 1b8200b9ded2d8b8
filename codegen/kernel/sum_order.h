// The order in which floats are added up: a function of how many there are, and of nothing else. A
// sum of floats depends on its order in the last bits; so that these depend on neither the machine
// nor on what else a kernel computes, every loop of the kernel IR that accumulates floats names one
// of the orders below, and everything that makes, emits or interprets kernels takes them from here.
//
// kSequence: x0 + x1, then + x2, and so on.
//
// kGroups: at most 16 terms are added in sequence, more in groups of 16 (the last may be smaller),
// whose sums are added up by the same rule: a tree of 16 branches. So no float is rounded more than
// 16 times per level, and every run of 16^k terms that begins at a multiple of 16^k is one node of
// the tree: it can be summed by another thread, or another kernel, without changing a bit.
//
// kLanes, for terms that lie side by side: term i belongs to column i mod 64. The columns of all
// whole blocks of 64 are added up by kGroups over the blocks, and then combined in halves (columns
// j and j + 32, then j and j + 16) to 16 lanes. To these the terms that are left, fewer than 64,
// are added in sequence (term i to lane i mod 16), and the lanes are combined in halves. 16 lanes
// are one register of AVX-512, two of AVX2, four of NEON; 4 independent chains hide an addition's
// latency. A sum of n terms is that of 64 sums of columns and n mod 64 terms.
//
// Where several loops make one sum, each is a sum of its own, the innermost first.
#pragma once

#include "codegen/kernel/kernel.h"

#include <cstdint>

namespace gradc::kernel {

inline constexpr int64_t kSumGroup = 16;
inline constexpr int64_t kSumLanes = 16;
inline constexpr int64_t kSumColumns = 64;

/// Whether the order of accumulating matters: sums and products of floats.
inline bool is_ordered(AccumulateOp op, DType dtype) {
  return is_float(dtype) && (op == AccumulateOp::kSum || op == AccumulateOp::kProd);
}

/// The order that says the same with fewer words: up to 16 terms are one group.
inline SumOrder groups_of(int64_t terms) {
  return terms <= kSumGroup ? SumOrder::kSequence : SumOrder::kGroups;
}

/// Terms of the largest nodes of kGroups below the root: 16^k < terms.
inline int64_t largest_node(int64_t terms) {
  int64_t node = 1;
  while (node * kSumGroup < terms)
    node *= kSumGroup;
  return node;
}

}  // namespace gradc::kernel
