// Emits the statements and expressions of one kernel into one LLVM function, mechanically: every
// decision was taken in the kernel IR. Values that do not depend on the lane variable stay scalar
// and are splatted where they meet a vector.
//
// The class is split over emit_*.cpp by what they emit. An Emitter belongs to one LLVM function;
// the contraction engine makes further ones for its tile and packing functions.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/llvm/math/math.h"
#include "codegen/llvm/read_ahead.h"
#include "codegen/llvm/types.h"
#include "codegen/target_info.h"

#include <llvm/ADT/DenseMap.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/Module.h>

#include <array>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace gradc::cg {

/// Closed interval of 64-bit integers.
struct Interval {
  int64_t low = INT64_MIN;
  int64_t high = INT64_MAX;
  bool fits_i32() const { return low >= INT32_MIN && high <= INT32_MAX; }
  bool non_negative() const { return low >= 0; }
};

/// What a loop variable is worth at the point of emission: base + offset. In a vector loop this is
/// lane 0's value.
struct VarValue {
  llvm::Value* base = nullptr;  ///< i64; null: 0
  int64_t offset = 0;
  Interval range;
  int depth = 0;  ///< order of binding; outer variables are added up first
};

/// The lanes in which expressions are evaluated.
struct Lanes {
  unsigned width = 1;
  kernel::VarId var;            ///< runs along the lanes
  llvm::Value* mask = nullptr;  ///< <width x i1>; null: all lanes
  bool guarded = false;         ///< the mask may be empty
};

struct LocalValue {
  llvm::Value* value = nullptr;  ///< immutable
  llvm::Value* slot = nullptr;   ///< accumulator: its place on the stack
  llvm::Type* type = nullptr;    ///< of what stands there
};

/// base * coefficient, summed, and a constant: an affine form in terms of emitted values.
struct Terms {
  std::vector<std::pair<llvm::Value*, int64_t>> dynamic;
  int64_t constant = 0;
  bool operator==(const Terms&) const = default;
};

constexpr int64_t kRandomWords = 4;  ///< of a Philox block
using RandomWords = std::array<llvm::Value*, kRandomWords>;

/// Whose random numbers: i64 each, scalar or in lanes.
struct Draw {
  llvm::Value* seed = nullptr;
  llvm::Value* iteration = nullptr;
  llvm::Value* stream = nullptr;
  bool operator==(const Draw&) const = default;
};

/// The blocks of random words drawn last (emit_random.cpp): of the element `first`, which begins a
/// block, and in further lanes of those `step` apart.
struct DrawnBlocks {
  llvm::BasicBlock* where = nullptr;
  Draw draw;
  Terms first;
  int64_t step = 0;
  unsigned lanes = 1;
  RandomWords words{};
  bool serves(const DrawnBlocks& wanted) const {
    return where == wanted.where && draw == wanted.draw && first == wanted.first &&
           step == wanted.step && lanes == wanted.lanes;
  }
};

class Emitter {
 public:
  Emitter(llvm::Function* function, const kernel::Kernel& kernel, const TargetInfo& target);

  Builder& ir() { return ir_; }
  llvm::Function* function() { return function_; }
  llvm::LLVMContext& context() { return function_->getContext(); }
  const TargetInfo& target() const { return target_; }
  const kernel::Kernel& kernel() const { return kernel_; }
  const Lanes& lanes() const { return lanes_; }
  math::MathBuilder math() { return {ir_, target_.has_fma}; }

  // ---- environment
  /// Expressions looked up from now on; the contraction engine works on a rewritten copy.
  const std::vector<kernel::Expr>* exprs() const { return exprs_; }
  void use_exprs(const std::vector<kernel::Expr>* exprs) { exprs_ = exprs; }
  const kernel::Expr& expr(kernel::ExprId id) const { return (*exprs_)[id.index]; }
  void bind_buffer(kernel::BufferId id, llvm::Value* pointer) { buffers_[id.index] = pointer; }
  llvm::Value* buffer_pointer(kernel::BufferId id) const { return buffers_[id.index]; }
  void bind_var(kernel::VarId id, llvm::Value* base, int64_t offset, Interval range);
  const VarValue& var(kernel::VarId id) const { return vars_[id.index]; }
  void bind_local(kernel::LocalId id, llvm::Value* value) { locals_[id.index] = {value}; }
  llvm::Value* read_local(kernel::LocalId id);
  void set_threads(llvm::Value* index, llvm::Value* count);
  /// Stores from now on are done by thread 0 alone: statements beside a parallel one.
  bool first_thread_stores() const { return first_thread_stores_; }
  void set_first_thread_stores(bool on) { first_thread_stores_ = on; }
  void set_scratch(llvm::Value* scratch) { scratch_ = scratch; }
  llvm::Value* scratch() const { return scratch_; }
  llvm::Value* thread_index() const { return thread_index_; }
  llvm::Value* thread_count() const { return thread_count_; }
  /// Bytes of per-thread scratch that emission has reserved.
  int64_t scratch_bytes() const { return scratch_bytes_; }
  llvm::Value* reserve_scratch(int64_t bytes);

