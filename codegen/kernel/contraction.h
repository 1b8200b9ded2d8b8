// One contraction in the form that lowering works on: dimensions with strides in the operands' and
// the result's row-major positions, and guards where a convolution reaches into padding.
#pragma once

#include "codegen/kernel/lower_unit.h"
#include "ir/contraction_types.h"

#include <optional>
#include <string>
#include <vector>

namespace gradc::kernel {

enum class DimClass : uint8_t { kBatch, kM, kN, kK };

struct ContractionDim {
  std::string name;
  DimClass cls = DimClass::kM;
  int64_t extent = 1;
  std::vector<int64_t> strides;  ///< in a, b, y, then one per guard
};

/// 0 <= offset + sum of strides * index <= last must hold for an element of a to exist; a is 0
/// elsewhere.
struct ContractionGuard {
  int64_t offset = 0;
  int64_t last = 0;
};

/// A copy of operand a with zeros around it, so that no guard is needed.
struct PaddedCopy {
  std::vector<NestDim> dims;  ///< spaces: position in the copy, in the operand, then one coordinate
                              ///< of the operand per padded axis
  std::vector<int64_t> offsets;  ///< of the spaces
  std::vector<int64_t> last;     ///< of each coordinate, from 0
  int64_t size = 1;              ///< elements of the copy
};

/// y[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n].
struct Contraction {
  ValueId a, b, y;
  ContractionTypes types;
  std::vector<ContractionDim> dims;  ///< by class in the order batch, m, n, k; outermost first
  int64_t a_offset = 0, b_offset = 0, y_offset = 0;
  std::vector<ContractionGuard> guards;
  bool empty = false;  ///< no k at all: y is zero
  std::string suffix;  ///< of the kernel's name, where a node needs several
  BufferId copy;       ///< a is read from this buffer of the frame (a padded copy) when valid
};

struct ContractionSet {
  std::vector<Contraction> parts;
  std::optional<PaddedCopy> padded;  ///< positions of a are those of this copy
};

/// The contractions that together compute a matmul, conv, conv_input_grad or conv_filter_grad node;
/// several (writing different elements) for the gradient of a strided convolution. With `pad`, a is
/// a padded copy and there are no guards.
Result<ContractionSet> contractions(const Graph& body, const Node& node, bool pad);

}  // namespace gradc::kernel
