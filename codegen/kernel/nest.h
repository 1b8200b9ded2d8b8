// The loop nest that all kernels but large contractions are: point dimensions, and for each point
// stages of reductions over the reduce dimensions, then stores per point, then stores per element
// of the reduce dimensions. The builder merges dimensions, chooses the vector and the parallel loop
// from the accesses, and emits the loops. The order of sums is not its choice: what makes the nest
// says it, from the sizes of the op.
#pragma once

#include "codegen/kernel/emitter.h"
#include "support/result.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gradc::kernel {

/// strides: by how much one step moves in each of the nest's position spaces.
struct NestDim {
  std::string name;
  int64_t extent = 1;
  bool reduce = false;
  std::vector<int64_t> strides;
  int group = 0;  ///< only dimensions of one group merge; a sum in groups or lanes has a loop each
  /// Of points: its steps add to the same results, one after the other (Nest::zeros); it stands
  /// behind what threads share and alone in its group.
  bool adds = false;
  bool shared = false;  ///< Of points: one of the outermost, around Nest::first
};

/// The current position while statements are emitted.
class NestCursor {
 public:
  NestCursor(Emitter& emitter, std::vector<Index> spaces)
      : emitter_(emitter), spaces_(std::move(spaces)) {}
  Emitter& emitter() { return emitter_; }
  const Index& at(size_t space) const { return spaces_[space]; }

 private:
  Emitter& emitter_;
  std::vector<Index> spaces_;
};

struct NestStore {
  BufferId buffer;
  Index at;
  ExprId expr;
  bool add = false;
};

struct Reduction {
  AccumulateOp op = AccumulateOp::kSum;
  DType dtype = DType::kF32;    ///< of the accumulator
  std::optional<double> start;  ///< default: the neutral element
  std::function<ExprId(NestCursor&)> value;
  std::function<ExprId(NestCursor&)> factor;  ///< of a product fused into the sum; may be empty
  std::function<void(NestCursor&, LocalId)> done;  ///< the accumulator is final: bind it
};

/// A full-level value that later stages read again: stored per row in stage `stage`, where its
/// position is that of space `space`, and the row is as long as the reduce dimensions.
struct KeptValue {
  ValueId value;
  size_t stage = 0;
  size_t space = 0;
};

struct Nest {
  std::vector<NestDim> dims;     ///< outermost first
  std::vector<int64_t> offsets;  ///< of each position space
  /// How sums and products of floats run over the reduce dimensions (sum_order.h). kSequence: over
  /// all of them, row-major. kGroups: each dimension is a sum of its own, the innermost first.
  /// kLanes: the same, and the last dimension is a vector loop.
  SumOrder sums = SumOrder::kGroups;
  bool lanes_outside = false;  ///< kLanes: a column runs over all other dimensions in sequence
  std::vector<std::vector<Reduction>> stages;
  std::function<std::vector<NestStore>(NestCursor&)> points;
  /// Where a dimension `adds`: what is stored before its first step.
  std::function<std::vector<NestStore>(NestCursor&)> zeros;
  std::function<std::vector<NestStore>(NestCursor&)> map;  ///< may be empty
  /// Statements inside the loops over `shared` dimensions, which threads share, and before all
  /// other loops; may be empty. Only positions that `shared` dimensions alone move are of use.
  std::function<void(NestCursor&)> first;
  std::vector<KeptValue> kept;
  /// Neighbouring rows read the same elements: threads take runs of rows, image after image.
  bool rows_share = false;
};

/// The buffers of a kernel to be made, and what body values they hold.
struct KernelFrame {
  std::string name;
  std::vector<Buffer> buffers;
  std::vector<std::pair<ValueId, BufferId>> bindings;
};

/// Builds the kernel; fails (kInternal) where a value cannot be computed in place.
Result<Kernel> build_nest(const KernelFrame& frame, const Graph& body, const Nest& nest);

/// The dimensions of a chain of strides over `total` positions, outermost first, as point dims of
/// one space.
std::vector<NestDim> chain_dims(const std::vector<int64_t>& chain, int64_t total);

double neutral_element(AccumulateOp op, DType dtype);

}  // namespace gradc::kernel
