// Vector mathematics over its whole range against libm in double: the largest error in units of
// the last place, and the special values.
#include "tests/unit/codegen/jit_support.h"

#include <bit>
#include <cmath>
#include <limits>

namespace gradc {
namespace {

using namespace kernel;

Kernel map_kernel(ScalarOp op, int64_t n) {
  Kernel k;
  k.name = "map";
  KernelBuilder b(k);
  const BufferId x = b.buffer("x", DType::kF32, Shape{n}, BufferRole::kIn);
  const BufferId second = b.buffer("second", DType::kF32, Shape{n}, BufferRole::kIn);
  const BufferId y = b.buffer("y", DType::kF32, Shape{n}, BufferRole::kOut);
  const VarId i = b.var("i");
  auto loop = std::make_unique<For>();
  loop->var = i;
  loop->end = n;
  loop->kind = LoopKind::kVector;
  const Affine at = Affine::variable(i);
  const ExprId value = scalar_op_arity(op) == 1
                           ? b.scalar(op, DType::kF32, b.load(x, at))
                           : b.scalar(op, DType::kF32, b.load(x, at), b.load(second, at));
  loop->body.push_back(Store{y, at, {}, value});
  k.body.push_back(std::move(loop));
  return k;
}

/// |got - want| in units of the last place of want (of the least denormal near zero).
double ulps(float got, double want) {
  const auto rounded = static_cast<float>(want);
  if (std::isnan(want)) return std::isnan(got) ? 0 : 1e9;
  if (got == rounded) return 0;
  if (std::isinf(got) || std::isinf(rounded)) {
    constexpr float kMax = std::numeric_limits<float>::max();
    const bool edge = std::abs(got) >= kMax && std::abs(rounded) >= kMax &&
                      std::signbit(got) == std::signbit(rounded);
    return edge ? 1 : 1e9;
  }
  const float magnitude = std::max(std::abs(rounded), std::numeric_limits<float>::min());
  const float next = std::nextafter(magnitude, std::numeric_limits<float>::infinity());
  const double unit = static_cast<double>(next) - static_cast<double>(magnitude);
  return std::abs(static_cast<double>(got) - want) / unit;
}

struct MathCase {
  const char* name;
  ScalarOp op;
  double (*reference)(double);
  double bound;
};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

const MathCase kCases[] = {
    {"exp", ScalarOp::kExp, std::exp, 1.5},  {"expm1", ScalarOp::kExpm1, std::expm1, 3},
    {"log", ScalarOp::kLog, std::log, 2},    {"log1p", ScalarOp::kLog1p, std::log1p, 3},
    {"tanh", ScalarOp::kTanh, std::tanh, 4}, {"erf", ScalarOp::kErf, std::erf, 2},
    {"erfc", ScalarOp::kErfc, std::erfc, 6}, {"sigmoid", ScalarOp::kSigmoid, sigmoid, 3},
    {"sin", ScalarOp::kSin, std::sin, 2},    {"cos", ScalarOp::kCos, std::cos, 2}};

class VectorMath : public ::testing::TestWithParam<MathCase> {};

/// Every 997th float (all exponents, both signs), the special values among them.
std::vector<float> samples() {
  std::vector<float> x;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32U); bits += 997)
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float special : {0.0F, -0.0F, 1.0F, -1.0F, kInfinity, -kInfinity, 0x1p-149F,
                              std::numeric_limits<float>::quiet_NaN(), 88.72284F, -103.97208F})
    x.push_back(special);
  // Dense where the functions are interesting.
  for (int i = -400000; i < 400000; ++i)
    x.push_back(static_cast<float>(i) * 2.5e-4F);
  return x;
}

void check(const MathCase& c, const TargetInfo& target) {
  std::vector<float> x = samples();
  const auto n = static_cast<int64_t>(x.size());
  std::vector<float> y(x.size());
  test::Compiled(map_kernel(c.op, n), target).run({x.data(), x.data(), y.data()});
  double worst = 0;
  float at = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double error = ulps(y[i], c.reference(static_cast<double>(x[i])));
    if (error > worst) {
      worst = error;
      at = x[i];
    }
  }
  ::testing::Test::RecordProperty("max_ulp", std::to_string(worst));
  if (std::getenv("GRADC_PRINT_ULP") != nullptr)
    std::printf("%s %.3f ulp at %a\n", c.name, worst, static_cast<double>(at));
  EXPECT_LE(worst, c.bound) << c.name << " at " << at;
}

TEST_P(VectorMath, ErrorStaysWithinTheStatedBound) {
  check(GetParam(), TargetInfo::host());
}

TEST_P(VectorMath, ErrorStaysWithinTheStatedBoundWithoutFma) {
#if defined(__x86_64__)
  check(GetParam(), TargetInfo::generic_sse());
#else
  GTEST_SKIP() << "the target without FMA is x86-64";
#endif
}

INSTANTIATE_TEST_SUITE_P(All, VectorMath, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(VectorPow, AgreesWithLibmEverywhere) {
  std::vector<float> x;
  std::vector<float> y;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float special[] = {0.0F,
                           -0.0F,
                           1.0F,
                           -1.0F,
                           2.0F,
                           -2.0F,
                           0.5F,
                           3.0F,
                           -3.0F,
                           2.5F,
                           -2.5F,
                           1e30F,
                           -1e30F,
                           1e-30F,
                           kInfinity,
                           -kInfinity,
                           std::numeric_limits<float>::quiet_NaN(),
                           16777217.0F,
                           1e-42F};
  for (const float a : special) {
    for (const float b : special) {
      x.push_back(a);
      y.push_back(b);
    }
  }
  for (int i = 1; i < 2000; ++i) {
    for (int j = -200; j < 200; ++j) {
      x.push_back(static_cast<float>(i) * 0.037F);
      y.push_back(static_cast<float>(j) * 0.11F);
    }
  }
  std::vector<float> z(x.size());
  test::Compiled(map_kernel(ScalarOp::kPow, static_cast<int64_t>(x.size())))
      .run({x.data(), y.data(), z.data()});
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_LE(ulps(z[i], std::pow(static_cast<double>(x[i]), static_cast<double>(y[i]))), 1)
        << x[i] << " to the " << y[i] << " gave " << z[i];
}

}  // namespace
}  // namespace gradc
