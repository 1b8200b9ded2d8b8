// The kernel IR: loop nests over flat buffers, before LLVM. Printable (kernel_printer), verifiable
// (kernel_verifier) and interpretable (kernel_interpreter); no LLVM type appears here.
//
// A kernel is run by all threads of a pool at once. It holds at most one parallel statement at its
// top level (a nest of parallel `for` or a parallel contraction), whose work is split statically by
// (thread index, thread count); only Lets may stand beside it, before it, and every thread
// evaluates them. A kernel without a parallel statement runs on thread 0 alone. Barriers stand
// between kernels, never inside.
//
// Expressions are pure trees evaluated where their statement stands; sharing is explicit, by Let. A
// vector loop means the same as a serial one. The order in which floats are added up is part of the
// kernel (sum_order.h), so a kernel's bits are the same on every target. Integer index arithmetic
// is 64-bit.
#pragma once

#include "ir/scalar_op.h"
#include "ir/type.h"
#include "support/ids.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace gradc::kernel {

using VarId = Id<struct LoopVarTag>;    ///< a loop variable
using LocalId = Id<struct LocalTag>;    ///< a scalar: immutable (Let) or an accumulator
using BufferId = Id<struct BufferTag>;  ///< a kernel argument or a kernel-local array
using ExprId = Id<struct ExprTag>;

enum class BufferRole : uint8_t { kIn, kOut, kInOut, kLocal };

/// A dense array. kLocal: per-thread, lives for one call, small (row temporaries).
struct Buffer {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  BufferRole role = BufferRole::kIn;
  bool may_alias =
      false;  ///< may share memory with another argument, element for element (planned in place)
  int64_t alignment = 4;  ///< known alignment of the first element, bytes
};

/// offset + sum of coefficient * variable; variables distinct, coefficients non-zero.
struct Affine {
  int64_t offset = 0;
  std::vector<std::pair<VarId, int64_t>> terms;

  static Affine constant(int64_t value) { return {value, {}}; }
  static Affine variable(VarId var, int64_t coefficient = 1) { return {0, {{var, coefficient}}}; }
  int64_t coefficient(VarId var) const;
  bool is_constant() const { return terms.empty(); }
  Affine& add(const Affine& other, int64_t scale = 1);
  bool operator==(const Affine&) const = default;
};

enum class ExprKind : uint8_t {
  kConst,     ///< value
  kIndex,     ///< the affine as an i64 (or i32) number
  kLoad,      ///< buffer[affine + dynamic], dynamic = args[0] if valid (an integer expression)
  kLocal,     ///< local
  kScalar,    ///< op(args...)
  kFloorDiv,  ///< args[0] / imm, integers, imm > 0, rounding down
  kFloorMod,  ///< args[0] mod imm, in [0, imm)
  kGuard,   ///< args[0] (bool) ? args[1] : args[2]; args[1] is not evaluated where args[0] is false
  kRandom,  ///< uniform [0, 1): Philox word `args[2]` (element index) for seed args[0], iteration
            ///< args[1], stream args[3]
};

struct Expr {
  ExprKind kind{};
  DType dtype = DType::kF32;
  ScalarOp op = ScalarOp::kNone;
  BufferId buffer;
  LocalId local;
  std::array<ExprId, 4> args;
  double value = 0.0;
  int64_t imm = 0;
  Affine index;
};

enum class LoopKind : uint8_t {
  kSerial,
  kParallel,
  kVector,
  kUnroll,
  kParallelVector,  ///< top level: each thread runs one contiguous piece as a vector loop; pieces
                    ///< begin at multiples of 64 iterations, so any thread count gives the same
                    ///< bits
};
enum class AccumulateOp : uint8_t { kSum, kProd, kMax, kMin };

struct Local {
  std::string name;
  DType dtype = DType::kF32;
  bool mutable_ = false;  ///< an accumulator, initialised by Init
};

struct For;
struct If;
struct Contract;

/// local = expr. An immutable local has one Let; an accumulator's Let (re)starts it.
struct Let {
  LocalId local;
  ExprId expr;
};
/// local = local op expr, for accumulators; with a factor local = expr * factor + local, rounded
/// once (kSum of floats only). An accumulator started outside a vector loop that accumulates into
/// it is reduced over the lanes at the end of that loop; one started inside is one per lane.
struct Accumulate {
  LocalId local;
  AccumulateOp op{};
  ExprId expr;
  ExprId factor;
};
/// buffer[affine + dynamic] = expr; `add`: += (no two lanes of a vector loop may meet).
struct Store {
  BufferId buffer;
  Affine index;
  ExprId dynamic;
  ExprId expr;
  bool add = false;
};

