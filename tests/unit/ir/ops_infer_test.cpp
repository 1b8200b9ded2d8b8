// The messages of shape inference: both shapes, the rule, nothing else.
#include "ir/op.h"
#include "ir/op_attrs.h"
#include "ir/step_rule.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

std::string message(Op op, const Types& operands, const AttrRef& attrs = {}) {
  const OpDef& entry = def(op);
  const bool use_default = attrs.empty() && entry.attrs != nullptr;
  const auto result = infer_types(
      op, operands, use_default ? AttrRef(entry.attrs->make_default(), entry.attrs) : attrs);
  return result.ok() ? "ok" : result.message();
}

const TensorType kLabels = {DType::kI32, {4}};

TEST(OpInference, NamesBothShapes) {
  EXPECT_EQ(message(Op::kMatmul, {f32({32, 784}), f32({512, 128})}),
            "matmul inner sizes differ: f32[32x784] x f32[512x128]");
  EXPECT_EQ(
      message(Op::kMatmul, {f32({784, 32}), f32({512, 128})}, make_attrs(MatmulAttrs{true, false})),
      "matmul inner sizes differ: f32[784x32] transposed x f32[512x128]");
  EXPECT_EQ(message(Op::kMatmul, {f32({2, 3, 4}), f32({5, 4, 3})}),
            "matmul batch sizes differ: f32[2x3x4] x f32[5x4x3]");
  EXPECT_EQ(message(Op::kAdd, {f32({2, 3}), f32({3})}), "add operands differ: f32[2x3] and f32[3]");
  EXPECT_EQ(message(Op::kReshape, {f32({2, 3})}, make_attrs(ReshapeAttrs{{4}})),
            "reshape of f32[2x3] to f32[4]: 6 elements and 4 elements");
  EXPECT_EQ(message(Op::kBroadcast, {f32({3})}, make_attrs(BroadcastAttrs{{2, 4}, {1}})),
            "broadcast of f32[3] to f32[2x4] along dims [1]: extents differ");
  EXPECT_EQ(message(Op::kConcat, {f32({2, 3}), f32({3, 3})}, make_attrs(AxisAttrs{1})),
            "concat along axis 1: f32[2x3] and f32[3x3] differ elsewhere");
  EXPECT_EQ(message(Op::kConv, {f32({1, 8, 8, 3}), f32({3, 3, 4, 16})}),
            "conv filter has 4 input channels, expected 3 / 1 groups: f32[1x8x8x3] * "
            "f32[3x3x4x16]");
  EXPECT_EQ(message(Op::kConv, {f32({1, 2, 8, 3}), f32({3, 3, 3, 16})}),
            "conv window of 3 is over the padded extent 2: f32[1x2x8x3] * f32[3x3x3x16]");
  EXPECT_EQ(message(Op::kSparseSoftmaxCrossEntropy, {f32({8, 10}), kLabels}),
            "sparse_softmax_cross_entropy of logits f32[8x10] takes integer labels of shape [8], "
            "got i32[4]");
  EXPECT_EQ(message(Op::kUpdate, {f32({2}), f32({3})}), "update of a f32[2] to a f32[3]");
}

