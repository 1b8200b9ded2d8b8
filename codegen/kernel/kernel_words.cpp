#include "codegen/kernel/kernel_words.h"

#include "support/check.h"

namespace gradc::kernel {

namespace {

DType implied_scalar(const Kernel& kernel, const Expr& expr) {
  if (expr.op == ScalarOp::kCast) return expr.dtype;
  if (expr.op == ScalarOp::kIsFinite || (expr.op >= ScalarOp::kEq && expr.op <= ScalarOp::kGe))
    return DType::kBool;
  return kernel.expr(expr.args[expr.op == ScalarOp::kSelect ? 1 : 0]).dtype;
}

}  // namespace

DType implied_dtype(const Kernel& kernel, const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::kConst:
    case ExprKind::kRandom:
      return DType::kF32;
    case ExprKind::kIndex:
      return DType::kI64;
    case ExprKind::kLoad:
      return kernel.buffer(expr.buffer).dtype;
    case ExprKind::kLocal:
      return kernel.locals[expr.local.index].dtype;
    case ExprKind::kScalar:
      return implied_scalar(kernel, expr);
    case ExprKind::kFloorDiv:
    case ExprKind::kFloorMod:
      return kernel.expr(expr.args[0]).dtype;
    case ExprKind::kGuard:
      return kernel.expr(expr.args[1]).dtype;
  }
  GRADC_UNREACHABLE();
}

}  // namespace gradc::kernel
