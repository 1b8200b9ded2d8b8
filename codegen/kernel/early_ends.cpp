#include "codegen/kernel/early_ends.h"

#include <algorithm>
#include <unordered_map>

namespace gradc::kernel {

namespace {

class EarlyEnds {
 public:
  EarlyEnds(Kernel& kernel, const InPlace& in_place)
      : kernel_(kernel), builder_(kernel), in_place_(in_place) {
    find_lets(kernel.body);
  }

  void end_sums(Block& block) {
    for (Stmt& stmt : block) {
      if (auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
        end_sums((*loop)->body);
        end_sum(**loop);
      } else if (auto* branch = std::get_if<std::unique_ptr<If>>(&stmt)) {
        end_sums((*branch)->body);
      } else if (auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt)) {
        end_sum(**contract);
      }
    }
  }

  void end_rows(const SpecifiedRows& rows) {
    if (kernel_.body.empty()) return;
    Stmt& last = kernel_.body.back();
    auto* loop = std::get_if<std::unique_ptr<For>>(&last);
    auto* contract = std::get_if<std::unique_ptr<Contract>>(&last);
    const bool parallel = loop != nullptr && ((*loop)->kind == LoopKind::kParallel ||
                                              (*loop)->kind == LoopKind::kParallelVector);
    if (parallel && (*loop)->begin == 0)
      end_loop(**loop, rows);
    else if (contract != nullptr && (*contract)->m.size() == 1)
      end_contract(**contract, rows);
  }

 private:
  // ---- what expressions are
  // ------------------------------------------------------------------------

