#include "codegen/kernel/kernel.h"

#include "ir/element.h"
#include "support/check.h"

#include <algorithm>

namespace gradc::kernel {

int64_t Affine::coefficient(VarId var) const {
  for (const auto& [v, c] : terms) {
    if (v == var) return c;
  }
  return 0;
}

Affine& Affine::add(const Affine& other, int64_t scale) {
  offset += other.offset * scale;
  for (const auto& [var, coefficient] : other.terms) {
    const auto it =
        std::find_if(terms.begin(), terms.end(), [v = var](const auto& t) { return t.first == v; });
    if (it == terms.end()) {
      if (coefficient * scale != 0) terms.emplace_back(var, coefficient * scale);
    } else if ((it->second += coefficient * scale) == 0) {
      terms.erase(it);
    }
  }
  return *this;
}

const For* nested_parallel(const For& loop) {
  if (loop.kind != LoopKind::kParallel || loop.body.size() != 1) return nullptr;
  const auto* inner = std::get_if<std::unique_ptr<For>>(&loop.body[0]);
  return inner != nullptr && (*inner)->kind == LoopKind::kParallel ? inner->get() : nullptr;
}

size_t Kernel::num_arguments() const {
  return static_cast<size_t>(std::count_if(buffers.begin(), buffers.end(), [](const Buffer& b) {
    return b.role != BufferRole::kLocal;
  }));
}

bool Kernel::is_parallel() const {
  return std::any_of(body.begin(), body.end(), [](const Stmt& stmt) {
    if (const auto* loop = std::get_if<std::unique_ptr<For>>(&stmt))
      return (*loop)->kind == LoopKind::kParallel || (*loop)->kind == LoopKind::kParallelVector;
    if (const auto* contract = std::get_if<std::unique_ptr<Contract>>(&stmt))
      return (*contract)->parallel;
    return false;
  });
}

BufferId KernelBuilder::buffer(std::string name, DType dtype, const Shape& shape, BufferRole role) {
  kernel_.buffers.push_back({std::move(name), dtype, shape, role, false, dtype_bytes(dtype)});
  return BufferId(kernel_.buffers.size() - 1);
}

VarId KernelBuilder::var(std::string name) {
  kernel_.vars.push_back(std::move(name));
  return VarId(kernel_.vars.size() - 1);
}

LocalId KernelBuilder::local(std::string name, DType dtype, bool is_mutable) {
  kernel_.locals.push_back({std::move(name), dtype, is_mutable});
  return LocalId(kernel_.locals.size() - 1);
}

ExprId KernelBuilder::add(Expr expr) {
  kernel_.exprs.push_back(std::move(expr));
  return ExprId(kernel_.exprs.size() - 1);
}

ExprId KernelBuilder::constant(double value, DType dtype) {
  Expr e;
  e.kind = ExprKind::kConst;
  e.dtype = dtype;
  e.value = as_constant(value, dtype);
  return add(std::move(e));
}

ExprId KernelBuilder::index(Affine affine, DType dtype) {
  Expr e;
  e.kind = ExprKind::kIndex;
  e.dtype = dtype;
  e.index = std::move(affine);
  return add(std::move(e));
}

ExprId KernelBuilder::load(BufferId buffer, Affine index, ExprId dynamic) {
  Expr e;
  e.kind = ExprKind::kLoad;
  e.dtype = kernel_.buffer(buffer).dtype;
  e.buffer = buffer;
  e.index = std::move(index);
  e.args[0] = dynamic;
  return add(std::move(e));
}

ExprId KernelBuilder::read(LocalId local) {
  Expr e;
  e.kind = ExprKind::kLocal;
  e.dtype = kernel_.locals[local.index].dtype;
  e.local = local;
  return add(std::move(e));
}

ExprId KernelBuilder::scalar(ScalarOp op, DType dtype, ExprId a, ExprId b, ExprId c) {
  GRADC_CHECK(scalar_op_arity(op) == 1 + b.valid() + c.valid(),
              "{} with the wrong number of operands", scalar_op_name(op));
  Expr e;
  e.kind = ExprKind::kScalar;
  e.dtype = dtype;
  e.op = op;
  e.args = {a, b, c};
  return add(std::move(e));
}

ExprId KernelBuilder::cast(ExprId x, DType dtype) {
  if (at(x).dtype == dtype) return x;
  const ExprId narrow = before_widening(x, dtype);
  return narrow.valid() ? narrow : scalar(ScalarOp::kCast, dtype, x);
}

/// What was widened from `dtype` to give x, also inside a choice between it and a number.
ExprId KernelBuilder::before_widening(ExprId x, DType dtype) {
  const Expr e = at(x);
  if (!is_float(e.dtype) || !holds_every_value(e.dtype, dtype)) return {};
  if (e.kind == ExprKind::kScalar && e.op == ScalarOp::kCast)
    return at(e.args[0]).dtype == dtype ? e.args[0] : ExprId();
  const bool choice =
      e.kind == ExprKind::kGuard || (e.kind == ExprKind::kScalar && e.op == ScalarOp::kSelect);
  if (!choice || at(e.args[2]).kind != ExprKind::kConst) return {};
  const ExprId chosen = before_widening(e.args[1], dtype);
  if (!chosen.valid()) return {};
  const ExprId otherwise = constant(at(e.args[2]).value, dtype);
  if (e.kind == ExprKind::kGuard) return guard(e.args[0], chosen, otherwise);
  return scalar(ScalarOp::kSelect, dtype, e.args[0], chosen, otherwise);
}

ExprId KernelBuilder::floor_div(ExprId x, int64_t divisor) {
  Expr e;
  e.kind = ExprKind::kFloorDiv;
  e.dtype = at(x).dtype;
  e.args[0] = x;
  e.imm = divisor;
  return add(std::move(e));
}

ExprId KernelBuilder::floor_mod(ExprId x, int64_t divisor) {
  Expr e;
  e.kind = ExprKind::kFloorMod;
  e.dtype = at(x).dtype;
  e.args[0] = x;
  e.imm = divisor;
  return add(std::move(e));
}

ExprId KernelBuilder::guard(ExprId condition, ExprId then, ExprId otherwise) {
  Expr e;
  e.kind = ExprKind::kGuard;
  e.dtype = at(then).dtype;
  e.args = {condition, then, otherwise};
  return add(std::move(e));
}

ExprId KernelBuilder::random(ExprId seed, ExprId iteration, ExprId element, ExprId stream) {
  Expr e;
  e.kind = ExprKind::kRandom;
  e.dtype = DType::kF32;
  e.args = {seed, iteration, element, stream};
  return add(std::move(e));
}

}  // namespace gradc::kernel
