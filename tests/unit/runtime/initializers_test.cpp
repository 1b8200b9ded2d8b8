// Initializers: exact ones exactly, random ones by their moments, bounds and structure.
#include "runtime/initializers.h"

#include "runtime/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace gradc::rt {
namespace {

gradc_rt_tensor tensor_of(std::vector<int64_t> dims, const gradc_rt_initializer* init,
                          Dtype dtype = Dtype::kF32) {
  gradc_rt_tensor t{};
  t.name = "w";
  t.dtype = static_cast<int64_t>(dtype);
  t.rank = static_cast<int64_t>(dims.size());
  t.bytes = static_cast<int64_t>(dtype_bytes(dtype));
  for (size_t d = 0; d < dims.size(); ++d) {
    t.dims[d] = dims[d];
    t.bytes *= dims[d];
  }
  t.initializer = init;
  return t;
}

std::vector<double> fill(const gradc_rt_tensor& t, uint64_t seed = 1) {
  const size_t width = dtype_bytes(static_cast<Dtype>(t.dtype));
  std::vector<char> memory(static_cast<size_t>(t.bytes), 'x');
  const Status status = initialize_tensor(t, seed, memory.data());
  EXPECT_TRUE(status.ok()) << status.text.c_str();
  std::vector<double> values;
  for (size_t i = 0; i < memory.size() / width; ++i)
    values.push_back(load_f64(memory.data(), static_cast<Dtype>(t.dtype), i));
  return values;
}

struct Moments {
  double mean = 0, stddev = 0, least = 1e300, largest = -1e300;
};

Moments moments(const std::vector<double>& v) {
  Moments m;
  for (double x : v) {
    m.mean += x / static_cast<double>(v.size());
    m.least = std::min(m.least, x);
    m.largest = std::max(m.largest, x);
  }
  for (double x : v)
    m.stddev += (x - m.mean) * (x - m.mean) / static_cast<double>(v.size());
  m.stddev = std::sqrt(m.stddev);
  return m;
}

gradc_rt_initializer init_of(int64_t kind, double a = 0, double b = 0) {
  gradc_rt_initializer init{};
  init.kind = kind;
  init.a = a;
  init.b = b;
  init.stream = 5;
  return init;
}

TEST(Initializers, Constants) {
  EXPECT_EQ(fill(tensor_of({2}, nullptr)), (std::vector<double>{0, 0}));
  auto init = init_of(GRADC_RT_INIT_ONES);
  EXPECT_EQ(fill(tensor_of({2}, &init, Dtype::kBF16)), (std::vector<double>{1, 1}));
  init = init_of(GRADC_RT_INIT_CONSTANT, -2.5);
  EXPECT_EQ(fill(tensor_of({1, 2}, &init, Dtype::kF64)), (std::vector<double>{-2.5, -2.5}));
  init = init_of(GRADC_RT_INIT_IDENTITY, 2);
  EXPECT_EQ(fill(tensor_of({2, 3}, &init)), (std::vector<double>{2, 0, 0, 0, 2, 0}));
  const float data[] = {3, 4};
  init = init_of(GRADC_RT_INIT_DATA);
  init.data = data;
  EXPECT_EQ(fill(tensor_of({2}, &init)), (std::vector<double>{3, 4}));
}

TEST(Initializers, RandomNormalAndUniformMoments) {
  auto init = init_of(GRADC_RT_INIT_RANDOM_NORMAL, 3, 0.5);
  Moments m = moments(fill(tensor_of({100000}, &init)));
  EXPECT_NEAR(m.mean, 3, 0.008);
  EXPECT_NEAR(m.stddev, 0.5, 0.006);
  EXPECT_GT(m.largest, 3 + 3 * 0.5);  // not truncated
  init = init_of(GRADC_RT_INIT_RANDOM_UNIFORM, -1, 2);
  m = moments(fill(tensor_of({100000}, &init)));
  EXPECT_NEAR(m.mean, 0.5, 0.015);
  EXPECT_NEAR(m.stddev, 3 / std::sqrt(12.0), 0.01);
  EXPECT_GE(m.least, -1);
  EXPECT_LE(m.largest, 2);
  EXPECT_LT(m.least, -0.999);
}

TEST(Initializers, TruncatedNormalStaysWithinTwoSigma) {
  auto init = init_of(GRADC_RT_INIT_TRUNCATED_NORMAL, 1, 0.1);
  const Moments m = moments(fill(tensor_of({100000}, &init)));
  EXPECT_GE(m.least, 0.8);
  EXPECT_LE(m.largest, 1.2);
  EXPECT_NEAR(m.mean, 1, 0.002);
  EXPECT_NEAR(m.stddev, 0.1 * 0.87962566103423978, 0.001);
}

TEST(Initializers, VarianceScalingVariances) {
  struct Case {
    int64_t mode, distribution;
    double scale, variance;
  };
  const Case cases[] = {
      {GRADC_RT_FAN_AVG, GRADC_RT_DIST_UNIFORM, 1, 1.0 / 300},           // glorot_uniform
      {GRADC_RT_FAN_AVG, GRADC_RT_DIST_TRUNCATED_NORMAL, 1, 1.0 / 300},  // glorot_normal
      {GRADC_RT_FAN_IN, GRADC_RT_DIST_UNIFORM, 2, 2.0 / 200},            // he_uniform
      {GRADC_RT_FAN_IN, GRADC_RT_DIST_TRUNCATED_NORMAL, 1, 1.0 / 200},   // lecun_normal
      {GRADC_RT_FAN_OUT, GRADC_RT_DIST_UNTRUNCATED_NORMAL, 1, 1.0 / 400},
  };
  for (const Case& one : cases) {
    auto init = init_of(GRADC_RT_INIT_VARIANCE_SCALING, one.scale);
    init.mode = one.mode;
    init.distribution = one.distribution;
    init.fan_in = 200;
    init.fan_out = 400;
    const Moments m = moments(fill(tensor_of({200, 400}, &init)));
    EXPECT_NEAR(m.mean, 0, 0.002);
    EXPECT_NEAR(m.stddev, std::sqrt(one.variance), 0.01 * std::sqrt(one.variance));
    if (one.distribution == GRADC_RT_DIST_UNIFORM) {
      EXPECT_LE(m.largest, std::sqrt(3 * one.variance));
      EXPECT_GT(m.largest, 0.999 * std::sqrt(3 * one.variance));
    }
  }
}

TEST(Initializers, OrthogonalColumnsOrRows) {
  for (const auto& dims :
       std::vector<std::vector<int64_t>>{{8, 3}, {3, 8}, {5, 5}, {2, 3, 4}, {2, 3, 6}, {1, 1}}) {
    auto init = init_of(GRADC_RT_INIT_ORTHOGONAL, 2);
    const auto v = fill(tensor_of(dims, &init, Dtype::kF64));
    const size_t cols = static_cast<size_t>(dims.back());
    const size_t rows = v.size() / cols;
    const bool tall = rows >= cols;
    const size_t n = tall ? cols : rows;
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        double dot = 0;
        for (size_t k = 0; k < (tall ? rows : cols); ++k)
          dot += tall ? v[k * cols + i] * v[k * cols + j] : v[i * cols + k] * v[j * cols + k];
        EXPECT_NEAR(dot, i == j ? 4.0 : 0.0, 1e-12) << rows << "x" << cols;
      }
    }
  }
}