  void find_lets(const Block& block) {
    for (const Stmt& stmt : block) {
      if (const auto* let = std::get_if<Let>(&stmt)) {
        if (!kernel_.locals[let->local.index].mutable_) lets_[let->local.index] = let->expr;
      } else if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
        find_lets((*loop)->body);
      } else if (const auto* branch = std::get_if<std::unique_ptr<If>>(&stmt)) {
        find_lets((*branch)->body);
      } else if (const auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt)) {
        find_lets((*contract)->epilogue);
      }
    }
  }

  /// The expression that a local stands for.
  ExprId resolved(ExprId id) const {
    while (kernel_.expr(id).kind == ExprKind::kLocal) {
      const auto let = lets_.find(kernel_.expr(id).local.index);
      if (let == lets_.end()) break;
      id = let->second;
    }
    return id;
  }

  /// An element of an argument, which is known before the kernel runs.
  bool is_count(ExprId id) const {
    const Expr& e = kernel_.expr(id);
    return e.kind == ExprKind::kLoad && is_integer(e.dtype) && e.index.is_constant() &&
           !e.args[0].valid() && kernel_.buffer(e.buffer).role == BufferRole::kIn;
  }

  bool same_count(ExprId a, ExprId b) const {
    const Expr& x = kernel_.expr(a);
    const Expr& y = kernel_.expr(b);
    return x.buffer == y.buffer && x.index == y.index;
  }

  /// `condition` is index < count, and the variable has the coefficient 1 in the index.
  struct Bound {
    ExprId count;
    Affine rest;  ///< of the index
  };
  std::optional<Bound> bound(ExprId condition, VarId var) const {
    const Expr& less = kernel_.expr(resolved(condition));
    if (less.kind != ExprKind::kScalar || less.op != ScalarOp::kLt) return std::nullopt;
    const Expr& index = kernel_.expr(resolved(less.args[0]));
    const ExprId count = resolved(less.args[1]);
    if (index.kind != ExprKind::kIndex || index.index.coefficient(var) != 1 || !is_count(count))
      return std::nullopt;
    Bound result{count, index.index};
    result.rest.add(Affine::variable(var), -1);
    return result;
  }

  bool is_choice(const Expr& e) const {
    return e.kind == ExprKind::kGuard || (e.kind == ExprKind::kScalar && e.op == ScalarOp::kSelect);
  }

  /// The bound of a choice between something and zero.
  std::optional<Bound> zero_from(ExprId id, VarId var) const {
    const Expr& e = kernel_.expr(resolved(id));
    if (!is_choice(e)) return std::nullopt;
    const Expr& otherwise = kernel_.expr(resolved(e.args[2]));
    if (otherwise.kind != ExprKind::kConst || otherwise.value != 0.0) return std::nullopt;
    return bound(e.args[0], var);
  }

  /// Takes out of an expression the choices that this bound decides.
  void choose(ExprId id, VarId var, const Bound& known) {
    if (!id.valid()) return;
    Expr& e = kernel_.exprs[id.index];
    if (e.kind == ExprKind::kLocal) {
      const auto let = lets_.find(e.local.index);
      if (let != lets_.end()) choose(let->second, var, known);
      return;
    }
    if (is_choice(e)) {
      const auto mine = bound(e.args[0], var);
      if (mine && same_count(mine->count, known.count) && mine->rest == known.rest) {
        const ExprId chosen = e.args[1];
        choose(chosen, var, known);
        const Expr value = kernel_.expr(chosen);
        kernel_.exprs[id.index] = value;
        return;
      }
    }
    const auto args = e.args;
    for (const ExprId arg : args)
      choose(arg, var, known);
  }

  void choose(const Block& block, VarId var, const Bound& known) {
    for (const Stmt& stmt : block) {
      if (const auto* let = std::get_if<Let>(&stmt)) {
        choose(let->expr, var, known);
      } else if (const auto* add = std::get_if<Accumulate>(&stmt)) {
        choose(add->expr, var, known);
        choose(add->factor, var, known);
      } else if (const auto* store = std::get_if<Store>(&stmt)) {
        choose(store->expr, var, known);
      } else if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
        choose((*loop)->body, var, known);
      } else if (const auto* branch = std::get_if<std::unique_ptr<If>>(&stmt)) {
        choose((*branch)->body, var, known);
      } else if (const auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt)) {
        choose((*contract)->a, var, known);
        choose((*contract)->b, var, known);
        choose((*contract)->epilogue, var, known);
      }
    }
  }

  ExprId count_less(const Bound& known) {
    if (known.rest == Affine{}) return known.count;
    const ExprId count = builder_.cast(known.count, DType::kI64);
    return builder_.scalar(ScalarOp::kSub, DType::kI64, count, builder_.index(known.rest));
  }

  // ---- sums
  // ----------------------------------------------------------------------------------------

  void end_sum(For& loop) {
    if (loop.kind != LoopKind::kSerial || loop.sums == SumOrder::kLanes || loop.begin != 0) return;
    std::optional<Bound> known;
    for (const Stmt& stmt : loop.body) {
      if (std::holds_alternative<Let>(stmt)) {
        if (kernel_.locals[std::get<Let>(stmt).local.index].mutable_) return;
        continue;
      }
      const auto* add = std::get_if<Accumulate>(&stmt);
      if (add == nullptr || add->op != AccumulateOp::kSum) return;
      const std::optional<Bound> mine = zero_from(add->expr, loop.var);
      if (!mine) return;
      if (known && (!same_count(known->count, mine->count) || !(known->rest == mine->rest))) return;
      known = mine;
    }
    if (!known) return;
    loop.below = count_less(*known);
    choose(loop.body, loop.var, *known);
  }

  void end_sum(Contract& contract) {
    const DType dtype = kernel_.expr(contract.a).dtype;
    // Pairs of short floats have one word.
    if (contract.k.size() != 1 || (dtype != DType::kF32 && dtype != DType::kF64)) return;
    const VarId var = contract.k[0].var;
    std::optional<Bound> known = zero_from(contract.a, var);
    if (!known) known = zero_from(contract.b, var);
    if (!known) return;
    for (const auto& term : known->rest.terms) {
      const bool outer = std::any_of(contract.batch.begin(), contract.batch.end(),
                                     [&](const ContractDim& dim) { return dim.var == term.first; });
      if (!outer) return;
    }
    contract.k_below = count_less(*known);
    choose(contract.a, var, *known);
    choose(contract.b, var, *known);
    if (contract.m.size() != 1 || contract.m_below.valid() || !only_adds(contract)) return;
    const ExprId zero = builder_.constant(0.0, DType::kI64);
    const ExprId any = builder_.scalar(ScalarOp::kLt, DType::kBool, zero,
                                       builder_.cast(contract.k_below, DType::kI64));
    const ExprId all = builder_.constant(static_cast<double>(contract.m[0].extent), DType::kI64);
    contract.m_below = builder_.scalar(ScalarOp::kSelect, DType::kI64, any, all, zero);
  }

  /// Whether the sum is only added to what the result is written over.
  bool only_adds(const Contract& contract) const {
    for (const Stmt& stmt : contract.epilogue) {
      if (std::holds_alternative<Let>(stmt)) continue;
      const auto* store = std::get_if<Store>(&stmt);
      if (store == nullptr || store->dynamic.valid()) return false;
      const Expr& sum = kernel_.expr(resolved(store->expr));
      if (sum.kind != ExprKind::kScalar || sum.op != ScalarOp::kAdd) return false;
      const Expr& a = kernel_.expr(resolved(sum.args[0]));
      const Expr& b = kernel_.expr(resolved(sum.args[1]));
      const bool first = is_sum_of(contract, a) && is_place_of(*store, b);
      if (!first && !(is_sum_of(contract, b) && is_place_of(*store, a))) return false;
    }
    return !contract.epilogue.empty();
  }

  static bool is_sum_of(const Contract& contract, const Expr& e) {
    return e.kind == ExprKind::kLocal && e.local == contract.acc;
  }

  bool is_place_of(const Store& store, const Expr& e) const {
    return e.kind == ExprKind::kLoad && !e.args[0].valid() && e.index == store.index &&
           std::find(in_place_.begin(), in_place_.end(), std::pair(store.buffer, e.buffer)) !=
               in_place_.end();
  }

  // ---- rows
  // ----------------------------------------------------------------------------------------

  bool find_stores(const Block& block, std::vector<const Store*>& stores) {
    for (const Stmt& stmt : block) {
      if (const auto* store = std::get_if<Store>(&stmt)) {
        if (kernel_.buffer(store->buffer).role != BufferRole::kLocal) stores.push_back(store);
      } else if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
        if (!find_stores((*loop)->body, stores)) return false;
      } else if (!std::holds_alternative<Let>(stmt) && !std::holds_alternative<Accumulate>(stmt)) {
        return false;
      }
    }
    return true;
  }

  /// How many rows one step of `var` goes on by, the same for all stores; every store of a step is
  /// at or behind its first row. 0 where that is not so.
  int64_t rows_of_step(const Block& block, VarId var, const SpecifiedRows& rows) {
    std::vector<const Store*> stores;
    if (!find_stores(block, stores) || stores.empty()) return 0;
    int64_t step = 0;
    for (const Store* store : stores) {
      const int64_t width = rows.widths[store->buffer.index];
      const int64_t elements = store->index.coefficient(var);
      const bool behind = std::all_of(store->index.terms.begin(), store->index.terms.end(),
                                      [](const auto& term) { return term.second >= 0; });
      if (width == 0 || elements <= 0 || elements % width != 0 || store->dynamic.valid() ||
          !behind || store->index.offset < 0)
        return 0;
      if (step != 0 && step != elements / width) return 0;
      step = elements / width;
    }
    return step;
  }

  ExprId load_count(const SpecifiedRows& rows) { return builder_.load(rows.count, {}); }

  void end_loop(For& loop, const SpecifiedRows& rows) {
    const int64_t step = rows_of_step(loop.body, loop.var, rows);
    if (step == 0) return elements(loop, rows);
    ExprId count = load_count(rows);
    if (step == 1) choose(loop.body, loop.var, {count, {}});
    if (step > 1) count = rounded_up(count, step);
    loop.below = count;
  }

  ExprId rounded_up(ExprId count, int64_t step) {
    count = builder_.cast(count, DType::kI64);
    const ExprId more = builder_.constant(static_cast<double>(step - 1), DType::kI64);
    count = builder_.scalar(ScalarOp::kAdd, DType::kI64, count, more);
    return builder_.floor_div(count, step);
  }

  /// A loop over single elements of rows.
  void elements(For& loop, const SpecifiedRows& rows) {
    std::vector<const Store*> stores;
    if (!find_stores(loop.body, stores) || stores.empty()) return;
    const int64_t width = rows.widths[stores[0]->buffer.index];
    for (const Store* store : stores) {
      const bool plain = store->index == Affine::variable(loop.var) && !store->dynamic.valid();
      if (!plain || rows.widths[store->buffer.index] != width || width == 0) return;
    }
    const ExprId count = builder_.cast(load_count(rows), DType::kI64);
    loop.below = builder_.scalar(ScalarOp::kMul, DType::kI64, count,
                                 builder_.constant(static_cast<double>(width), DType::kI64));
  }

  void end_contract(Contract& contract, const SpecifiedRows& rows) {
    const VarId var = contract.m[0].var;
    if (rows_of_step(contract.epilogue, var, rows) != 1) return;
    contract.m_below = load_count(rows);
    const Bound known{contract.m_below, {}};
    choose(contract.a, var, known);
    choose(contract.epilogue, var, known);
  }

  Kernel& kernel_;
  KernelBuilder builder_;
  const InPlace& in_place_;
  std::unordered_map<size_t, ExprId> lets_;
};

}  // namespace

void end_early(Kernel& kernel, const std::optional<SpecifiedRows>& rows, const InPlace& in_place) {
  EarlyEnds ends(kernel, in_place);
  if (rows) ends.end_rows(*rows);
  ends.end_sums(kernel.body);
}

}  // namespace gradc::kernel
