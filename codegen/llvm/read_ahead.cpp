#include "codegen/llvm/read_ahead.h"

#include <algorithm>
#include <memory>
#include <variant>

namespace gradc::cg {

using kernel::Affine;
using kernel::Block;
using kernel::ExprId;
using kernel::For;

namespace {

bool same(const Touch& a, const Touch& b) {
  Affine difference = a.index;
  difference.add(b.index, -1);
  return a.buffer == b.buffer && difference == Affine{};
}

bool holds(const std::vector<Touch>& list, const Touch& touch) {
  return std::any_of(list.begin(), list.end(), [&](const Touch& t) { return same(t, touch); });
}

/// The loop that holds no other, if there is one path to it.
const For* innermost(const For& loop) {
  const For* only = nullptr;
  for (const kernel::Stmt& stmt : loop.body) {
    const auto* inner = std::get_if<std::unique_ptr<For>>(&stmt);
    if (inner == nullptr) continue;
    if (only != nullptr) return nullptr;
    only = inner->get();
  }
  return only == nullptr ? &loop : innermost(*only);
}

class Loads {
 public:
  Loads(const kernel::Kernel& kernel, const std::vector<kernel::Expr>& exprs)
      : kernel_(kernel), exprs_(exprs) {}

  void visit(const Block& block) {
    for (const kernel::Stmt& stmt : block) {
      const auto* add = std::get_if<kernel::Accumulate>(&stmt);
      if (add == nullptr) continue;
      visit(add->expr);
      visit(add->factor);
    }
  }

  std::vector<Touch> found;

 private:
  void visit(ExprId id) {
    if (!id.valid()) return;
    const kernel::Expr& e = exprs_[id.index];
    const bool loads = e.kind == kernel::ExprKind::kLoad && !e.args[0].valid() &&
                       kernel_.buffer(e.buffer).role != kernel::BufferRole::kLocal;
    if (loads && !holds(found, {e.buffer, e.index})) found.push_back({e.buffer, e.index});
    for (const ExprId arg : e.args)
      visit(arg);
  }

  const kernel::Kernel& kernel_;
  const std::vector<kernel::Expr>& exprs_;
};

/// Those that are not in `list` when moved by so many of a loop's steps.
std::vector<Touch> without(const std::vector<Touch>& touches, const std::vector<Touch>& list,
                           kernel::VarId var, int64_t steps) {
  std::vector<Touch> left;
  for (const Touch& touch : touches) {
    Touch moved = touch;
    moved.index.offset += steps * touch.index.coefficient(var);
    if (!holds(list, moved)) left.push_back(touch);
  }
  return left;
}

}  // namespace

ReadAhead reads_ahead(const kernel::Kernel& kernel, const std::vector<kernel::Expr>& exprs,
                      const For& loop) {
  const For* inner = innermost(loop);
  if (inner == nullptr || inner == &loop) return {};
  Loads loads(kernel, exprs);
  loads.visit(inner->body);
  std::vector<Touch> next = without(loads.found, loads.found, loop.var, 1);
  next = without(next, next, inner->var, 1);
  for (Touch& touch : next)
    touch.index.offset += touch.index.coefficient(loop.var);
  return {inner->var, std::move(next)};
}

}  // namespace gradc::cg
