// The contraction engine against sums written out in C++. The order of summation and the use of
// fused multiply-add are the engine's contract, so results must be equal to the last bit.
#include "codegen/kernel/kernel_parser.h"
#include "codegen/llvm/micro/tile_choice.h"
#include "tests/unit/codegen/gemm_kernels.h"
#include "tests/unit/codegen/jit_support.h"

#include <cmath>
#include <cstring>
#include <random>
#include <utility>

namespace gradc {
namespace {

using test::Compiled;
using test::ConvPart;
using test::ConvShape;
using test::Epilogue;
using test::MatmulShape;

std::vector<float> random_floats(int64_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values)
    value = uniform(generator);
  return values;
}

/// One multiply-add as the target does it.
float multiply_add(float a, float b, float c, bool fused) {
  return fused ? std::fma(a, b, c) : a * b + c;
}

float element(const std::vector<float>& values, int64_t index) {
  return values[static_cast<size_t>(index)];
}

std::vector<float> product(const MatmulShape& s, const std::vector<float>& a,
                           const std::vector<float>& b, bool fused) {
  std::vector<float> c(static_cast<size_t>(s.batch * s.m * s.n));
  for (int64_t p = 0; p < s.batch; ++p) {
    for (int64_t i = 0; i < s.m; ++i) {
      for (int64_t j = 0; j < s.n; ++j) {
        float sum = 0;
        for (int64_t r = 0; r < s.k; ++r) {
          const float x = element(a, p * s.m * s.k + (s.transpose_a ? r * s.m + i : i * s.k + r));
          const float y = element(b, p * s.k * s.n + (s.transpose_b ? j * s.k + r : r * s.n + j));
          sum = multiply_add(x, y, sum, fused);
        }
        c[static_cast<size_t>((p * s.m + i) * s.n + j)] = sum;
      }
    }
  }
  return c;
}

void expect_equal(const std::vector<float>& got, const std::vector<float>& want,
                  const std::string& what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(got[i], want[i]) << what << ", element " << i;
}

std::string describe(const MatmulShape& s) {
  return std::to_string(s.batch) + "x" + std::to_string(s.m) + "x" + std::to_string(s.n) + "x" +
         std::to_string(s.k) + (s.transpose_a ? " TA" : "") + (s.transpose_b ? " TB" : "");
}

void check_matmul(const MatmulShape& s, const TargetInfo& target) {
  const std::vector<float> a = random_floats(s.batch * s.m * s.k, 1);
  const std::vector<float> b = random_floats(s.batch * s.k * s.n, 2);
  std::vector<float> bias = random_floats(s.n, 3);
  std::vector<float> want = product(s, a, b, target.has_fma);
  if (s.epilogue == Epilogue::kBiasRelu) {
    for (size_t i = 0; i < want.size(); ++i)
      want[i] = std::max(want[i] + bias[i % static_cast<size_t>(s.n)], 0.0F);
  }
  Compiled compiled(test::matmul_kernel(s), target);
  for (const int threads : {1, 2, 3}) {
    std::vector<float> c(want.size(), -9);
    std::vector<void*> slots = {const_cast<float*>(a.data()), const_cast<float*>(b.data()),
                                c.data()};
    if (s.epilogue == Epilogue::kBiasRelu) slots.push_back(bias.data());
    compiled.run(slots, threads);
    expect_equal(c, want, describe(s) + ", threads " + std::to_string(threads));
  }
}

void check_orientations(MatmulShape s, const TargetInfo& target) {
  for (const bool transpose_a : {false, true}) {
    for (const bool transpose_b : {false, true}) {
      s.transpose_a = transpose_a;
      s.transpose_b = transpose_b;
      check_matmul(s, target);
    }
  }
}

TEST(GemmEngine, ShapesAndOrientations) {
  const TargetInfo target = TargetInfo::host();
  const int64_t shapes[][3] = {{1, 1, 1},      {1, 10, 7},   {5, 3, 2},      {64, 10, 128},
                               {33, 47, 65},   {14, 32, 64}, {100, 129, 31}, {64, 128, 200},
                               {150, 70, 257}, {7, 200, 5}};
  for (const auto& [m, n, k] : shapes)
    check_orientations({m, n, k}, target);
}

TEST(GemmEngine, DepthInBlocks) {
  const TargetInfo target = TargetInfo::host();
  check_orientations({37, 51, 1500}, target);
  check_orientations({20, 16, 2601}, target);
}

TEST(GemmEngine, ManyBlocksOfRowsAndColumns) {
  TargetInfo target = TargetInfo::host();
  target.l1_bytes = 8 * 1024;
  target.l2_bytes = 16 * 1024;
  target.l3_bytes = 32 * 1024;
  check_orientations({130, 140, 90}, target);
  check_orientations({90, 100, 1401}, target);
}

TEST(GemmEngine, LargeBPanelByPanel) {
  TargetInfo target = TargetInfo::host();
  target.l1_bytes = 32 * 1024;
  target.l2_bytes = 256 * 1024;
  check_orientations({61, 330, 401}, target);   // several blocks of k, ragged everywhere
  check_orientations({150, 700, 90}, target);   // all of k at once
  check_orientations({230, 130, 601}, target);  // three blocks of rows, B for each
  check_orientations({70, 200, 2100}, target);  // blocks of k of all rows, one block of columns
  target.l2_bytes = 64 * 1024;
  check_orientations({530, 70, 600}, target);  // two blocks of rows and of columns
  target.l2_bytes = 256 * 1024;
  MatmulShape s{40, 129, 300};
  s.batch = 2;
  s.epilogue = Epilogue::kBiasRelu;
  check_orientations(s, target);
}

TEST(GemmEngine, BatchesAndEpilogues) {
  const TargetInfo target = TargetInfo::host();
  MatmulShape s{17, 33, 20};
  s.batch = 3;
  check_orientations(s, target);
  s.epilogue = Epilogue::kBiasRelu;
  check_orientations(s, target);
  s.batch = 1;
  s.m = 64;
  check_orientations(s, target);
}

#if defined(__x86_64__)
TEST(GemmEngine, NarrowTargets) {
  for (const TargetInfo& target : {TargetInfo::generic_sse(), TargetInfo::generic_avx2()}) {
    if (target.vector_bytes > TargetInfo::host().vector_bytes) continue;
    check_orientations({33, 47, 65}, target);
    MatmulShape s{17, 6, 20};
    s.epilogue = Epilogue::kBiasRelu;
    check_orientations(s, target);
  }
}
#endif

TEST(GemmEngine, AdamInTheEpilogue) {
  MatmulShape s{50, 37, 64};
  s.transpose_a = true;
  s.epilogue = Epilogue::kAdam;
  const std::vector<float> a = random_floats(s.m * s.k, 1);
  const std::vector<float> b = random_floats(s.k * s.n, 2);
  const std::vector<float> g = product(s, a, b, TargetInfo::host().has_fma);
  const std::vector<float> w0 = random_floats(s.m * s.n, 3);
  std::vector<float> w = w0;
  std::vector<float> m(w.size(), 0.25F);
  std::vector<float> v(w.size(), 0.5F);
  Compiled(test::matmul_kernel(s))
      .run({const_cast<float*>(a.data()), const_cast<float*>(b.data()), w.data(), m.data(),
            v.data()},
           2);
  for (size_t i = 0; i < w.size(); ++i) {
    const double gradient = static_cast<double>(g[i]);
    const double m1 = 0.9 * 0.25 + 0.1 * gradient;
    const double v1 = 0.999 * 0.5 + 0.001 * gradient * gradient;
    ASSERT_NEAR(static_cast<double>(m[i]), m1, 1e-6);
    ASSERT_NEAR(static_cast<double>(v[i]), v1, 1e-6);
    ASSERT_NEAR(static_cast<double>(w[i]),
                static_cast<double>(w0[i]) - 0.01 * m1 / (std::sqrt(v1) + 1e-7), 1e-6);
  }
}

/// Convolution straight from its definition, summing in the engine's order.
std::vector<float> convolution(const ConvShape& s, ConvPart part, const std::vector<float>& first,
                               const std::vector<float>& second) {
  const bool fused = TargetInfo::host().has_fma;
  const int64_t oh = s.out_height();
  const int64_t ow = s.out_width();
  const auto x_at = [&](int64_t n, int64_t y, int64_t x, int64_t i) {
    return ((n * s.height + y) * s.width + x) * s.in + i;
  };
  const auto y_at = [&](int64_t n, int64_t y, int64_t x, int64_t o) {
    return ((n * oh + y) * ow + x) * s.out + o;
  };
  const auto w_at = [&](int64_t ky, int64_t kx, int64_t i, int64_t o) {
    return ((ky * s.window + kx) * s.in + i) * s.out + o;
  };
  const int64_t size = part == ConvPart::kForward         ? s.batch * oh * ow * s.out
                       : part == ConvPart::kInputGradient ? s.batch * s.height * s.width * s.in
                                                          : s.window * s.window * s.in * s.out;
  std::vector<float> result(static_cast<size_t>(size), 0.0F);
  const auto add = [&](int64_t at, float a, float b) {
    float& sum = result[static_cast<size_t>(at)];
    sum = multiply_add(a, b, sum, fused);
  };
  const auto taps = [&](auto body) {
    for (int64_t ky = 0; ky < s.window; ++ky) {
      for (int64_t kx = 0; kx < s.window; ++kx)
        body(ky, kx);
    }
  };
  const auto valid = [](int64_t at, int64_t extent) { return at >= 0 && at < extent; };
  for (int64_t n = 0; n < s.batch; ++n) {
    if (part == ConvPart::kInputGradient) {
      for (int64_t y = 0; y < s.height; ++y) {
        for (int64_t x = 0; x < s.width; ++x) {
          taps([&](int64_t ky, int64_t kx) {
            const int64_t p = y - ky + s.pad;
            const int64_t q = x - kx + s.pad;
            if (!valid(p, oh) || !valid(q, ow)) return;
            for (int64_t o = 0; o < s.out; ++o) {
              for (int64_t i = 0; i < s.in; ++i)
                add(x_at(n, y, x, i), element(first, y_at(n, p, q, o)),
                    element(second, w_at(ky, kx, i, o)));
            }
          });
        }
      }
      continue;
    }
    for (int64_t p = 0; p < oh; ++p) {
      for (int64_t q = 0; q < ow; ++q) {
        taps([&](int64_t ky, int64_t kx) {
          const int64_t y = p * s.stride + ky - s.pad;
          const int64_t x = q * s.stride + kx - s.pad;
          if (!valid(y, s.height) || !valid(x, s.width)) return;
          for (int64_t i = 0; i < s.in; ++i) {
            for (int64_t o = 0; o < s.out; ++o) {
              if (part == ConvPart::kForward)
                add(y_at(n, p, q, o), element(first, x_at(n, y, x, i)),
                    element(second, w_at(ky, kx, i, o)));
              else
                add(w_at(ky, kx, i, o), element(first, x_at(n, y, x, i)),
                    element(second, y_at(n, p, q, o)));
            }
          }
        });
      }
    }
  }
  return result;
}

void check_conv(const ConvShape& s, ConvPart part, const TargetInfo& target = TargetInfo::host()) {
  const int64_t x = s.batch * s.height * s.width * s.in;
  const int64_t y = s.batch * s.out_height() * s.out_width() * s.out;
  const int64_t w = s.window * s.window * s.in * s.out;
  const std::vector<float> first = random_floats(part == ConvPart::kInputGradient ? y : x, 1);
  const std::vector<float> second = random_floats(part == ConvPart::kWeightGradient ? y : w, 2);
  const std::vector<float> want = convolution(s, part, first, second);
  Compiled compiled(test::conv_kernel(s, part), target);
  for (const int threads : {1, 2, 3}) {
    std::vector<float> got(want.size(), -9);
    compiled.run({const_cast<float*>(first.data()), const_cast<float*>(second.data()), got.data()},
                 threads);
    expect_equal(got, want,
                 "conv part " + std::to_string(static_cast<int>(part)) + " of " +
                     std::to_string(s.height) + "x" + std::to_string(s.width) + ", threads " +
                     std::to_string(threads));
  }
}

TEST(GemmEngine, Convolutions) {
  const ConvShape shapes[] = {{2, 9, 8, 3, 5},           {3, 7, 13, 16, 24},
                              {2, 8, 8, 4, 16, 3, 1},    {2, 12, 11, 20, 33, 3, 1},
                              {2, 9, 9, 6, 10, 3, 1, 2}, {4, 10, 10, 8, 8, 1, 0, 1}};
  for (const ConvShape& s : shapes) {
    check_conv(s, ConvPart::kForward);
    check_conv(s, ConvPart::kWeightGradient);
    if (s.stride == 1) check_conv(s, ConvPart::kInputGradient);
  }
}

/// Sums over more steps than one block: images read where they lie, in blocks of whole rows.
TEST(GemmEngine, DeepWeightGradients) {
  const ConvShape shapes[] = {
      {6, 18, 18, 16, 16},          // 48 columns of a row of the window, blocks of 512 steps
      {5, 19, 22, 12, 40},          // ragged tiles and columns
      {9, 33, 27, 8, 20, 3, 0, 2},  // steps two pixels apart
      {7, 14, 14, 5, 70, 5},        // more rows of the window than threads
      {2, 39, 43, 6, 24},           // 37 x 41 steps an image: no whole block is long enough
      {3, 26, 26, 24, 32, 3, 1},    // guarded reads are packed
  };
  TargetInfo small = TargetInfo::host();
  small.l1_bytes = 4 * 1024;
  small.l2_bytes = 16 * 1024;  // partial sums do not stay: packed
  for (const ConvShape& s : shapes) {
    check_conv(s, ConvPart::kWeightGradient);
    check_conv(s, ConvPart::kWeightGradient, small);
  }
}

/// Rows of images that tiles do not divide: tiles go on in the next row of the image.
TEST(GemmEngine, TilesCrossRunsOfRows) {
  struct Case {
    ConvShape shape;
    ConvPart part;
  };
  const Case cases[] = {
      {{3, 15, 15, 12, 32}, ConvPart::kForward},           // 13 = 6 + 6 + 1
      {{2, 34, 34, 16, 16}, ConvPart::kForward},           // 32 = 5 x 6 + 2
      {{5, 10, 10, 16, 40}, ConvPart::kForward},           // 8 = 6 + 2, ragged columns
      {{2, 31, 27, 16, 16, 3, 0, 2}, ConvPart::kForward},  // every second pixel
      {{4, 28, 28, 1, 32}, ConvPart::kWeightGradient},     // 3 x 3 rows, in blocks of k
      {{3, 20, 20, 1, 32}, ConvPart::kWeightGradient},     // and without
      {{3, 11, 12, 2, 33, 2, 0, 1}, ConvPart::kWeightGradient},
  };
  std::vector<TargetInfo> targets = {TargetInfo::host()};
  for (const char* cpu : {"x86-64-v3", "x86-64-v4"}) {
    auto target = TargetInfo::host_as(cpu);
    const bool runs = target.ok() && target->vector_bytes <= targets[0].vector_bytes &&
                      targets[0].triple.starts_with("x86_64");
    if (runs) targets.push_back(target.take());
  }
  for (const TargetInfo& target : targets) {
    int crossing = 0;
    for (const Case& c : cases) {
      check_conv(c.shape, c.part, target);
      const kernel::Kernel k = test::conv_kernel(c.shape, c.part);
      const auto& contract = std::get<std::unique_ptr<kernel::Contract>>(k.body[0]);
      if (cg::plan_contract(*contract, k, target).row_run > 0) ++crossing;
    }
    EXPECT_GE(crossing, target.vector_bytes == 32 ? 4 : 2) << target.cpu;
  }
}

/// Rows that are (i, j) with j apart from i: however many tiles they are, and where those end.
TEST(GemmEngine, RowsOfTwoDimensionsMeetTilesOfAnySize) {
  std::vector<TargetInfo> targets = {TargetInfo::host()};
  auto avx2 = TargetInfo::host_as("x86-64-v3");
  if (avx2.ok() && targets[0].vector_bytes > avx2->vector_bytes) targets.push_back(avx2.take());
  for (const TargetInfo& target : targets) {
    int crossing = 0;
    for (const int64_t columns : {16, 40}) {
      for (const auto& [runs, run] : {std::pair<int64_t, int64_t>{6, 8},
                                      {6, 9},
                                      {2, 6},
                                      {3, 4},
                                      {4, 3},
                                      {5, 8},
                                      {7, 8},
                                      {2, 14},
                                      {9, 5},
                                      {3, 9},
                                      {8, 7},
                                      {4, 12},
                                      {2, 7},
                                      {11, 5}}) {
        const int64_t k = 5;
        const std::string text = fmt::format(
            R"(kernel @k(a: in f32[{1}x{0}x{3}], b: in f32[{3}x{2}], out: out f32[{0}x{1}x{2}]) {{
  contract serial m=(i0:{0}, i1:{1}) n=(j:{2}) k=(p:{3}) a=a[{3}*i0 + {4}*i1 + p] b=b[j + {2}*p] acc=%acc0: f32 {{
    out[{5}*i0 + {2}*i1 + j] = %acc0
  }}
}}
)",
            runs, run, columns, k, runs * k, run * columns);
        auto kernel = kernel::parse_kernel(text, "rows");
        ASSERT_TRUE(kernel.ok()) << kernel.message();
        const auto& contract = std::get<std::unique_ptr<kernel::Contract>>(kernel->body[0]);
        if (cg::plan_contract(*contract, *kernel, target).row_run > 0) ++crossing;
        const std::vector<float> a = random_floats(runs * run * k, 3);
        const std::vector<float> b = random_floats(k * columns, 4);
        std::vector<float> want, got(static_cast<size_t>(runs * run * columns), -9);
        for (int64_t i = 0; i < runs * run; ++i) {
          for (int64_t j = 0; j < columns; ++j) {
            float sum = 0;
            for (int64_t p = 0; p < k; ++p)
              sum = std::fma(a[static_cast<size_t>((i % run * runs + i / run) * k + p)],
                             b[static_cast<size_t>(p * columns + j)], sum);
            want.push_back(sum);
          }
        }
        Compiled compiled(kernel.take(), target);
        compiled.run({const_cast<float*>(a.data()), const_cast<float*>(b.data()), got.data()}, 1);
        expect_equal(got, want,
                     fmt::format("{} x {} rows, {} columns, {}", runs, run, columns, target.cpu));
      }
    }
    EXPECT_GE(crossing, target.vector_bytes == 64 ? 4 : 0) << target.cpu;
  }
}

TEST(GemmEngine, BlocksOfKAreRunsOfWholeDimensions) {
  const auto steps = [](std::initializer_list<int64_t> extents) {
    cg::Dims dims;
    for (const int64_t extent : extents)
      dims.push_back({{}, extent});
    return cg::aligned_steps(dims);
  };
  EXPECT_EQ(steps({64, 32, 32}), 512);
  EXPECT_EQ(steps({64, 8, 8}), 512);
  EXPECT_EQ(steps({10, 7, 9}), 630);
  EXPECT_EQ(steps({10, 7, 90}), 90 * 7);
  EXPECT_EQ(steps({2, 37, 41}), 41);
  EXPECT_EQ(steps({4, 1000}), 500);
}

}  // namespace
}  // namespace gradc