  // ---- constants
  llvm::ConstantInt* i64(int64_t value) { return ir_.getInt64(static_cast<uint64_t>(value)); }
  llvm::ConstantInt* i32(int64_t value) { return ir_.getInt32(static_cast<uint32_t>(value)); }

  // ---- expressions (emit_expr.cpp, emit_scalar_op.cpp, emit_int.cpp, emit_random.cpp)
  /// Scalar if the same on all lanes, else a vector of lanes().width.
  llvm::Value* eval(kernel::ExprId id);
  /// eval, splatted to the width of the lanes.
  llvm::Value* eval_lanes(kernel::ExprId id);
  Interval range_of(kernel::ExprId id) const;
  Interval range_of(const kernel::Affine& affine) const;
  /// Lane 0's value of an affine index (i64).
  llvm::Value* affine(const kernel::Affine& index);
  /// The number of low bits of an emitted integer that are known to be zero, at most 6, where
  /// something depends on it.
  unsigned zero_bits(const llvm::Value* x) const;
  void know_zero_bits(const llvm::Value* x, unsigned bits) { zero_bits_[x] = bits; }

  // ---- memory (emit_memory.cpp)
  llvm::Value* load(kernel::BufferId buffer, const kernel::Affine& index, kernel::ExprId dynamic);
  /// Neighbouring elements, of at most kZeroBytes, where the condition, one for all lanes, holds;
  /// else zeros.
  llvm::Value* load_or_zeros(kernel::BufferId buffer, const kernel::Affine& index,
                             llvm::Value* condition);
  /// Asks for what one step of the loop of this variable, where it stands, reads ahead.
  void read_ahead(kernel::VarId var);
  void store(kernel::BufferId buffer, const kernel::Affine& index, kernel::ExprId dynamic,
             llvm::Value* value);
  /// Address of lane 0's element.
  llvm::Value* address(kernel::BufferId buffer, const kernel::Affine& index);
  llvm::Value* masked_load(llvm::Type* type, llvm::Value* pointer, int64_t align);
  void masked_store(llvm::Value* value, llvm::Value* pointer, int64_t align);
  llvm::Value* from_memory(llvm::Value* value, DType dtype);
  llvm::Value* to_memory(llvm::Value* value, DType dtype);
  llvm::Value* round_short(llvm::Value* x, DType dtype);

  // ---- statements (emit_stmt.cpp, emit_loop.cpp)
  void emit_block(const kernel::Block& block);
  /// Calls body(iv) for iv = low, low + step, ... while iv < high; known_non_empty skips the first
  /// test.
  void loop(llvm::Value* low, llvm::Value* high, int64_t step, bool known_non_empty,
            const std::function<void(llvm::Value*)>& body, const char* name = "i");
  /// Evaluates body with other lanes, restoring the present ones afterwards.
  template <class Body>
  auto with(const Lanes& lanes, Body body) {
    const Lanes saved = lanes_;
    lanes_ = lanes;
    struct Restore {
      Lanes& slot;
      const Lanes& saved;
      ~Restore() { slot = saved; }
    } restore{lanes_, saved};
    return body();
  }
  /// Runs `body` once for all of [low, high), as vectors over `var`: whole vectors of `width`
  /// first, then the rest under a mask (or lane by lane where masked memory is dear, after
  /// `before_single`). `multiple` divides high - low: there may be no rest.
  void vector_range(kernel::VarId var, llvm::Value* low, llvm::Value* high, Interval range,
                    unsigned width, int64_t multiple, const std::function<void(llvm::Value*)>& body,
                    const std::function<void()>& before_single = {});
  /// This thread's part [low, high) of `count` pieces, split at multiples of `grain`.
  std::pair<llvm::Value*, llvm::Value*> thread_range(int64_t count, int64_t grain);
  std::pair<llvm::Value*, llvm::Value*> thread_range(llvm::Value* count, int64_t grain);
  /// An integer of the kernel that ends a loop early, in [0, most].
  llvm::Value* limit(kernel::ExprId below, int64_t most);
  /// Branches on a scalar condition.
  void when(llvm::Value* condition, const std::function<void()>& body);
  llvm::AllocaInst* entry_alloca(llvm::Type* type, const char* name);
  unsigned vector_width(const kernel::Block& body) const;
  /// Whether evaluating an expression touches memory.
  static bool has_load(const std::vector<kernel::Expr>& exprs, kernel::ExprId id);

