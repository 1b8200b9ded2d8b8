// Squares of lanes x lanes words, transposed in registers.
#pragma once

#include "codegen/llvm/types.h"

#include <llvm/IR/Function.h>

#include <vector>

namespace gradc::cg {

/// Rows of a square as its columns: log2(lanes) rounds of two-input shuffles.
std::vector<llvm::Value*> transpose(Builder& ir, std::vector<llvm::Value*> rows);

/// Arguments of the functions below, in order: where to, words between rows there, where from,
/// words between rows there; and of an edge how many rows there are to read, and how many words of
/// each.
struct TransposeArguments {
  static constexpr unsigned kTo = 0, kToStride = 1, kFrom = 2, kFromStride = 3, kRows = 4,
                            kWords = 5;
};

/// The module's function, made where it has none yet, that copies a square of words transposed:
/// hundreds of instructions that many kernels of a module would have a copy of each. Of an edge,
/// which needs masked loads, rows and words behind the last read as zeros. Attributes are those of
/// `caller`.
llvm::Function* transposer(const llvm::Function& caller, llvm::Type* word, unsigned lanes,
                           bool edge);

}  // namespace gradc::cg
