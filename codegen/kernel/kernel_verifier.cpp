#include "codegen/kernel/kernel_verifier.h"

#include "codegen/kernel/kernel_bounds.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/sum_order.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gradc::kernel {

namespace {

class Verifier {
 public:
  explicit Verifier(const Kernel& kernel)
      : kernel_(kernel),
        bounds_(kernel),
        defined_(kernel.locals.size(), false),
        started_in_loop_(kernel.locals.size(), 0),
        vector_of_(kernel.locals.size(), 0),
        let_seen_(kernel.locals.size(), false) {}

  std::vector<Diagnostic> run() {
    buffers();
    for (size_t i = 0; i < kernel_.body.size(); ++i) {
      if (is_parallel(kernel_.body[i]) && i + 1 != kernel_.body.size())
        error("a parallel statement is not the last statement of its kernel");
      if (!kernel_.body.empty() && is_parallel(kernel_.body.back()) &&
          i + 1 < kernel_.body.size() && !std::holds_alternative<Let>(kernel_.body[i]))
        error("more than a let stands before a parallel statement");
    }
    block(kernel_.body, true);
    return std::move(errors_);
  }

 private:
  template <class... Args>
  void error(fmt::format_string<Args...> format, Args&&... args) {
    const std::string text = fmt::format(format, std::forward<Args>(args)...);
    errors_.push_back(make_error(DiagKind::kInternal, {}, "kernel @{}: {}", kernel_.name, text));
  }
  std::string text(ExprId id) const { return to_string(kernel_, id); }

