// From graph values to kernel expressions. A value is asked for at a flat (row-major) position,
// which is an affine form of the loop variables plus, where needed, an integer expression; views
// compose as maps of positions, scalar ops become expression trees, shared and loop-invariant parts
// become Lets of the outermost scope where they can stand.
#pragma once

#include "codegen/kernel/kernel.h"
#include "codegen/kernel/kernel_bounds.h"
#include "ir/graph.h"

#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace gradc::kernel {

/// A position: affine + dynamic (an i64 expression; may be invalid).
struct Index {
  Affine affine;
  ExprId dynamic;
  bool operator==(const Index&) const = default;
};

class Emitter {
 public:
  Emitter(Kernel& kernel, const Graph& body);

  Kernel& kernel() { return kernel_; }
  KernelBuilder& builder() { return builder_; }
  const Graph& body() const { return body_; }

  // ---- scopes: 0 is the kernel's top level
  // -------------------------------------------------------
  VarId new_var(const std::string& name, int64_t extent);
  /// Enters a block whose statements see `vars` in addition. The block outlives the scope; the
  /// statement that holds it is appended to the outer block after close().
  void open(Block* block, const std::vector<VarId>& vars);
  void close();
  Block& block() { return *scopes_.back().block; }
  int depth() const { return static_cast<int>(scopes_.size()) - 1; }
  /// Whether shared values of the innermost scope become Lets there (not inside a contraction's
  /// operand expressions).
  void allow_lets(bool allow) { lets_allowed_ = allow; }

  // ---- what body values stand for
  // ----------------------------------------------------------------
  /// The value is in a buffer; of random numbers, which are drawn where they are used, the stream.
  void bind_buffer(ValueId value, BufferId buffer);
  /// The value at position `at` is in a local of the current scope; other positions are a failure.
  void bind_local(ValueId value, LocalId local, const Index& at);
  /// The value at position p is buffer[p mod modulo].
  void bind_row(ValueId value, BufferId buffer, int64_t modulo);

  ExprId value(ValueId value, const Index& at);
  /// condition ? value : otherwise, the value's loads being guarded. An invalid condition is true.
  ExprId guarded(ExprId condition, ValueId value, const Index& at, ExprId otherwise);
  ExprId let(ExprId expr, const std::string& name);
  LocalId new_local(const std::string& name, DType dtype, bool is_mutable);

  // ---- positions
  // ---------------------------------------------------------------------------------
  static Index constant_index(int64_t value) { return {Affine::constant(value), {}}; }
  Index plus(const Index& a, const Index& b);
  Index scaled(const Index& a, int64_t factor);
  Index floor_div(const Index& a, int64_t divisor);
  Index floor_mod(const Index& a, int64_t divisor);
  ExprId index_expr(const Index& a);
  /// lo <= a <= hi as a condition; invalid when it always holds.
  ExprId in_range(const Index& a, int64_t lo, int64_t hi);
  bool never_in_range(const Index& a, int64_t lo, int64_t hi) const;
  ExprId both(ExprId a, ExprId b);  ///< either may be invalid (true)

  /// Strides at which the row-major positions of a value have to be split into loops so that all
  /// views below it are affine.
  const std::set<int64_t>& cuts(ValueId value);

  bool failed() const { return !failure_.empty(); }
  const std::string& failure() const { return failure_; }
  ExprId fail(const std::string& why);

 private:
  struct Scope {
    Block* block = nullptr;
    std::vector<VarId> vars;
    std::vector<ValueId> memoized;
  };
  struct Binding {
    BufferId buffer;
    LocalId local;
    Index at;
    int64_t modulo = 0;
  };
  struct Memo {
    Index at;
    ExprId condition;
    ExprId expr;
    int level = 0;
  };

  int level(ExprId expr);
  int level(const Affine& affine) const;
  bool is_trivial(ExprId expr) const;
  ExprId hoisted(ExprId expr, int below, const std::string& name);
  ExprId compute(ValueId value, const Index& at);
  ExprId bound_value(ValueId value, const Binding& binding, const Index& at);
  ExprId load(BufferId buffer, const Index& at);
  ExprId scalar(const Node& node, const Index& at);
  ExprId view(const Node& node, const Index& at);
  ExprId pad(const Node& node, const Index& at);
  ExprId concat(const Node& node, const Index& at);
  ExprId source(const Node& node, const Index& at);
  ExprId gather(const Node& node, const Index& at);
  Interval range_of(const Index& a) const;
  Index split(const Index& at, int64_t inner, int64_t size, int64_t total);
  std::set<int64_t> compute_cuts(ValueId value);

  Kernel& kernel_;
  KernelBuilder builder_;
  const Graph& body_;
  Bounds bounds_;
  std::vector<Scope> scopes_;
  std::vector<int> var_levels_;
  std::vector<int> local_levels_;
  std::vector<int> expr_levels_;
  std::unordered_map<ValueId, Binding> bindings_;
  std::unordered_map<ValueId, BufferId> streams_;
  std::unordered_map<ValueId, std::vector<Memo>> memo_;
  std::unordered_map<ValueId, std::set<int64_t>> cuts_;
  ExprId condition_;  ///< guards every load while valid
  bool lets_allowed_ = true;
  std::string failure_;
};

/// Positive strides 1 < s1 < s2 ... < total, each dividing the next: the coarsest loop structure
/// that respects the cuts (those that do not fit the chain are dropped). The required ones, which
/// divide each other, are kept whatever cuts lie between them.
std::vector<int64_t> stride_chain(const std::set<int64_t>& cuts, int64_t total,
                                  std::set<int64_t> required = {});

}  // namespace gradc::kernel
