// Reference evaluation against numbers that come from elsewhere: small cases by hand, convolution
// and pooling against PyTorch 1.13's checksums (float64), Philox against Random123's known answers.
#include "ir/interpreter.h"
#include "ir/op_attrs.h"
#include "ir/philox.h"
#include "ir/step_rule.h"
#include "tests/support/op_samples.h"

#include <gtest/gtest.h>

#include <limits>
#include <numbers>

namespace gradc {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::vector<Tensor> eval(Op op, const std::vector<Tensor>& operands, AttrRef attrs = {}) {
  Sample s;
  for (const Tensor& t : operands)
    s.operands.push_back(t.type);
  test::SampleGraph sample(s);
  for (const Val& v : sample.builder.add_multi(op, sample.operands, std::move(attrs)))
    sample.graph->add_output("", v.id());
  return interpret(*sample.graph, operands).take().outputs;
}

template <class Attrs>
Tensor eval1(Op op, const std::vector<Tensor>& operands, Attrs attrs) {
  return eval(op, operands, make_attrs(std::move(attrs)))[0];
}

Tensor vec(std::vector<double> values) {
  const auto count = static_cast<int64_t>(values.size());
  return {f32({count}), std::move(values)};
}

Tensor ints(std::vector<double> values, DType dtype = DType::kI32) {
  Tensor t = vec(std::move(values));
  t.type.dtype = dtype;
  return t;
}

// Element i is (i * factor) mod modulus - offset: exact, and the same in any language.
Tensor pattern(const Shape& shape, int64_t factor, int64_t modulus, int64_t offset) {
  Tensor t(TensorType{DType::kF32, shape});
  for (int64_t i = 0; i < t.size(); ++i)
    t[i] = static_cast<double>(i * factor % modulus - offset);
  return t;
}

double checksum(const Tensor& t) {
  double sum = 0.0;
  for (int64_t i = 0; i < t.size(); ++i)
    sum += t[i] * static_cast<double>(i % 13 + 1);
  return sum;
}

void expect_elements(const Tensor& t, const std::vector<double>& expected) {
  ASSERT_EQ(t.data.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(test::near(t.data[i], expected[i], 1e-12)) << i << ": " << t.data[i];
}

// ---- elementwise corner cases -------------------------------------------------------------------

TEST(OpValues, RoundingAndSigns) {
  expect_elements(eval(Op::kRound, {vec({0.5, 1.5, 2.5, -0.5, -1.2})})[0], {0, 2, 2, 0, -1});
  expect_elements(eval(Op::kFloor, {vec({-0.5, 1.5})})[0], {-1, 1});
  expect_elements(eval(Op::kCeil, {vec({-0.5, 1.5})})[0], {0, 2});
  expect_elements(eval(Op::kSign, {vec({-3, 0, 2, kNan})})[0], {-1, 0, 1, kNan});
  expect_elements(eval(Op::kRelu, {vec({-3, 0, 2, kNan, kInf})})[0], {0, 0, 2, kNan, kInf});
}

TEST(OpValues, NanPropagatesThroughMaximaAndComparesFalse) {
  const Tensor a = vec({kNan, 1, 2});
  const Tensor b = vec({1, kNan, 3});
  expect_elements(eval(Op::kMax, {a, b})[0], {kNan, kNan, 3});
  expect_elements(eval(Op::kMin, {a, b})[0], {kNan, kNan, 2});
  expect_elements(eval(Op::kLess, {a, b})[0], {0, 0, 1});
  expect_elements(eval(Op::kEqual, {a, a})[0], {0, 1, 1});
  expect_elements(eval(Op::kNotEqual, {a, a})[0], {1, 0, 0});
  expect_elements(eval(Op::kIsFinite, {vec({1, kInf, -kInf, kNan})})[0], {1, 0, 0, 0});
  expect_elements(eval1(Op::kReduceMax, {a}, AxesAttrs{{0}}), {kNan});
}

TEST(OpValues, CastTruncatesAndSaturates) {
  const Tensor x = vec({1.9, -1.9, 1e12, -1e12, kNan, 300, 0});
  expect_elements(eval1(Op::kCast, {x}, CastAttrs{DType::kI32}),
                  {1, -1, 2147483647.0, -2147483648.0, 0, 300, 0});
  expect_elements(eval1(Op::kCast, {x}, CastAttrs{DType::kU8}), {1, 0, 255, 0, 0, 255, 0});
  expect_elements(eval1(Op::kCast, {vec({0.5, 0, -2})}, CastAttrs{DType::kBool}), {1, 0, 1});
}

// ---- views, reductions, gather ------------------------------------------------------------------

TEST(OpValues, Views) {
  const Tensor x = pattern({2, 3}, 1, 100, 0);  // 0 1 2 / 3 4 5
  expect_elements(eval1(Op::kTranspose, {x}, TransposeAttrs{{1, 0}}), {0, 3, 1, 4, 2, 5});
  expect_elements(eval1(Op::kReverse, {x}, AxesAttrs{{1}}), {2, 1, 0, 5, 4, 3});
  expect_elements(eval1(Op::kSlice, {x}, SliceAttrs{{0, 0}, {2, 3}, {1, 2}}), {0, 2, 3, 5});
  expect_elements(eval1(Op::kPad, {vec({1, 2})}, PadAttrs{{1}, {2}, {1}, 9}), {9, 1, 9, 2, 9, 9});
  expect_elements(eval1(Op::kBroadcast, {vec({1, 2})}, BroadcastAttrs{{2, 2}, {0}}), {1, 1, 2, 2});
  expect_elements(eval1(Op::kConcat, {x, x}, AxisAttrs{1}), {0, 1, 2, 0, 1, 2, 3, 4, 5, 3, 4, 5});
}

TEST(OpValues, ReductionsOverMiddleAxis) {
  const Tensor x = pattern({2, 2, 2}, 1, 100, -1);  // 1 .. 8
  expect_elements(eval1(Op::kReduceSum, {x}, AxesAttrs{{1}}), {4, 6, 12, 14});
  expect_elements(eval1(Op::kReduceProd, {x}, AxesAttrs{{0, 2}}), {1 * 2 * 5 * 6, 3 * 4 * 7 * 8});
  expect_elements(eval1(Op::kReduceMin, {x}, AxesAttrs{{0, 1, 2}}), {1});
  expect_elements(eval1(Op::kArgmax, {vec({1, 7, 7, 3})}, AxisAttrs{0}), {1});
}

TEST(OpValues, GatherAndScatterClampIndices) {
  const Tensor table = pattern({3, 2}, 1, 100, 0);
  const Tensor rows = ints({2, -5, 9});
  expect_elements(eval(Op::kGather, {table, rows})[0], {4, 5, 0, 1, 4, 5});
  const Tensor updates = pattern({3, 2}, 1, 100, -1);  // 1 .. 6
  expect_elements(eval1(Op::kScatterAdd, {rows, updates}, ScatterAttrs{3}), {3, 4, 0, 0, 6, 8});
}

TEST(OpValues, MatmulTransposes) {
  const Tensor a = pattern({2, 3}, 1, 100, 0);
  const Tensor b = pattern({3, 2}, 1, 100, 0);
  expect_elements(eval1(Op::kMatmul, {a, b}, MatmulAttrs{}), {10, 13, 28, 40});
  expect_elements(eval1(Op::kMatmul, {a, a}, MatmulAttrs{false, true}), {5, 14, 14, 50});
  expect_elements(eval1(Op::kMatmul, {b, b}, MatmulAttrs{true, false}), {20, 26, 26, 35});
}

// ---- convolution and pooling against PyTorch ----------------------------------------------------

struct ConvCase {
  Shape x, w, y;
  ConvAttrs attrs;
  double sum_y, sum_dx, sum_dw;
};

TEST(OpValues, ConvolutionsAgreeWithPyTorch) {
  const std::vector<ConvCase> cases = {
      {{2, 9, 3}, {3, 3, 4}, {2, 4, 4}, {{2}, {1}, {2}, {2}, 1, {}}, 104, -286, -346},
      {{1, 7, 8, 4},
       {3, 2, 2, 6},
       {1, 3, 7, 6},
       {{2, 1}, {1, 0}, {0, 1}, {1, 2}, 2, {}},
       -104,
       401,
       826},
      {{2, 6, 6, 3},
       {3, 3, 1, 3},
       {2, 6, 6, 3},
       {{1, 1}, {1, 1}, {1, 1}, {1, 1}, 3, {}},
       1218,
       -236,
       -802},
      {{1, 4, 5, 6, 2},
       {2, 3, 2, 2, 3},
       {1, 4, 3, 2, 3},
       {{1, 2, 3}, {0, 1, 1}, {1, 1, 0}, {1, 1, 2}, 1, {}},
       -600,
       754,
       100}};
  for (const ConvCase& c : cases) {
    SCOPED_TRACE(to_string(c.x) + " * " + to_string(c.w));
    const Tensor x = pattern(c.x, 7, 11, 5);
    const Tensor w = pattern(c.w, 5, 7, 3);
    const Tensor y = eval1(Op::kConv, {x, w}, c.attrs);
    ASSERT_EQ(y.type.shape, c.y);
    EXPECT_EQ(checksum(y), c.sum_y);
    const Tensor dy = pattern(c.y, 3, 5, 2);
    ConvAttrs attrs = c.attrs;
    attrs.shape = c.x.to_vector();
    EXPECT_EQ(checksum(eval1(Op::kConvInputGrad, {dy, w}, attrs)), c.sum_dx);
    attrs.shape = c.w.to_vector();
    EXPECT_EQ(checksum(eval1(Op::kConvFilterGrad, {x, dy}, attrs)), c.sum_dw);
  }
}

struct PoolCase {
  Shape x, y;
  PoolAttrs attrs;
  double sum_max, sum_max_grad, sum_avg, sum_avg_grad;
};

TEST(OpValues, PoolingAgreesWithPyTorch) {
  const std::vector<PoolCase> cases = {
      {{2, 9, 3}, {2, 5, 3}, {{3}, {2}, {1}, {1}, {}}, 8353, 42, 5136.5, 7.666666666666671},
      {{1, 7, 8, 2},
       {1, 4, 8, 2},
       {{3, 2}, {2, 1}, {1, 0}, {1, 1}, {}},
       167779,
       -57,
       4950.083333333332,
       -7.416666666666661},
      {{1, 4, 5, 6, 2},
       {1, 4, 3, 3, 2},
       {{2, 3, 2}, {1, 2, 2}, {0, 1, 1}, {1, 1, 0}, {}},
       171159,
       -53,
       13320.875,
       -7.541666666666657}};
  for (const PoolCase& c : cases) {
    SCOPED_TRACE(to_string(c.x));
    const Tensor x = pattern(c.x, 331, 1009, 500);
    const Tensor dy = pattern(c.y, 3, 5, 2);
    const Tensor y = eval1(Op::kMaxPool, {x}, c.attrs);
    ASSERT_EQ(y.type.shape, c.y);
    EXPECT_EQ(checksum(y), c.sum_max);
    EXPECT_EQ(checksum(eval1(Op::kMaxPoolGrad, {x, dy}, c.attrs)), c.sum_max_grad);
    EXPECT_EQ(eval1(Op::kMaxPoolTake, {x, x}, c.attrs).data, y.data);
    EXPECT_NEAR(checksum(eval1(Op::kAvgPool, {x}, c.attrs)), c.sum_avg, 1e-8);
    PoolAttrs attrs = c.attrs;
    attrs.shape = c.x.to_vector();
    EXPECT_NEAR(checksum(eval1(Op::kAvgPoolGrad, {dy}, attrs)), c.sum_avg_grad, 1e-8);
  }
}

TEST(OpValues, EqualMaximaGiveTheirGradientToTheFirst) {
  const Tensor x(f32({1, 4, 1}), {5, 5, 1, 1});
  const Tensor dy(f32({1, 2, 1}), {10, 20});
  expect_elements(eval1(Op::kMaxPoolGrad, {x, dy}, PoolAttrs{{2}, {2}, {}, {}, {}}),
                  {10, 0, 20, 0});
}

// ---- losses and optimizer steps by hand ---------------------------------------------------------

// The results of a composite by its expansion.
std::vector<Tensor> expanded(Op op, const std::vector<Tensor>& operands) {
  Sample s;
  for (const Tensor& t : operands)
    s.operands.push_back(t.type);
  test::SampleGraph sample(s);
  for (const Val& v : def(op).expand({sample.builder, sample.operands, AttrRef()}))
    sample.graph->add_output("", v.id());
  return interpret(*sample.graph, operands).take().outputs;
}

TEST(OpValues, CrossEntropies) {
  const Tensor logits(f32({2, 2}), {0, std::log(3.0), 0, 1000});
  expect_elements(eval(Op::kSparseSoftmaxCrossEntropy, {logits, ints({1, 0})})[0],
                  {std::log(4.0 / 3.0), 1000});
  const Tensor outside = ints({-1, 2});
  expect_elements(eval(Op::kSparseSoftmaxCrossEntropy, {logits, outside})[0], {kInf, kInf});
  expect_elements(expanded(Op::kSparseSoftmaxCrossEntropy, {logits, outside})[0], {kInf, kInf});
  const Tensor targets(f32({2, 2}), {0.5, 0.5, 0, 1});
  expect_elements(eval(Op::kSoftmaxCrossEntropy, {logits, targets})[0],
                  {0.5 * std::log(4.0) + 0.5 * std::log(4.0 / 3.0), 0});
  expect_elements(eval(Op::kSigmoidCrossEntropy, {vec({0, 1000, -1000}), vec({1, 0, 0})})[0],
                  {std::log(2.0), 1000, 0});
}

TEST(OpValues, OptimizerStepsFollowKeras) {
  const auto scalar = [](double v) { return Tensor(f32({}), {v}); };
  const auto expect = [](const std::vector<Tensor>& got, const std::vector<double>& expected) {
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_NEAR(got[i][0], expected[i], 1e-12) << i;
  };
  const auto step = [](std::string_view rule, const std::vector<Tensor>& operands,
                       StepAttrs::Numbers numbers = {}) {
    return eval(Op::kOptimizerStep, operands, make_attrs(StepAttrs(rule, numbers)));
  };
  const Tensor w = vec({1.0});
  const Tensor g = vec({0.5});
  expect(step("sgd", {w, g, scalar(0.1)}), {0.95});
  expect(step("sgd", {w, g, scalar(0.1), scalar(0.02)}, {{"weight_decay", 0.2}}), {0.93});
  expect(step("momentum", {w, g, vec({0.2}), scalar(0.1)}), {1.13, 0.13});
  expect(step("momentum", {w, g, vec({0.2}), scalar(0.1)}, {{"nesterov", 1}}),
         {1.0 + 0.9 * 0.13 - 0.05, 0.13});
  expect(step("adagrad", {w, g, vec({0.11}), scalar(0.1)}, {{"epsilon", 0}}),
         {1.0 - 0.05 / 0.6, 0.36});
  expect(step("rmsprop", {w, g, vec({0.26}), scalar(0.1)}, {{"rho", 0.5}, {"epsilon", 0}}),
         {1.0 - 0.05 / std::sqrt(0.255), 0.255});
  // The first step of Adam moves by the learning rate, whatever the gradient.
  const double lr_t = 0.001 * std::sqrt(1.0 - 0.999) / (1.0 - 0.9);
  expect(step("adam", {w, g, vec({0}), vec({0}), scalar(lr_t)}, {{"epsilon", 0}}),
         {0.999, 0.05, 0.00025});
}

// ---- random numbers -----------------------------------------------------------------------------

TEST(OpValues, PhiloxKnownAnswers) {
  static_assert(philox4x32_10({0, 0, 0, 0}, {0, 0}) ==
                PhiloxWords{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U});
  constexpr uint32_t kOnes = 0xffffffffU;
  static_assert(philox4x32_10({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
                PhiloxWords{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU});
  static_assert(philox4x32_10({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U},
                              {0xa4093822U, 0x299f31d0U}) ==
                PhiloxWords{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U});
  // Seed, iteration, stream and element go where RandomAttrs says.
  const PhiloxWords words = philox4x32_10({2, 5, 9, 1 ^ 3}, {7, 11});
  EXPECT_EQ(random_bits(7 + (uint64_t{11} << 32), 5 + (uint64_t{1} << 32), 9 + (uint64_t{3} << 32),
                        2 * 4 + 3),
            words[3]);
  EXPECT_EQ(random_uniform(0xffffffffU), 1.0 - 0x1p-24);
}

TEST(OpValues, RandomNumbersHaveTheirDistributions) {
  const Tensor seed(TensorType{DType::kI64, {}}, {42});
  const Tensor iteration(TensorType{DType::kI64, {}}, {3});
  constexpr int64_t kCount = 20000;
  const auto moment = [&](const Tensor& t, double power) {
    double sum = 0.0;
    for (double x : t.data)
      sum += std::pow(x, power);
    return sum / static_cast<double>(kCount);
  };
  // Five standard errors of each estimate.
  const Tensor uniform = eval1(Op::kRandomUniform, {seed, iteration}, RandomAttrs{{kCount}, 1});
  EXPECT_NEAR(moment(uniform, 1), 0.5, 5 * 0.289 / std::sqrt(kCount));
  EXPECT_NEAR(moment(uniform, 2), 1.0 / 3.0, 5 * 0.298 / std::sqrt(kCount));
  const Tensor normal = eval1(Op::kRandomNormal, {seed, iteration}, RandomAttrs{{kCount}, 1});
  EXPECT_NEAR(moment(normal, 1), 0.0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(moment(normal, 2), 1.0, 5 * std::sqrt(2.0 / kCount));
  EXPECT_NEAR(moment(normal, 4), 3.0, 5 * std::sqrt(96.0 / kCount));
  const Tensor coins = eval1(Op::kBernoulli, {seed, iteration}, BernoulliAttrs{{kCount}, 1, 0.3});
  EXPECT_NEAR(moment(coins, 1), 0.3, 5 * 0.459 / std::sqrt(kCount));
}

}  // namespace
}  // namespace gradc