  static bool is_parallel(const Stmt& stmt) {
    if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt))
      return (*loop)->kind == LoopKind::kParallel || (*loop)->kind == LoopKind::kParallelVector;
    if (const auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt))
      return (*contract)->parallel;
    return false;
  }

  void buffers() {
    bool local_seen = false;
    for (const Buffer& b : kernel_.buffers) {
      if (b.role == BufferRole::kLocal) local_seen = true;
      if (b.role != BufferRole::kLocal && local_seen)
        error("argument {} stands after a local array", b.name);
      if (b.alignment < dtype_bytes(b.dtype))
        error("buffer {} is aligned to {} bytes, less than its element", b.name, b.alignment);
    }
  }

  // ---- expressions
  // -----------------------------------------------------------------------------

  void access(BufferId id, const Affine& index, ExprId dynamic, bool store) {
    const Buffer& b = kernel_.buffer(id);
    for (const auto& [var, coefficient] : index.terms) {
      if (!bounds_.in_scope(var))
        error("{} uses variable {} outside its loop", b.name, kernel_.vars[var.index]);
      if (coefficient == 0) error("{} has a term with coefficient 0", b.name);
    }
    Interval range = bounds_.of(index);
    if (dynamic.valid()) {
      expr(dynamic);
      if (!is_integer(kernel_.expr(dynamic).dtype))
        error("the index {} of {} is not an integer", text(dynamic), b.name);
      range = bounds_.of_sum(index, dynamic);
    }
    const int64_t size = b.shape.num_elements();
    // A guard on a divided index is beyond interval arithmetic: what it keeps out shows at run time
    // only (the kernel interpreter checks every access).
    if (dynamic.valid() && guard_depth_ > 0) return;
    if (range.lo < 0 || range.hi >= size) {
      error("{} {}[{}{}] spans [{}, {}], outside its {} elements", store ? "store to" : "load of",
            b.name, to_string(kernel_, index), dynamic.valid() ? " + " + text(dynamic) : "",
            range.lo, range.hi, size);
    }
  }

  void expr(ExprId id) {
    if (!id.valid() || id.index >= kernel_.exprs.size()) return error("an operand is missing");
    const Expr& e = kernel_.expr(id);
    switch (e.kind) {
      case ExprKind::kConst:
        return;
      case ExprKind::kIndex:
        if (e.dtype != DType::kI64 && e.dtype != DType::kI32)
          error("index ({}) has dtype {}", to_string(kernel_, e.index), dtype_name(e.dtype));
        for (const auto& term : e.index.terms) {
          if (!bounds_.in_scope(term.first))
            error("variable {} is used outside its loop", kernel_.vars[term.first.index]);
        }
        return;
      case ExprKind::kLoad:
        if (e.dtype != kernel_.buffer(e.buffer).dtype)
          error("a load of {} has another dtype than the buffer", kernel_.buffer(e.buffer).name);
        if (kernel_.buffer(e.buffer).role == BufferRole::kOut)
          error("load of {}, which is only written", kernel_.buffer(e.buffer).name);
        return access(e.buffer, e.index, e.args[0], false);
      case ExprKind::kLocal:
        if (!defined_[e.local.index])
          error("%{} is used before it is defined", kernel_.locals[e.local.index].name);
        if (e.dtype != kernel_.locals[e.local.index].dtype)
          error("a use of %{} has another dtype", kernel_.locals[e.local.index].name);
        return;
      case ExprKind::kScalar:
        return scalar(id);
      case ExprKind::kFloorDiv:
      case ExprKind::kFloorMod:
        expr(e.args[0]);
        if (e.imm <= 0) error("{} divides by {}", text(id), e.imm);
        if (!is_integer(e.dtype) || kernel_.expr(e.args[0]).dtype != e.dtype)
          error("{} is not of one integer dtype", text(id));
        return;
      case ExprKind::kGuard:
        return guard(id);
      case ExprKind::kRandom:
        for (const ExprId arg : e.args) {
          expr(arg);
          if (arg.valid() && kernel_.expr(arg).dtype != DType::kI64)
            error("an operand of {} is not i64", text(id));
        }
        return;
    }
    GRADC_UNREACHABLE();
  }

  void guard(ExprId id) {
    const Expr& e = kernel_.expr(id);
    expr(e.args[0]);
    if (kernel_.expr(e.args[0]).dtype != DType::kBool)
      error("the condition of {} is not bool", text(id));
    const size_t before = bounds_.num_constraints();
    bounds_.assume(e.args[0]);
    ++guard_depth_;
    expr(e.args[1]);
    --guard_depth_;
    bounds_.pop_constraints(before);
    expr(e.args[2]);
    if (kernel_.expr(e.args[1]).dtype != e.dtype || kernel_.expr(e.args[2]).dtype != e.dtype)
      error("the branches of {} have different dtypes", text(id));
  }

  void scalar(ExprId id) {
    const Expr& e = kernel_.expr(id);
    const auto arity = static_cast<size_t>(scalar_op_arity(e.op));
    if (arity == 0) return error("a scalar expression has no operation");
    for (size_t i = 0; i < arity; ++i)
      expr(e.args[i]);
    if (e.op == ScalarOp::kCast) return;
    const DType first = kernel_.expr(e.args[e.op == ScalarOp::kSelect ? 1 : 0]).dtype;
    const bool compares = e.op >= ScalarOp::kEq && e.op <= ScalarOp::kGe;
    const bool to_bool = compares || e.op == ScalarOp::kIsFinite;
    if (e.dtype != (to_bool ? DType::kBool : first))
      error("{} has dtype {}", text(id), dtype_name(e.dtype));
    if (e.op == ScalarOp::kSelect && kernel_.expr(e.args[0]).dtype != DType::kBool)
      error("the condition of {} is not bool", text(id));
    if (arity > 1 && kernel_.expr(e.args[arity - 1]).dtype != first)
      error("the operands of {} have different dtypes", text(id));
    const bool logical = e.op == ScalarOp::kNot || e.op == ScalarOp::kAnd || e.op == ScalarOp::kOr;
    if (logical && first != DType::kBool) error("an operand of {} is not bool", text(id));
  }

  // ---- statements
  // ------------------------------------------------------------------------------

  void block(const Block& body, bool top) {
    std::vector<LocalId> here;
    for (const Stmt& stmt : body) {
      if (const auto* let = std::get_if<Let>(&stmt)) here.push_back(let->local);
      if (is_parallel(stmt) && !top) error("a parallel statement stands inside another statement");
      std::visit([this](const auto& s) { statement(s); }, stmt);
    }
    for (const LocalId local : here)
      defined_[local.index] = false;
  }

  void statement(const Let& s) {
    expr(s.expr);
    const Local& local = kernel_.locals[s.local.index];
    if (s.expr.valid() && kernel_.expr(s.expr).dtype != local.dtype)
      error("%{} of dtype {} is given {}", local.name, dtype_name(local.dtype), text(s.expr));
    if (!local.mutable_ && let_seen_[s.local.index]) error("%{} is defined twice", local.name);
    let_seen_[s.local.index] = true;
    defined_[s.local.index] = true;
    started_in_loop_[s.local.index] = parallel_vector_depth_;
    vector_of_[s.local.index] = unordered_vector_;
    if (!local.mutable_) bounds_.define(s.local, s.expr);
  }

  void statement(const Accumulate& s) {
    expr(s.expr);
    const Local& local = kernel_.locals[s.local.index];
    if (!local.mutable_) error("%{} is accumulated into but immutable", local.name);
    if (!defined_[s.local.index]) error("%{} is accumulated into before it starts", local.name);
    if (s.expr.valid() && kernel_.expr(s.expr).dtype != local.dtype)
      error("%{} accumulates {}, of another dtype", local.name, text(s.expr));
    if (started_in_loop_[s.local.index] < parallel_vector_depth_)
      error("%{} accumulates across a parallel loop", local.name);
    if (s.factor.valid()) factor(s, local);
    if (is_ordered(s.op, local.dtype) && unordered_vector_ > vector_of_[s.local.index])
      error("%{} sums floats across a vector loop that names no order", local.name);
  }

  void factor(const Accumulate& s, const Local& local) {
    expr(s.factor);
    if (kernel_.expr(s.factor).dtype != local.dtype)
      error("%{} accumulates products of {}, of another dtype", local.name, text(s.factor));
    if (s.op != AccumulateOp::kSum || !is_float(local.dtype))
      error("%{} is no sum of floats, so products cannot be fused into it", local.name);
  }

  void statement(const Store& s) {
    expr(s.expr);
    const Buffer& b = kernel_.buffer(s.buffer);
    if (b.role == BufferRole::kIn) error("store to {}, which is only read", b.name);
    if (s.expr.valid() && kernel_.expr(s.expr).dtype != b.dtype)
      error("{} stored to {} has another dtype", text(s.expr), b.name);
    access(s.buffer, s.index, s.dynamic, true);
    for (const VarId var : parallel_vars_) {
      if (b.role != BufferRole::kLocal && s.index.coefficient(var) == 0 && !s.dynamic.valid())
        error("the store to {} does not depend on the parallel variable {}", b.name,
              kernel_.vars[var.index]);
    }
  }

  /// Where a loop ends early.
  void limit(ExprId below) {
    if (!below.valid()) return;
    expr(below);
    if (!is_integer(kernel_.expr(below).dtype)) error("the end {} is no integer", text(below));
  }

  void statement(const std::unique_ptr<For>& s) {
    const bool parallel = s->kind == LoopKind::kParallel || s->kind == LoopKind::kParallelVector;
    const bool vector = s->kind == LoopKind::kVector || s->kind == LoopKind::kParallelVector;
    if (s->begin > s->end) error("loop {} runs backwards", kernel_.vars[s->var.index]);
    limit(s->below);
    const bool to_end =
        s->kind == LoopKind::kUnroll || s->sums == SumOrder::kLanes || s->begin != 0;
    if (s->below.valid() && to_end)
      error("loop {} ends early, but is unrolled, sums by lanes or does not begin at 0",
            kernel_.vars[s->var.index]);
    if (s->ahead && s->kind != LoopKind::kSerial)
      error("loop {} reads ahead, but is not serial", kernel_.vars[s->var.index]);
    if (bounds_.in_scope(s->var))
      error("loop variable {} is used twice", kernel_.vars[s->var.index]);
    if (vector && in_vector_)
      error("vector loop {} inside a vector loop", kernel_.vars[s->var.index]);
    if (s->begin >= s->end) return;
    bounds_.set_range(s->var, Interval{s->begin, s->end - 1});
    if (parallel) {
      parallel_vars_.push_back(s->var);
      ++parallel_vector_depth_;
    }
    if (s->sums == SumOrder::kLanes && s->kind != LoopKind::kVector)
      error("loop {} sums by lanes but is no vector loop", kernel_.vars[s->var.index]);
    if (s->sums == SumOrder::kGroups && vector)
      error("vector loop {} sums in groups", kernel_.vars[s->var.index]);
    const bool outer_vector = std::exchange(in_vector_, in_vector_ || vector);
    const int unordered = vector && s->sums != SumOrder::kLanes ? 1 : 0;
    unordered_vector_ += unordered;
    block(s->body, nested_parallel(*s) != nullptr);
    unordered_vector_ -= unordered;
    in_vector_ = outer_vector;
    if (parallel) {
      parallel_vars_.pop_back();
      --parallel_vector_depth_;
    }
    bounds_.set_range(s->var, std::nullopt);
  }

  void statement(const std::unique_ptr<If>& s) {
    expr(s->condition);
    const size_t before = bounds_.num_constraints();
    bounds_.assume(s->condition);
    block(s->body, false);
    bounds_.pop_constraints(before);
  }

  void product_types(const Contract& s) {
    const DType a = kernel_.expr(s.a).dtype, b = kernel_.expr(s.b).dtype;
    const DType acc = kernel_.locals[s.acc.index].dtype;
    if (a != b || !is_float(a))
      error("the operands of a contraction are {} and {}, not one float type", dtype_name(a),
            dtype_name(b));
    else if (acc != accumulator_dtype(a))
      error("products of {} are added in {}, acc is {}", dtype_name(a),
            dtype_name(accumulator_dtype(a)), dtype_name(acc));
  }

  void statement(const std::unique_ptr<Contract>& s) {
    const auto each = [&](const std::vector<ContractDim>& dims, bool open) {
      for (const ContractDim& dim : dims) {
        if (open && bounds_.in_scope(dim.var))
          error("loop variable {} is used twice", kernel_.vars[dim.var.index]);
        if (dim.extent < 1) error("dimension {} is empty", kernel_.vars[dim.var.index]);
        bounds_.set_range(dim.var,
                          open ? std::optional(Interval{0, dim.extent - 1}) : std::nullopt);
      }
    };
    if (in_vector_) error("a contraction inside a vector loop");
    if (s->m.empty() || s->n.empty() || s->k.empty())
      error("a contraction needs dimensions m, n and k");
    each(s->batch, true);
    if ((s->m_below.valid() && s->m.size() != 1) || (s->k_below.valid() && s->k.size() != 1))
      error("a contraction ends early in several dimensions");
    limit(s->m_below);
    limit(s->k_below);
    each(s->k, true);
    each(s->m, true);
    expr(s->a);
    each(s->m, false);
    each(s->n, true);
    expr(s->b);
    each(s->k, false);
    each(s->m, true);
    if (s->a.valid() && s->b.valid()) product_types(*s);
    for (const Stmt& stmt : s->epilogue) {
      if (!std::holds_alternative<Let>(stmt) && !std::holds_alternative<Store>(stmt))
        error("an epilogue holds more than let and store");
    }
    defined_[s->acc.index] = true;
    block(s->epilogue, false);
    defined_[s->acc.index] = false;
    each(s->m, false);
    each(s->n, false);
    each(s->batch, false);
  }

  const Kernel& kernel_;
  Bounds bounds_;
  int guard_depth_ = 0;  ///< guards around the expression being checked
  std::vector<bool> defined_;
  std::vector<int> started_in_loop_;
  std::vector<int> vector_of_;  ///< by local: unordered_vector_ where it was started
  std::vector<bool> let_seen_;
  std::vector<VarId> parallel_vars_;
  int parallel_vector_depth_ = 0;
  bool in_vector_ = false;
  int unordered_vector_ = 0;  ///< vector loops around that name no order of sums
  std::vector<Diagnostic> errors_;
};

}  // namespace

std::vector<Diagnostic> verify(const Kernel& kernel) {
  return Verifier(kernel).run();
}

}  // namespace gradc::kernel
