// erf on floats: an odd polynomial below 475/512, 1 - e^q(x) above it (coefficients after N.
// Juffa's public-domain erff).
#include "codegen/llvm/math/math.h"

namespace gradc::cg::math {

/// The error function within 2 ULP.
llvm::Value* erf(MathBuilder m, llvm::Value* x) {
  llvm::Value* t = m.abs(x);
  llvm::Value* s = m.mul(x, x);
  llvm::Value* small = m.polynomial(s, {-5.96761703e-4, 4.99119423e-3, -2.67681349e-2,
                                        1.12819925e-1, -3.76125336e-1, 1.28379166e-1});
  small = m.fma(small, x, x);

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

}  // namespace gradc::cg::math