TEST(OpInference, NamesQueryKeyValueAndMask) {
  const TensorType query = f32({8, 6, 5, 4});
  EXPECT_EQ(message(Op::kAttention, {query, f32({8, 2, 7, 4}), f32({8, 2, 7, 3})}), "ok");
  const TensorType half = {DType::kF16, {1, 2, 3}};
  EXPECT_EQ(message(Op::kAttentionTiles, {half, half, half}), "ok");
  const TensorType short_rows = {DType::kF16, {1, 2}};
  EXPECT_EQ(
      message(Op::kAttentionTilesGrad, {half, half, half, half, short_rows, short_rows}),
      "attention_tiles_grad takes dresult f16[1x2x3], log_sum and delta f32[1x2], got f16[1x2x3], "
      "f16[1x2] and f16[1x2]");
  const TensorType one = f32({1, 2, 3});
  const TensorType rows = f32({1, 2});
  EXPECT_EQ(message(Op::kAttentionTilesGrad, {one, one, one, one, rows, rows}), "ok");
  EXPECT_EQ(message(Op::kAttentionTilesGrad, {one, one, one, rows, rows, one}),
            "attention_tiles_grad takes dresult f32[1x2x3], log_sum and delta f32[1x2], got "
            "f32[1x2], f32[1x2] and f32[1x2x3]");
  EXPECT_EQ(message(Op::kAttention, {f32({5, 4}), f32({5, 4}), f32({5, 4})}),
            "attention takes a float query [.., heads, steps, width], got f32[5x4]");
  EXPECT_EQ(message(Op::kAttention, {query, f32({8, 4, 7, 4}), f32({8, 4, 7, 3})}),
            "attention of query f32[8x6x5x4] and key f32[8x4x7x4]: the type, the leading axes and "
            "the width must be equal, and the query's heads a multiple of the key's");
  EXPECT_EQ(message(Op::kAttention, {query, f32({8, 2, 7, 4}), f32({8, 2, 6, 4})}),
            "attention of key f32[8x2x7x4] and value f32[8x2x6x4]: only the width may differ");
  EXPECT_EQ(
      message(Op::kAttentionWeights, {query, query, {DType::kBool, {8, 1, 5, 7}}}),
      "attention_weights with scores [8x6x5x5] takes a mask of bool or f32, its extents those "
      "or 1, got bool[8x1x5x7]");
  EXPECT_EQ(message(Op::kAttentionWeights, {query, query, query, query}),
            "attention_weights has 4 operands, expected 2 or 3");
  EXPECT_EQ(message(Op::kAttention, {query, query, query},
                    make_attrs(AttentionAttrs{.multiply = DType::kI32})),
            "attention multiplies floats, not i32");
}

TEST(OpInference, CountsOperandsAndChecksAttributes) {
  EXPECT_EQ(message(Op::kTanh, {}), "tanh has 0 operands, expected 1 (x)");
  EXPECT_EQ(message(Op::kOptimizerStep, {f32({2})}),
            "optimizer_step has 1 operands, expected at least 2 (w g rest...)");
  EXPECT_EQ(message(Op::kOptimizerStep, {f32({2}), f32({2}), f32({})},
                    make_attrs(StepAttrs("sgd", {{"weight_decay", 0.1}}))),
            "optimizer_step with rule sgd and these numbers takes 4 operands, got 3");
  EXPECT_EQ(message(Op::kOptimizerStep, {f32({2}), f32({2}), f32({3}), f32({})},
                    make_attrs(StepAttrs("momentum"))),
            "optimizer_step of f32[2]: operand 2 is f32[3], expected f32[2]");
  EXPECT_EQ(message(Op::kTanh, {f32({2})}, make_attrs(AxisAttrs{})),
            "tanh has the attributes of another op");
  EXPECT_EQ(message(Op::kSoftmax, {f32({2, 3})}, make_attrs(AxisAttrs{2})),
            "softmax axis 2 is outside f32[2x3]");
  EXPECT_EQ(message(Op::kReduceSum, {f32({2, 3})}, make_attrs(AxesAttrs{{1, 0}})),
            "reduce_sum axes [1, 0] do not increase");
  EXPECT_EQ(message(Op::kExp, {kLabels}), "exp takes float operands, got i32[4]");
}

TEST(OpInference, RefusesSizesThatOverflow) {
  const int64_t large = int64_t{1} << 40;
  EXPECT_EQ(message(Op::kBroadcast, {f32({})}, make_attrs(BroadcastAttrs{{large, large}, {}})),
            "broadcast has a result of shape [1099511627776x1099511627776], more than "
            "281474976710656 bytes");
  EXPECT_EQ(message(Op::kPad, {f32({2})}, make_attrs(PadAttrs{{INT64_MAX}, {1}, {}, 0.0})),
            "pad of f32[2] is too large at axis 0");
  EXPECT_EQ(message(Op::kIota, {}, make_attrs(IotaAttrs{DType::kI32, {0}, 0})),
            "iota has a result of shape [0], extents must be at least 1");
}

}  // namespace
}  // namespace gradc
