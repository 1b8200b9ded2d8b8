#include "codegen/llvm/loop_facts.h"

#include "support/check.h"

#include <memory>
#include <variant>

namespace gradc::cg {

using kernel::Block;
using kernel::ExprId;
using kernel::ExprKind;
using kernel::For;

namespace {

/// Two registers of results at once, if little else is done: their random words fill one.
constexpr int64_t kRandomCost = 8;

int64_t op_cost(const kernel::Expr& e) {
  if (e.kind == ExprKind::kRandom) return kRandomCost;
  return e.kind == ExprKind::kScalar ? scalar_op_cost(e.op) : 1;
}

class FactCollector {
 public:
  FactCollector(const std::vector<kernel::Expr>& exprs, const kernel::Kernel& kernel)
      : exprs_(exprs), kernel_(kernel) {}

  void visit(ExprId id) {
    if (!id.valid()) return;
    const kernel::Expr& e = exprs_[id.index];
    facts.cost += op_cost(e);
    if (e.dtype == DType::kF64) facts.has_double = true;
    if (e.kind == ExprKind::kLoad && e.args[0].valid()) facts.gathers = true;
    for (const ExprId arg : e.args)
      visit(arg);
  }

  void visit(const Block& block) {
    for (const kernel::Stmt& stmt : block) {
      if (const auto* let = std::get_if<kernel::Let>(&stmt)) {
        started.insert(let->local.index);
        visit(let->expr);
      } else if (const auto* acc = std::get_if<kernel::Accumulate>(&stmt)) {
        facts.accumulated[acc->local.index] = acc->op;
        visit(acc->expr);
        visit(acc->factor);
      } else if (const auto* store = std::get_if<kernel::Store>(&stmt)) {
        visit(store->expr);
        if (store->dynamic.valid()) facts.gathers = true;
        if (kernel_.buffer(store->buffer).dtype == DType::kF64) facts.has_double = true;
        visit(store->dynamic);
      } else if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt)) {
        visit((*loop)->body);
      } else if (const auto* branch = std::get_if<std::unique_ptr<kernel::If>>(&stmt)) {
        visit((*branch)->condition);
        visit((*branch)->body);
      }
    }
  }

  LoopFacts facts;
  std::set<uint32_t> started;

 private:
  const std::vector<kernel::Expr>& exprs_;
  const kernel::Kernel& kernel_;
};

}  // namespace

LoopFacts loop_facts(const kernel::Kernel& kernel, const std::vector<kernel::Expr>& exprs,
                     const Block& body) {
  FactCollector collector(exprs, kernel);
  collector.visit(body);
  for (const uint32_t local : collector.started)
    collector.facts.own_sums += static_cast<int64_t>(collector.facts.accumulated.erase(local));
  return std::move(collector.facts);
}

}  // namespace gradc::cg