// With the signs of R's diagonal fixed the distribution is uniform over the orthogonal group:
// without the fix the first entry of a Householder Q would always be negative or always positive.
TEST(Initializers, OrthogonalSignsAreBalanced) {
  auto init = init_of(GRADC_RT_INIT_ORTHOGONAL, 1);
  int positive = 0;
  for (uint64_t seed = 0; seed < 400; ++seed)
    positive += fill(tensor_of({3, 3}, &init), seed)[0] > 0 ? 1 : 0;
  EXPECT_NEAR(positive, 200, 50);
}

TEST(Initializers, DependOnSeedAndStreamOnly) {
  auto init = init_of(GRADC_RT_INIT_RANDOM_NORMAL, 0, 1);
  const auto first = fill(tensor_of({7}, &init), 1);
  EXPECT_EQ(first, fill(tensor_of({7}, &init), 1));
  EXPECT_NE(first, fill(tensor_of({7}, &init), 2));
  const auto longer = fill(tensor_of({20}, &init), 1);
  EXPECT_EQ(first, std::vector<double>(longer.begin(), longer.begin() + 7));
  init.stream = 6;
  EXPECT_NE(first, fill(tensor_of({7}, &init), 1));
  init.stream = 5;
  init.has_seed = 1;
  init.seed = 1;
  EXPECT_EQ(first, fill(tensor_of({7}, &init), 999));
}

TEST(Initializers, SharesTogetherGiveTheSameBytes) {
  for (int64_t kind = 0; kind < GRADC_RT_INIT_DATA; ++kind) {
    auto init = init_of(kind, 1, 2);
    init.fan_in = init.fan_out = 5;
    for (int64_t rows : {1, 5, 12}) {
      const gradc_rt_tensor t = tensor_of({rows, 5}, &init);
      const std::vector<double> whole = fill(t);
      for (int32_t parts : {2, 3, 7}) {
        std::vector<float> memory(whole.size());
        for (int32_t part = parts; part-- > 0;)
          ASSERT_TRUE(initialize_part(t, 1, memory.data(), part, parts).ok());
        EXPECT_EQ(std::vector<double>(memory.begin(), memory.end()), whole) << kind << " " << parts;
      }
    }
  }
}

TEST(Initializers, APartMayStartAtOne) {
  auto init = init_of(GRADC_RT_INIT_ZEROS);
  init.ones_begin = 3;
  init.ones_end = 6;
  const gradc_rt_tensor t = tensor_of({8}, &init);
  EXPECT_EQ(fill(t), (std::vector<double>{0, 0, 0, 1, 1, 1, 0, 0}));
  for (int32_t parts : {2, 3}) {
    std::vector<float> memory(8);
    for (int32_t part = parts; part-- > 0;)
      ASSERT_TRUE(initialize_part(t, 1, memory.data(), part, parts).ok());
    EXPECT_EQ(std::vector<double>(memory.begin(), memory.end()), fill(t)) << parts;
  }
  init.kind = GRADC_RT_INIT_RANDOM_NORMAL;
  init.b = 1;
  const std::vector<double> drawn = fill(t);
  EXPECT_EQ(drawn[4], 1);
  EXPECT_NE(drawn[2], 0);
  EXPECT_NE(drawn[6], 1);
}

TEST(Initializers, ShapesThatDoNotFitAreErrors) {
  std::vector<float> memory(64);
  auto init = init_of(GRADC_RT_INIT_ORTHOGONAL, 1);
  EXPECT_EQ(initialize_tensor(tensor_of({4}, &init), 1, memory.data()).code, Code::kUserError);
  init.kind = GRADC_RT_INIT_IDENTITY;
  EXPECT_EQ(initialize_tensor(tensor_of({2, 2, 2}, &init), 1, memory.data()).code,
            Code::kUserError);
  init.kind = 99;
  EXPECT_EQ(initialize_tensor(tensor_of({2}, &init), 1, memory.data()).code, Code::kInternal);
}

}  // namespace
}  // namespace gradc::rt
