// Elementwise kernels through the JIT against plain C++.
#include "tests/unit/codegen/jit_support.h"

#include <cmath>

namespace gradc {
namespace {

using namespace kernel;
using test::Compiled;

Kernel axpy_kernel(int64_t n, LoopKind kind) {
  Kernel k;
  k.name = "axpy";
  KernelBuilder b(k);
  const BufferId x = b.buffer("x", DType::kF32, Shape{n}, BufferRole::kIn);
  const BufferId y = b.buffer("y", DType::kF32, Shape{n}, BufferRole::kInOut);
  const VarId i = b.var("i");
  auto loop = std::make_unique<For>();
  loop->var = i;
  loop->end = n;
  loop->kind = kind;
  const Affine at = Affine::variable(i);
  const ExprId scaled = b.scalar(ScalarOp::kMul, DType::kF32, b.constant(2.5), b.load(x, at));
  loop->body.push_back(
      Store{y, at, {}, b.scalar(ScalarOp::kAdd, DType::kF32, scaled, b.load(y, at))});
  k.body.push_back(std::move(loop));
  return k;
}

TEST(EmitElementwise, AxpyOfEverySizeWritesNoFurther) {
  for (const LoopKind kind : {LoopKind::kSerial, LoopKind::kVector, LoopKind::kParallelVector}) {
    for (const int64_t n : {1, 3, 16, 17, 33, 64, 100, 257, 1000}) {
      for (const int threads : {1, 3}) {
        std::vector<float> x(static_cast<size_t>(n) + 8, 1.0F);
        std::vector<float> y(static_cast<size_t>(n) + 8, -7.0F);
        for (size_t i = 0; i < x.size(); ++i)
          x[i] = static_cast<float>(i) * 0.5F;
        Compiled(axpy_kernel(n, kind)).run({x.data(), y.data()}, threads);
        for (size_t i = 0; i < x.size(); ++i) {
          const float expected = static_cast<int64_t>(i) < n ? 2.5F * x[i] - 7.0F : -7.0F;
          ASSERT_EQ(y[i], expected) << "n " << n << " element " << i;
        }
      }
    }
  }
}

}  // namespace
}  // namespace gradc
