// Contractions made by hand, for tests and benchmarks of the engine: matrix products in every
// orientation with several epilogues, convolutions and their gradients.
#pragma once

#include "codegen/kernel/kernel.h"

#include <memory>

namespace gradc::test {

enum class Epilogue : uint8_t { kStore, kBiasRelu, kAdam };

struct MatmulShape {
  int64_t m = 1, n = 1, k = 1;
  bool transpose_a = false, transpose_b = false;
  Epilogue epilogue = Epilogue::kStore;
  int64_t batch = 1;
};

inline kernel::Affine index_of(std::initializer_list<std::pair<kernel::VarId, int64_t>> terms,
                               int64_t offset = 0) {
  kernel::Affine affine;
  affine.offset = offset;
  for (const auto& [var, coefficient] : terms)
    affine.add(kernel::Affine::variable(var), coefficient);
  return affine;
}

/// w, m, v updated in place by Adam with fixed rates, the product being the gradient.
inline void adam_epilogue(kernel::KernelBuilder& b, kernel::Contract& c, const kernel::Affine& at,
                          const Shape& shape) {
  using namespace kernel;
  const auto f32 = DType::kF32;
  const BufferId w = b.buffer("w", f32, shape, BufferRole::kInOut);
  const BufferId m = b.buffer("m", f32, shape, BufferRole::kInOut);
  const BufferId v = b.buffer("v", f32, shape, BufferRole::kInOut);
  const LocalId m1 = b.local("m1", f32);
  const LocalId v1 = b.local("v1", f32);
  const auto op = [&](ScalarOp o, ExprId x, ExprId y = {}) { return b.scalar(o, f32, x, y); };
  const auto mul = [&](double s, ExprId x) { return op(ScalarOp::kMul, b.constant(s), x); };
  const auto g = [&] { return b.read(c.acc); };
  c.epilogue.push_back(Let{m1, op(ScalarOp::kAdd, mul(0.9, b.load(m, at)), mul(0.1, g()))});
  c.epilogue.push_back(Let{
      v1, op(ScalarOp::kAdd, mul(0.999, b.load(v, at)), mul(0.001, op(ScalarOp::kMul, g(), g())))});
  c.epilogue.push_back(Store{m, at, {}, b.read(m1)});
  c.epilogue.push_back(Store{v, at, {}, b.read(v1)});
  const ExprId root = op(ScalarOp::kAdd, op(ScalarOp::kSqrt, b.read(v1)), b.constant(1e-7));
  const ExprId step = mul(0.01, op(ScalarOp::kDiv, b.read(m1), root));
  c.epilogue.push_back(Store{w, at, {}, op(ScalarOp::kSub, b.load(w, at), step)});
}

/// Arguments: a, b, then c; or c, bias; or w, m, v.
inline kernel::Kernel matmul_kernel(const MatmulShape& s) {
  using namespace kernel;
  Kernel k;
  k.name = "matmul";
  k.flops = 2 * s.batch * s.m * s.n * s.k;
  KernelBuilder b(k);
  const auto f32 = DType::kF32;
  const BufferId a = b.buffer("a", f32, Shape{s.batch, s.m, s.k}, BufferRole::kIn);
  const BufferId bb = b.buffer("b", f32, Shape{s.batch, s.k, s.n}, BufferRole::kIn);
  const VarId p = b.var("p");
  const VarId i = b.var("i");
  const VarId j = b.var("j");
  const VarId r = b.var("r");
  auto c = std::make_unique<Contract>();
  c->batch = {{p, s.batch}};
  c->m = {{i, s.m}};
  c->n = {{j, s.n}};
  c->k = {{r, s.k}};
  c->a = b.load(a, s.transpose_a ? index_of({{p, s.m * s.k}, {r, s.m}, {i, 1}})
                                 : index_of({{p, s.m * s.k}, {i, s.k}, {r, 1}}));
  c->b = b.load(bb, s.transpose_b ? index_of({{p, s.k * s.n}, {j, s.k}, {r, 1}})
                                  : index_of({{p, s.k * s.n}, {r, s.n}, {j, 1}}));
  c->acc = b.local("acc", f32);
  const Affine at = index_of({{p, s.m * s.n}, {i, s.n}, {j, 1}});
  const Shape shape{s.batch, s.m, s.n};
  if (s.epilogue == Epilogue::kAdam) {
    adam_epilogue(b, *c, at, shape);
  } else {
    const BufferId out = b.buffer("c", f32, shape, BufferRole::kOut);
    ExprId value = b.read(c->acc);
    if (s.epilogue == Epilogue::kBiasRelu) {
      const BufferId bias = b.buffer("bias", f32, Shape{s.n}, BufferRole::kIn);
      value = b.scalar(ScalarOp::kAdd, f32, value, b.load(bias, Affine::variable(j)));
      value = b.scalar(ScalarOp::kRelu, f32, value);
    }
    c->epilogue.push_back(Store{out, at, {}, value});
  }
  k.body.push_back(std::move(c));
  return k;
}

struct ConvShape {
  int64_t batch = 1, height = 1, width = 1, in = 1, out = 1, window = 3, pad = 0, stride = 1;
  int64_t out_height() const { return (height + 2 * pad - window) / stride + 1; }
  int64_t out_width() const { return (width + 2 * pad - window) / stride + 1; }
  int64_t flops() const {
    return 2 * batch * out_height() * out_width() * window * window * in * out;
  }
};

enum class ConvPart : uint8_t { kForward, kInputGradient, kWeightGradient };

/// low <= index < high for both indices.
inline kernel::ExprId inside(kernel::KernelBuilder& b, const kernel::Affine& y, int64_t height,
                             const kernel::Affine& x, int64_t width) {
  using namespace kernel;
  const auto bounds = [&](const Affine& at, int64_t extent) {
    const ExprId low =
        b.scalar(ScalarOp::kGe, DType::kBool, b.index(at), b.constant(0, DType::kI64));
    const ExprId high = b.scalar(ScalarOp::kLt, DType::kBool, b.index(at),
                                 b.constant(static_cast<double>(extent), DType::kI64));
    return b.scalar(ScalarOp::kAnd, DType::kBool, low, high);
  };
  return b.scalar(ScalarOp::kAnd, DType::kBool, bounds(y, height), bounds(x, width));
}

/// Arguments: image-sized operand or gradient, the other operand, the result:
/// forward (x, w, y); input gradient (dy, w, dx), stride 1; weight gradient (x, dy, dw).
inline kernel::Kernel conv_kernel(const ConvShape& s, ConvPart part) {
  using namespace kernel;
  Kernel k;
  k.name = "conv";
  k.flops = s.flops();
  KernelBuilder b(k);
  const auto f32 = DType::kF32;
  const int64_t oh = s.out_height();
  const int64_t ow = s.out_width();
  const Shape x_shape{s.batch, s.height, s.width, s.in};
  const Shape y_shape{s.batch, oh, ow, s.out};
  const Shape w_shape{s.window, s.window, s.in, s.out};
  const bool forward = part == ConvPart::kForward;
  const bool weights = part == ConvPart::kWeightGradient;
  const BufferId first =
      b.buffer("first", f32, part == ConvPart::kInputGradient ? y_shape : x_shape, BufferRole::kIn);
  const BufferId second = b.buffer("second", f32, weights ? y_shape : w_shape, BufferRole::kIn);
  const BufferId result = b.buffer("result", f32,
                                   forward   ? y_shape
                                   : weights ? w_shape
                                             : x_shape,
                                   BufferRole::kOut);
  const VarId n = b.var("n");
  const VarId y = b.var("y");
  const VarId x = b.var("x");
  const VarId i = b.var("i");
  const VarId o = b.var("o");
  const VarId ky = b.var("ky");
  const VarId kx = b.var("kx");
  auto c = std::make_unique<Contract>();
  c->acc = b.local("acc", f32);
  // The pixel of the image-sized operand that meets output (y, x) at window position (ky, kx).
  const int64_t sign = part == ConvPart::kInputGradient ? -1 : 1;
  const int64_t step = part == ConvPart::kInputGradient ? 1 : s.stride;
  const int64_t shift = part == ConvPart::kInputGradient ? s.pad : -s.pad;
  const Affine row = index_of({{y, step}, {ky, sign}}, shift);
  const Affine column = index_of({{x, step}, {kx, sign}}, shift);
  const Shape& image = part == ConvPart::kInputGradient ? y_shape : x_shape;
  Affine at = index_of(
      {{n, image[1] * image[2] * image[3]}, {part == ConvPart::kInputGradient ? o : i, 1}});
  at.add(row, image[2] * image[3]);
  at.add(column, image[3]);
  const bool guarded = s.pad > 0 || part == ConvPart::kInputGradient;
  c->a = b.load(first, at);
  if (guarded) c->a = b.guard(inside(b, row, image[1], column, image[2]), c->a, b.constant(0));
  const Affine w_at =
      index_of({{ky, s.window * s.in * s.out}, {kx, s.in * s.out}, {i, s.out}, {o, 1}});
  const Affine y_at = index_of({{n, oh * ow * s.out}, {y, ow * s.out}, {x, s.out}, {o, 1}});
  const Affine x_at =
      index_of({{n, s.height * s.width * s.in}, {y, s.width * s.in}, {x, s.in}, {i, 1}});
  c->b = b.load(second, weights ? y_at : w_at);
  if (forward) {
    c->m = {{n, s.batch}, {y, oh}, {x, ow}};
    c->n = {{o, s.out}};
    c->k = {{ky, s.window}, {kx, s.window}, {i, s.in}};
  } else if (weights) {
    c->m = {{ky, s.window}, {kx, s.window}, {i, s.in}};
    c->n = {{o, s.out}};
    c->k = {{n, s.batch}, {y, oh}, {x, ow}};
  } else {
    c->m = {{n, s.batch}, {y, s.height}, {x, s.width}};
    c->n = {{i, s.in}};
    c->k = {{ky, s.window}, {kx, s.window}, {o, s.out}};
  }
  c->epilogue.push_back(Store{result, forward ? y_at : weights ? w_at : x_at, {}, b.read(c->acc)});
  k.body.push_back(std::move(c));
  return k;
}

}  // namespace gradc::test