using Stmt = std::variant<Let, Accumulate, Store, std::unique_ptr<For>, std::unique_ptr<If>,
                          std::unique_ptr<Contract>>;
using Block = std::vector<Stmt>;

/// In which order a loop adds (or multiplies) floats into accumulators that were started before it;
/// sum_order.h says it exactly.
enum class SumOrder : uint8_t {
  kSequence,  ///< one after the other
  kGroups,    ///< in groups of 16, groups of groups, and so on
  kLanes,     ///< in 64 columns; for vector loops, and all that take part in such sums have it
};

/// for var in [begin, end), step 1. Vector loops may hold serial and unrolled loops (each lane runs
/// them), no further vector loop; parallel loops stand at the top level only. A kParallelVector
/// loop is both and accumulates only into locals started inside it. A sum in groups over a loop
/// with `below` is that of all iterations, of which the others add nothing. `ahead`: one iteration
/// of a serial loop is to ask memory for what the next one reads.
struct For {
  VarId var;
  int64_t begin = 0;
  int64_t end = 0;
  LoopKind kind = LoopKind::kSerial;
  ExprId below;       ///< an integer, known before the loop, that `var` stays below too; or empty
  int64_t grain = 1;  ///< parallel: the smallest number of iterations worth a thread
  SumOrder sums = SumOrder::kSequence;
  bool ahead = false;
  Block body;
};

/// The parallel loop that a parallel loop holds as its only statement: threads share the iterations
/// of both together. Null where there is none.
const For* nested_parallel(const For& loop);

struct If {
  ExprId condition;
  Block body;
};

struct ContractDim {
  VarId var;
  int64_t extent = 1;
};

/// for batch, m, n: acc = sum over k of a(batch, m, k) * b(batch, k, n), by fused multiply-add, k
/// increasing; then `epilogue` with acc in scope. a and b have one float type, acc is f64 for f64
/// and f32 for the others (accumulator_dtype): products of short floats are exact in it. One engine
/// for matmul, convolution and both its gradients: a and b are any expressions; plain and guarded
/// loads with affine indices are packed by copies, others are evaluated while packing. Dimension
/// lists are outermost first; the flattened k order is the summation order. m, n and k are never
/// empty (a dimension of one element stands for none). Of m or k that are one dimension a number
/// that is known when the kernel runs may count: rows from `m_below` on are neither computed nor
/// stored, sums end before `k_below`.
struct Contract {
  std::vector<ContractDim> batch, m, n, k;
  ExprId m_below, k_below;
  ExprId a, b;
  LocalId acc;
  Block epilogue;  ///< Let and Store only, over batch, m and n
  bool parallel = true;
};

struct Kernel {
  std::string name;
  std::vector<Buffer> buffers;  ///< arguments first, in call order, then kLocal ones
  std::vector<Local> locals;
  std::vector<std::string> vars;
  std::vector<Expr> exprs;
  Block body;
  int64_t flops = 0;  ///< multiply-adds of contractions count 2; for reports

  size_t num_arguments() const;
  const Expr& expr(ExprId id) const { return exprs[id.index]; }
  const Buffer& buffer(BufferId id) const { return buffers[id.index]; }
  /// Whether some statement is parallel (all threads take part).
  bool is_parallel() const;
};

/// Makes kernels: interns nothing, checks operand dtypes.
class KernelBuilder {
 public:
  explicit KernelBuilder(Kernel& kernel) : kernel_(kernel) {}

  BufferId buffer(std::string name, DType dtype, const Shape& shape, BufferRole role);
  VarId var(std::string name);
  LocalId local(std::string name, DType dtype, bool is_mutable = false);

  ExprId constant(double value, DType dtype = DType::kF32);
  ExprId index(Affine affine, DType dtype = DType::kI64);
  ExprId load(BufferId buffer, Affine index, ExprId dynamic = {});
  ExprId read(LocalId local);
  ExprId scalar(ScalarOp op, DType dtype, ExprId a, ExprId b = {}, ExprId c = {});
  /// x itself where it has the type; a widening that is taken back disappears.
  ExprId cast(ExprId x, DType dtype);
  ExprId floor_div(ExprId x, int64_t divisor);
  ExprId floor_mod(ExprId x, int64_t divisor);
  ExprId guard(ExprId condition, ExprId then, ExprId otherwise);
  ExprId random(ExprId seed, ExprId iteration, ExprId element, ExprId stream);

  const Expr& at(ExprId id) const { return kernel_.exprs[id.index]; }

 private:
  ExprId add(Expr expr);
  ExprId before_widening(ExprId x, DType dtype);
  Kernel& kernel_;
};

}  // namespace gradc::kernel
