// pow on floats: 2^(y log2|x|) in double, whose 29 spare bits make up for the magnification of the
// logarithm's error by y. IEEE 754's special cases (pow(x, 0) = pow(1, y) = 1, signs by odd y).
#include "codegen/llvm/math/math.h"

#include <limits>

namespace gradc::cg::math {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLn2 = 0.693147180559945309417;

/// log2 of positive finite doubles.
llvm::Value* log2_double(MathBuilder m, llvm::Value* x) {
  Builder& ir = m.ir();
  llvm::Value* base = m.int_like(x, 0x3FE6A09E667F3BCD);  // sqrt(1/2)
  llvm::Value* shifted = ir.CreateSub(m.bits(x), base);
  llvm::Value* exponent = ir.CreateAShr(shifted, m.int_like(x, 52));
  llvm::Value* mantissa = ir.CreateAdd(ir.CreateAnd(shifted, m.int_like(x, 0xFFFFFFFFFFFFF)), base);
  llvm::Value* f = m.from_bits(mantissa);
  llvm::Value* s = m.div(m.add(f, -1.0), m.add(f, 1.0));
  llvm::Value* z = m.mul(s, s);
  llvm::Value* p =
      m.polynomial(z, {1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0});
  llvm::Type* narrow = with_lanes(ir.getInt32Ty(), lanes_of(x));
  llvm::Value* e = ir.CreateSIToFP(ir.CreateTrunc(exponent, narrow), x->getType());
  return m.fma(m.mul(p, s), 2.0 / kLn2, e);
}

/// 2^x for doubles in [-1000, 1000].
llvm::Value* exp2_double(MathBuilder m, llvm::Value* x) {
  Builder& ir = m.ir();
  llvm::Value* shift = m.like(x, 0x1.8p52);
  llvm::Value* shifted = ir.CreateFAdd(x, shift);
  llvm::Value* r = m.mul(m.sub(x, m.sub(shifted, shift)), kLn2);
  llvm::Value* p =
      m.polynomial(r, {1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
                       1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0});
  llvm::Value* n = ir.CreateShl(m.bits(shifted), m.int_like(x, 52));
  return m.from_bits(ir.CreateAdd(m.bits(p), n));
}

struct Parity {
  llvm::Value* integral;
  llvm::Value* odd;
};

Parity parity_of(MathBuilder m, llvm::Value* y) {
  Builder& ir = m.ir();
  llvm::Value* huge = ir.CreateFCmpOGE(m.abs(y), m.like(y, 0x1p24));
  llvm::Value* held = m.select(huge, m.like(y, 0.0), y);
  held = m.select(ir.CreateFCmpUNO(y, y), m.like(y, 0.0), held);
  llvm::Value* integer = ir.CreateFPToSI(held, with_lanes(ir.getInt32Ty(), lanes_of(y)));
  llvm::Value* same = ir.CreateFCmpOEQ(ir.CreateSIToFP(integer, y->getType()), y);
  llvm::Value* one = m.int_like(y, 1);
  llvm::Value* odd = ir.CreateICmpEQ(ir.CreateAnd(integer, one), one);
  return {ir.CreateOr(huge, same), ir.CreateAnd(same, odd)};
}

}  // namespace

/// x^y within 1 ULP.
llvm::Value* pow(MathBuilder m, llvm::Value* x, llvm::Value* y) {
  Builder& ir = m.ir();
  llvm::Type* wide = with_lanes(ir.getDoubleTy(), lanes_of(x));
  llvm::Value* magnitude = ir.CreateFPExt(m.abs(x), wide);
  llvm::Value* zero = m.like(magnitude, 0.0);
  llvm::Value* logarithm = log2_double(m, magnitude);
  logarithm = m.select(ir.CreateFCmpOEQ(magnitude, zero), m.like(magnitude, -kInfinity), logarithm);
  logarithm =
      m.select(ir.CreateFCmpOEQ(magnitude, m.like(magnitude, kInfinity)), magnitude, logarithm);
  llvm::Value* product = m.mul(logarithm, ir.CreateFPExt(y, wide));
  llvm::Value* nan = ir.CreateFCmpUNO(product, product);
  llvm::Value* low = m.like(product, -1000.0);
  llvm::Value* high = m.like(product, 1000.0);
  llvm::Value* held = m.select(ir.CreateFCmpOGT(product, low), product, low);
  held = m.select(ir.CreateFCmpOLT(held, high), held, high);
  llvm::Value* value = ir.CreateFPTrunc(exp2_double(m, held), x->getType());
  llvm::Value* not_a_number = llvm::ConstantFP::getNaN(x->getType());
  value = m.select(nan, not_a_number, value);

  const Parity parity = parity_of(m, y);
  llvm::Value* one = m.like(x, 1.0);
  llvm::Value* negative = ir.CreateICmpSLT(m.bits(x), m.int_like(x, 0));
  value = m.select(ir.CreateAnd(negative, parity.odd), ir.CreateFNeg(value), value);
  llvm::Value* finite_negative = ir.CreateAnd(ir.CreateFCmpOLT(x, m.like(x, 0.0)),
                                              ir.CreateFCmpONE(m.abs(x), m.like(x, kInfinity)));
  value =
      m.select(ir.CreateAnd(finite_negative, ir.CreateNot(parity.integral)), not_a_number, value);
  value = m.select(ir.CreateFCmpUNO(x, x), x, m.keep_nan(y, value));
  // |x| = 1 with infinite y, then the two identities that hold even for NaN.
  llvm::Value* unit = ir.CreateAnd(ir.CreateFCmpOEQ(m.abs(x), one),
                                   ir.CreateFCmpOEQ(m.abs(y), m.like(y, kInfinity)));
  llvm::Value* identity =
      ir.CreateOr(ir.CreateFCmpOEQ(y, m.like(y, 0.0)), ir.CreateFCmpOEQ(x, one));
  return m.select(ir.CreateOr(unit, identity), one, value);
}

}  // namespace gradc::cg::math
