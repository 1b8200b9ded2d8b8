// log and log1p on floats: x = 2^e m with m in [sqrt(1/2), sqrt(2)), a polynomial in m - 1
// (coefficients of Cephes' logf, S. L. Moshier).
#include "codegen/llvm/math/math.h"

#include <limits>

namespace gradc::cg::math {

namespace {

constexpr int64_t kSqrtHalfBits = 0x3F3504F3;
constexpr double kLn2High = 0.693359375;
constexpr double kLn2Low = -2.12194440054690583e-4;

/// log(x) + correction for positive finite x, denormals included.
llvm::Value* log_positive(MathBuilder m, llvm::Value* x, llvm::Value* correction) {
  Builder& ir = m.ir();
  llvm::Value* denormal = ir.CreateFCmpOLT(x, m.like(x, 0x1p-126));
  llvm::Value* scaled = m.select(denormal, m.mul(x, 0x1p23), x);
  llvm::Value* bits = m.bits(scaled);
  llvm::Value* base = m.int_like(x, kSqrtHalfBits);
  llvm::Value* shifted = ir.CreateSub(bits, base);
  llvm::Value* exponent = ir.CreateAShr(shifted, m.int_like(x, 23));
  exponent = ir.CreateSub(exponent, m.select(denormal, m.int_like(x, 23), m.int_like(x, 0)));
  llvm::Value* mantissa = ir.CreateAdd(ir.CreateAnd(shifted, m.int_like(x, 0x7FFFFF)), base);
  llvm::Value* f = m.add(m.from_bits(mantissa), -1.0);
  llvm::Value* e = ir.CreateSIToFP(exponent, x->getType());
  llvm::Value* z = m.mul(f, f);
  llvm::Value* y = m.polynomial(
      f, {7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
          -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1});
  y = m.mul(m.mul(y, f), z);
  y = m.fma(e, kLn2Low, y);
  y = m.fma(z, -0.5, y);
  if (correction != nullptr) y = m.add(y, correction);
  return m.fma(e, kLn2High, m.add(f, y));
}

/// The value at x = 0, +inf and negative x, where `at` is the argument of the logarithm.
llvm::Value* special_cases(MathBuilder m, llvm::Value* at, llvm::Value* value) {
  Builder& ir = m.ir();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  llvm::Value* zero = m.like(at, 0.0);
  value = m.select(ir.CreateFCmpOEQ(at, zero), m.like(at, -kInfinity), value);
  value = m.select(ir.CreateFCmpOEQ(at, m.like(at, kInfinity)), at, value);
  llvm::Value* nan = llvm::ConstantFP::getNaN(at->getType());
  value = m.select(ir.CreateFCmpOLT(at, zero), nan, value);
  return m.keep_nan(at, value);
}

}  // namespace

/// The natural logarithm within 2 ULP.
llvm::Value* log(MathBuilder m, llvm::Value* x) {
  return special_cases(m, x, log_positive(m, x, nullptr));
}

/// log(1 + x) within 3 ULP: log(u) + (x - (u - 1)) / u with u = 1 + x rounded.
llvm::Value* log1p(MathBuilder m, llvm::Value* x) {
  Builder& ir = m.ir();
  llvm::Value* one = m.like(x, 1.0);
  llvm::Value* u = m.add(x, 1.0);
  llvm::Value* lost =
      m.select(ir.CreateFCmpOLT(x, one), m.sub(x, m.sub(u, one)), m.sub(one, m.sub(u, x)));
  llvm::Value* value = special_cases(m, u, log_positive(m, u, m.div(lost, u)));
  llvm::Value* tiny = ir.CreateFCmpOLT(m.abs(x), m.like(x, 0x1p-25));
  return m.select(tiny, x, value);
}

}  // namespace gradc::cg::math
