// exp, expm1, sigmoid, tanh on floats: reduction by multiples of ln 2, a polynomial on
// [-ln2/2, ln2/2] (coefficients of Cephes' expf, S. L. Moshier), scaling by a power of two in two
// steps so that results run smoothly into denormals and infinity.
#include "codegen/llvm/math/math.h"

namespace gradc::cg::math {

namespace {

constexpr double kLog2E = 1.44269504088896341;
constexpr double kLn2High = 0.693359375;  // ten bits: n * kLn2High is exact
constexpr double kLn2Low = -2.12194440054690583e-4;

struct Reduced {
  llvm::Value* n;  ///< as a float, integral
  llvm::Value* r;
};

/// x = n ln2 + r, |r| <= ln2/2.
Reduced reduce(MathBuilder m, llvm::Value* x) {
  llvm::Value* n = m.round_small(m.mul(x, kLog2E));
  llvm::Value* r = m.fma(n, -kLn2High, x);
  return {n, m.fma(n, -kLn2Low, r)};
}

/// (e^r - 1 - r) / r^2 on the reduced range.
llvm::Value* tail(MathBuilder m, llvm::Value* r) {
  return m.polynomial(r, {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
                          1.6666665459e-1, 5.0000001201e-1});
}

/// 2^n for an integer vector n in [-126, 127].
llvm::Value* power_of_two(MathBuilder m, llvm::Value* n) {
  llvm::Value* biased = m.ir().CreateAdd(n, llvm::ConstantInt::get(n->getType(), 127));
  return m.from_bits(m.ir().CreateShl(biased, llvm::ConstantInt::get(n->getType(), 23)));
}

llvm::Value* to_int(MathBuilder m, llvm::Value* n) {
  return m.ir().CreateFPToSI(n, with_lanes(m.ir().getInt32Ty(), lanes_of(n)));
}

/// x held to [low, high]; NaN becomes low.
llvm::Value* hold(MathBuilder m, llvm::Value* x, double low, double high) {
  llvm::Value* lo = m.like(x, low);
  llvm::Value* hi = m.like(x, high);
  x = m.select(m.ir().CreateFCmpOGT(x, lo), x, lo);
  return m.select(m.ir().CreateFCmpOLT(x, hi), x, hi);
}

/// 2 * (2^(n-1) p + 2^(n-1) - 1/2) = 2^n (p + 1) - 1, without overflow before the last step.
llvm::Value* expm1_held(MathBuilder m, llvm::Value* x) {
  const Reduced red = reduce(m, x);
  llvm::Value* p = m.fma(m.mul(red.r, red.r), tail(m, red.r), red.r);
  llvm::Value* n = to_int(m, red.n);
  llvm::Value* half = power_of_two(m, m.ir().CreateSub(n, llvm::ConstantInt::get(n->getType(), 1)));
  llvm::Value* sum = m.fma(half, p, m.add(half, -0.5));
  return m.add(sum, sum);
}

}  // namespace

/// e^x within 1 ULP (2 where the result is denormal).
llvm::Value* exp(MathBuilder m, llvm::Value* x) {
  Builder& ir = m.ir();
  const Reduced red = reduce(m, hold(m, x, -104.5, 89.0));
  llvm::Value* p = m.fma(m.mul(red.r, red.r), tail(m, red.r), red.r);
  p = m.add(p, 1.0);
  llvm::Value* n = to_int(m, red.n);
  llvm::Value* n1 = ir.CreateAShr(n, llvm::ConstantInt::get(n->getType(), 1));
  llvm::Value* scaled = m.mul(m.mul(p, power_of_two(m, n1)), power_of_two(m, ir.CreateSub(n, n1)));
  return m.keep_nan(x, scaled);
}

/// e^x - 1 within 3 ULP.
llvm::Value* expm1(MathBuilder m, llvm::Value* x) {
  llvm::Value* value = expm1_held(m, hold(m, x, -25.0, 89.0));
  // Zero keeps its sign, and tiny arguments their value.
  llvm::Value* tiny = m.ir().CreateFCmpOLT(m.abs(x), m.like(x, 0x1p-25));
  return m.keep_nan(x, m.select(tiny, x, value));
}

/// 1 / (1 + e^-x) within 3 ULP, denormal for very negative x.
llvm::Value* sigmoid(MathBuilder m, llvm::Value* x) {
  llvm::Value* e = exp(m, m.ir().CreateFNeg(m.abs(x)));
  llvm::Value* positive = m.ir().CreateFCmpOGE(x, m.like(x, 0.0));
  llvm::Value* numerator = m.select(positive, m.like(x, 1.0), e);
  return m.div(numerator, m.add(e, 1.0));
}

/// tanh x = t / (t + 2) with t = e^2|x| - 1, within 4 ULP.
llvm::Value* tanh(MathBuilder m, llvm::Value* x) {
  llvm::Value* magnitude = m.abs(x);
  llvm::Value* twice = hold(m, m.add(magnitude, magnitude), 0.0, 20.0);
  llvm::Value* t = expm1_held(m, twice);
  llvm::Value* value = m.div(t, m.add(t, 2.0));
  llvm::Value* tiny = m.ir().CreateFCmpOLT(magnitude, m.like(x, 0x1p-13));
  value = m.copysign(m.select(tiny, magnitude, value), x);
  return m.keep_nan(x, value);
}

}  // namespace gradc::cg::math
