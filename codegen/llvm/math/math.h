// Vector mathematics as LLVM instructions: every function works on a float or on a vector of
// floats, lane by lane the same operations, so vector bodies, tails and scalars give the same bits.
// Each states its error bound (units in the last place, measured by math_test over the whole
// range). double goes to libm, lane by lane.
#pragma once

#include "codegen/llvm/types.h"
#include "ir/scalar_op.h"

namespace gradc::cg::math {

/// Instruction helpers over floats of one shape. FMA is explicit: fused where the target has it,
/// multiply and add where it does not.
class MathBuilder {
 public:
  MathBuilder(Builder& ir, bool has_fma) : ir_(ir), has_fma_(has_fma) {}
  Builder& ir() { return ir_; }

  /// The constant on all lanes of x's type (float or integer vectors).
  llvm::Value* like(llvm::Value* x, double value);
  llvm::Value* int_like(llvm::Value* x, int64_t value);
  llvm::Value* fma(llvm::Value* a, llvm::Value* b, llvm::Value* c);
  llvm::Value* fma(llvm::Value* a, double b, llvm::Value* c) { return fma(a, like(a, b), c); }
  llvm::Value* fma(llvm::Value* a, llvm::Value* b, double c) { return fma(a, b, like(a, c)); }
  /// Coefficients from the highest power down.
  llvm::Value* polynomial(llvm::Value* x, std::initializer_list<double> coefficients);
  llvm::Value* abs(llvm::Value* x);
  llvm::Value* sqrt(llvm::Value* x);
  llvm::Value* copysign(llvm::Value* magnitude, llvm::Value* sign);
  llvm::Value* mul(llvm::Value* a, llvm::Value* b) { return ir_.CreateFMul(a, b); }
  llvm::Value* mul(llvm::Value* a, double b) { return ir_.CreateFMul(a, like(a, b)); }
  llvm::Value* add(llvm::Value* a, llvm::Value* b) { return ir_.CreateFAdd(a, b); }
  llvm::Value* add(llvm::Value* a, double b) { return ir_.CreateFAdd(a, like(a, b)); }
  llvm::Value* sub(llvm::Value* a, llvm::Value* b) { return ir_.CreateFSub(a, b); }
  llvm::Value* div(llvm::Value* a, llvm::Value* b) { return ir_.CreateFDiv(a, b); }
  llvm::Value* select(llvm::Value* c, llvm::Value* a, llvm::Value* b) {
    return ir_.CreateSelect(c, a, b);
  }
  /// Nearest integer, halves to even, for |x| < 2^22; as a float.
  llvm::Value* round_small(llvm::Value* x);
  /// The bits of floats as integers of the same width and back.
  llvm::Value* bits(llvm::Value* x);
  llvm::Value* from_bits(llvm::Value* x);
  /// NaN where x is NaN, else value.
  llvm::Value* keep_nan(llvm::Value* x, llvm::Value* value);
  bool has_fma() const { return has_fma_; }

 private:
  Builder& ir_;
  bool has_fma_;
};

llvm::Value* exp(MathBuilder m, llvm::Value* x);
llvm::Value* expm1(MathBuilder m, llvm::Value* x);
llvm::Value* log(MathBuilder m, llvm::Value* x);
llvm::Value* log1p(MathBuilder m, llvm::Value* x);
llvm::Value* tanh(MathBuilder m, llvm::Value* x);
llvm::Value* erf(MathBuilder m, llvm::Value* x);
llvm::Value* erfc(MathBuilder m, llvm::Value* x);
llvm::Value* sigmoid(MathBuilder m, llvm::Value* x);
llvm::Value* sin(MathBuilder m, llvm::Value* x);
llvm::Value* cos(MathBuilder m, llvm::Value* x);
llvm::Value* pow(MathBuilder m, llvm::Value* x, llvm::Value* y);

/// The function on doubles: libm, lane by lane.
llvm::Value* libm(Builder& ir, const char* name, llvm::Value* x, llvm::Value* y = nullptr);

}  // namespace gradc::cg::math