 private:
  friend class OpenSums;

  llvm::Value* eval_scalar_op(const kernel::Expr& e);
  llvm::Value* rounded(llvm::Value* value, const kernel::Expr& e);
  std::optional<bool> decided(const kernel::Expr& comparison) const;
  llvm::Value* eval_compare(const kernel::Expr& e);
  llvm::Value* cast_to_short(llvm::Value* x, DType from, DType to);
  llvm::Value* eval_cast(llvm::Value* x, DType from, DType to);
  static constexpr int64_t kZeroBytes = 64;  ///< of a module: the widest register
  bool is_row_or_zeros(const kernel::Expr& guard) const;
  llvm::Value* eval_guard(const kernel::Expr& e);
  llvm::Value* eval_random(const kernel::Expr& e);
  llvm::Value* random_bits(const kernel::Expr& e);
  llvm::Value* eval_index(const kernel::Affine& index, DType dtype);
  llvm::Value* eval_narrow(kernel::ExprId id);
  bool is_narrow(kernel::ExprId id) const;
  bool widens(kernel::ExprId id) const;
  llvm::Value* widen(llvm::Value* narrow);
  llvm::Value* divide_floor(llvm::Value* x, int64_t divisor, bool modulo, bool non_negative);
  /// Lane 0's, outer variables first.
  Terms terms_of(const kernel::Affine& index) const;
  llvm::Value* dynamic_sum(const Terms& terms);  ///< null: nothing but the constant
  llvm::Value* sum_of(const Terms& terms);
  std::pair<llvm::Value*, int64_t> affine_parts(const kernel::Affine& index);
  /// terms mod a power of two, where it is known.
  std::optional<int64_t> remainder(const Terms& terms, int64_t divisor) const;
  llvm::Value* lane_pointers(kernel::BufferId buffer, const kernel::Affine& index,
                             llvm::Value* dynamic);
  llvm::Value* lane_mask();

  void emit(const kernel::Let& let);
  void emit(const kernel::Accumulate& accumulate);
  void emit(const kernel::Store& store);
  bool emit_branched(const kernel::Store& store);
  void emit(const kernel::For& loop);
  void emit(const kernel::If& branch);
  void emit(const kernel::Contract& contract);
  void emit_serial(const kernel::For& loop, llvm::Value* low, llvm::Value* high);
  void emit_parallel(const kernel::For& loop);
  void emit_parallel_nest(const std::vector<const kernel::For*>& nest);
  void emit_unrolled(const kernel::For& loop);
  void emit_vector(const kernel::For& loop, llvm::Value* low, llvm::Value* high, int64_t multiple);
  llvm::Value* at_most(llvm::Value* begin, llvm::Value* count);
  llvm::Value* load_slot(const LocalValue& local);
  void store_slot(llvm::Value* value, const LocalValue& local);
  llvm::Value* combine(kernel::AccumulateOp op, llvm::Value* a, llvm::Value* b);
  llvm::Value* combine_lanes(kernel::AccumulateOp op, llvm::Value* vector, unsigned width);
  llvm::Constant* identity(kernel::AccumulateOp op, DType dtype);

  llvm::Function* function_;
  Builder ir_;
  const kernel::Kernel& kernel_;
  const TargetInfo& target_;
  const std::vector<kernel::Expr>* exprs_;
  std::vector<llvm::Value*> buffers_;
  std::vector<VarValue> vars_;
  std::vector<LocalValue> locals_;
  Lanes lanes_;
  llvm::Value* thread_index_ = nullptr;
  llvm::Value* thread_count_ = nullptr;
  llvm::Value* scratch_ = nullptr;
  int64_t scratch_bytes_ = 0;
  int depth_ = 0;
  llvm::DenseMap<const llvm::Value*, unsigned> zero_bits_;  ///< of loop variables and arguments
  DrawnBlocks drawn_;
  llvm::Value* holds_ = nullptr;      ///< a scalar condition that is true where code is emitted
  bool is_branchless_ = false;        ///< guarded loads are better done than branched around
  ReadAhead ahead_;                   ///< of the innermost loop that reads ahead
  bool first_thread_stores_ = false;  ///< stores belong to thread 0 (outside parallel statements)
};

}  // namespace gradc::cg
