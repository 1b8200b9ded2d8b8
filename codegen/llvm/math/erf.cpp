// erf and erfc on floats. erf: an odd polynomial below 475/512, 1 - e^q(x) above it (coefficients
// after N. Juffa's public-domain erff). erfc: 1 - erf below 1/2, above it t P(t) e^-x^2 with
// t = 1 / (1 + 0.4 |x|) and P a minimax polynomial of this project on [0, 10.2].
#include "codegen/llvm/math/math.h"

namespace gradc::cg::math {

namespace {

/// erf for |x| below 475/512; s is x^2.
llvm::Value* small_erf(MathBuilder m, llvm::Value* x, llvm::Value* s) {
  llvm::Value* p = m.polynomial(s, {-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1,
                                    -3.76125336e-1, 1.28379166e-1});
  return m.fma(p, x, x);
}

/// e^-(a^2) with the rounding of a^2 made good: e^-s (1 - (a^2 - s)). Without FMA s is the square
/// of a's upper half, which is exact, and the rest no longer tiny.
llvm::Value* exp_of_square(MathBuilder m, llvm::Value* a) {
  if (m.has_fma()) {
    llvm::Value* s = m.mul(a, a);
    llvm::Value* e = exp(m, m.ir().CreateFNeg(s));
    llvm::Value* rest = m.fma(a, a, m.ir().CreateFNeg(s));
    return m.fma(m.ir().CreateFNeg(e), rest, e);
  }
  constexpr int64_t kUpperHalf = ~int64_t{0xFFF};
  llvm::Value* high = m.from_bits(m.ir().CreateAnd(m.bits(a), m.int_like(m.bits(a), kUpperHalf)));
  llvm::Value* rest = m.mul(m.sub(a, high), m.add(a, high));
  llvm::Value* e = exp(m, m.ir().CreateFNeg(m.mul(high, high)));
  return m.mul(e, exp(m, m.ir().CreateFNeg(rest)));
}

}  // namespace

/// The error function within 2 ULP.
llvm::Value* erf(MathBuilder m, llvm::Value* x) {
  llvm::Value* t = m.abs(x);
  llvm::Value* small = small_erf(m, x, m.mul(x, x));

  llvm::Value* held = m.select(m.ir().CreateFCmpOLT(t, m.like(x, 4.5)), t, m.like(x, 4.5));
  llvm::Value* high = m.fma(held, -1.72853470e-5, m.like(x, 3.83197126e-4));
  llvm::Value* low = m.fma(held, -3.88396438e-3, m.like(x, 2.42546219e-2));
  llvm::Value* q = m.fma(high, m.mul(held, held), low);
  q = m.fma(q, held, -1.06777877e-1);
  q = m.fma(q, held, -6.34846687e-1);
  q = m.fma(q, held, -1.28717512e-1);
  q = m.fma(q, held, m.ir().CreateFNeg(held));
  llvm::Value* large = m.copysign(m.sub(m.like(x, 1.0), exp(m, q)), x);

  llvm::Value* above = m.ir().CreateFCmpOGT(t, m.like(x, 0.927734375));
  return m.keep_nan(x, m.select(above, large, small));
}

/// 1 - erf(x) within 6 ULP, also far out where it is tiny.
llvm::Value* erfc(MathBuilder m, llvm::Value* x) {
  llvm::Value* magnitude = m.abs(x);
  llvm::Value* limit = m.like(x, 10.1);  // where the result is long below the least denormal
  llvm::Value* a = m.select(m.ir().CreateFCmpOLT(magnitude, limit), magnitude, limit);
  llvm::Value* small = m.sub(m.like(x, 1.0), small_erf(m, x, m.mul(x, x)));

  llvm::Value* t = m.div(m.like(x, 1.0), m.fma(a, 0.4, m.like(x, 1.0)));
  llvm::Value* p = m.polynomial(
      m.add(t, -0.5), {-0.0292061426, 0.0644770514, 0.026910545, -0.122994223, -0.107792547,
                       0.181509192, 0.548014829, 0.726262611, 0.643721385, 0.421612728});
  llvm::Value* tail = m.mul(m.mul(t, p), exp_of_square(m, a));

  llvm::Value* negative = m.ir().CreateFCmpOLT(x, m.like(x, 0.0));
  llvm::Value* large = m.select(negative, m.sub(m.like(x, 2.0), tail), tail);
  llvm::Value* above = m.ir().CreateFCmpOGT(magnitude, m.like(x, 0.5));
  return m.keep_nan(x, m.select(above, large, small));
}

}  // namespace gradc::cg::math
