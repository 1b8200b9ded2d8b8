// mixup, cutmix and cutout: what is drawn, and what arrives in the batch.
#include "runtime/mix.h"

#include "runtime/feed.h"
#include "tests/unit/runtime/fake_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

namespace gradc::rt {
namespace {

using testing::FakeModel;
using testing::FakeModelOptions;
using testing::make_array;
using testing::OwnedInstance;

constexpr int kDraws = 200000;

std::vector<double> draw_betas(double alpha) {
  RandomStream random(random_key(3, RandomUse::kMix), 0);
  std::vector<double> values(kDraws);
  for (double& value : values)
    value = draw_beta(random, alpha);
  return values;
}

// Of Beta(a, a): mean 1/2, variance 1 / (4 (2a + 1)), fourth central moment
// 3 / (16 (2a + 1) (2a + 3)). Five deviations of each estimate are allowed.
TEST(Beta, MomentsAreThoseOfTheFormula) {
  for (const double alpha : {0.1, 0.2, 0.4, 0.5, 1.0, 2.0, 8.0, 100.0}) {
    const double variance = 1 / (4 * (2 * alpha + 1));
    const double fourth = 3 / (16 * (2 * alpha + 1) * (2 * alpha + 3));
    double mean = 0, square = 0, cube = 0;
    for (const double x : draw_betas(alpha)) {
      ASSERT_TRUE(x >= 0 && x <= 1) << x;
      mean += x / kDraws;
      square += (x - 0.5) * (x - 0.5) / kDraws;
      cube += (x - 0.5) * (x - 0.5) * (x - 0.5) / kDraws;
    }
    EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(square, variance, 5 * std::sqrt((fourth - variance * variance) / kDraws)) << alpha;
    EXPECT_NEAR(cube, 0, 5 * std::sqrt(fourth / 4 / kDraws)) << alpha;
  }
}

// Kolmogorov and Smirnov's distance to the distributions that have a simple form; 2 / sqrt(n) is
// passed by one right sample in 1,500.
TEST(Beta, DistributionIsThatOfTheFormula) {
  const double pi = std::acos(-1.0);
  for (const double alpha : {0.5, 1.0, 2.0}) {
    const auto below = [&](double x) {
      if (alpha == 0.5) return 2 / pi * std::asin(std::sqrt(x));
      return alpha == 1.0 ? x : 3 * x * x - 2 * x * x * x;
    };
    std::vector<double> values = draw_betas(alpha);
    std::sort(values.begin(), values.end());
    double distance = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      const double share = static_cast<double>(i) / kDraws;
      distance = std::max(distance, std::fabs(below(values[i]) - share));
    }
    EXPECT_LT(distance, 2 / std::sqrt(static_cast<double>(kDraws))) << alpha;
  }
}

TEST(Beta, TinyAndHugeAlphasStayInRange) {
  int between = 0;  // about 7 are expected in 200,000
  for (const double x : draw_betas(1e-6)) {
    ASSERT_TRUE(x >= 0 && x <= 1) << x;
    between += x > 0 && x < 1 ? 1 : 0;
  }
  EXPECT_LT(between, 30);
  for (const double x : draw_betas(1e3))
    ASSERT_NEAR(x, 0.5, 0.1);
}

using Corners = std::tuple<int64_t, int64_t, int64_t, int64_t>;

// Every place is the centre equally often, and the box is what of it lies in the image.
TEST(Box, IsAroundEveryPixelAndCutOffAtTheEdges) {
  for (const Extent size : {Extent{2, 3}, Extent{3, 3}, Extent{1, 9}, Extent{4, 2}}) {
    std::map<Corners, int> expected;
    for (int64_t y = 0; y < 5; ++y) {
      for (int64_t x = 0; x < 7; ++x) {
        std::set<int64_t> rows, columns;  // pixel by pixel
        for (int64_t k = 0; k < size.height; ++k)
          if (const int64_t at = y - size.height / 2 + k; at >= 0 && at < 5) rows.insert(at);
        for (int64_t k = 0; k < size.width; ++k)
          if (const int64_t at = x - size.width / 2 + k; at >= 0 && at < 7) columns.insert(at);
        ++expected[{*rows.begin(), *columns.begin(), *rows.rbegin() + 1, *columns.rbegin() + 1}];
      }
    }
    RandomStream random(random_key(5, RandomUse::kCutout), 1);
    std::map<Corners, int> seen;
    for (int i = 0; i < 35000; ++i) {
      const Box box = draw_box(random, size, {5, 7});
      ++seen[{box.top, box.left, box.bottom, box.right}];
    }
    ASSERT_EQ(seen.size(), expected.size());
    for (const auto& [corners, places] : expected)
      EXPECT_NEAR(seen[corners], 1000 * places, 6 * std::sqrt(1000.0 * places));
  }
}

TEST(Mix, CutmixHasTheTrueAreaAndPartnersAreDrawnEvenly) {
  const MixRule rule{0, 1, {6, 10}};
  std::vector<int> partners(4);
  double area = 0;
  for (int64_t example = 0; example < 40000; ++example) {
    const Mix mix = draw_mix(rule, 4, 9, example / 4, example % 4);
    ASSERT_TRUE(mix.boxed);
    ++partners[static_cast<size_t>(mix.partner)];
    const int64_t rows = mix.box.bottom - mix.box.top, columns = mix.box.right - mix.box.left;
    ASSERT_TRUE(mix.box.top >= 0 && mix.box.left >= 0 && rows >= 0 && columns >= 0);
    ASSERT_TRUE(mix.box.bottom <= 6 && mix.box.right <= 10);
    ASSERT_EQ(mix.share, 1 - static_cast<double>(rows * columns) / 60.0);
    area += 1 - mix.share;
  }
  for (const int count : partners)
    EXPECT_NEAR(count, 10000, 6 * std::sqrt(7500.0));
  // Half of the image before rounding down and cutting off, which leave about a third of it.
  EXPECT_GT(area / 40000, 0.1);
  EXPECT_LT(area / 40000, 0.5);
}

TEST(Mix, EitherIsDrawnWhereBothAreGiven) {
  int boxed = 0;
  for (int64_t example = 0; example < 10000; ++example)
    boxed += draw_mix({0.2, 1, {8, 8}}, 100, 1, 0, example).boxed ? 1 : 0;
  EXPECT_NEAR(boxed, 5000, 300);
  EXPECT_FALSE(draw_mix({0.2, 0, {8, 8}}, 100, 1, 0, 3).boxed);
}

TEST(Mix, DependsOnSeedEpochAndExample) {
  const MixRule rule{0.4, 0, {}};
  const auto drawn = [&](uint64_t seed, int64_t epoch, int64_t example) {
    const Mix mix = draw_mix(rule, 1000000, seed, epoch, example);
    return std::pair(mix.partner, mix.share);
  };
  EXPECT_EQ(drawn(1, 2, 3), drawn(1, 2, 3));
  EXPECT_NE(drawn(1, 2, 3), drawn(2, 2, 3));
  EXPECT_NE(drawn(1, 2, 3), drawn(1, 3, 3));
  EXPECT_NE(drawn(1, 2, 3), drawn(1, 2, 4));
}

// ---- batches ----------------------------------------------------------------------------------

constexpr int64_t kRows = 6, kHeight = 4, kWidth = 5, kPixels = kHeight * kWidth;

// Images whose pixels all differ, with a number as target; batches of all of them.
struct Images {
  Images() : model(options()) {
    gradc_rt_tensor& x = model.tensor("input/x");
    x.rank = 3;
    x.dims[1] = kHeight;
    x.dims[2] = kWidth;
    std::vector<double> pixels, numbers;
    for (int64_t i = 0; i < kRows * kPixels; ++i)
      pixels.push_back(static_cast<double>(i));
    for (int64_t i = 0; i < kRows; ++i)
      numbers.push_back(static_cast<double>(100 * i * i));
    part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
    part.arrays[0] = make_array("x", Dtype::kU8, {kRows, kHeight, kWidth}, pixels);
    part.arrays[1] = make_array("y", Dtype::kF32, {kRows}, numbers);
    part.rows = kRows;
  }
  static FakeModelOptions options() {
    FakeModelOptions options;
    options.features = kPixels;
    options.batch = kRows;
    return options;
  }
  struct Batch {
    std::vector<float> x, y;
    bool operator==(const Batch&) const = default;
  };
  Batch gather(bool training, int64_t epoch, std::vector<int64_t> order = {0, 1, 2, 3, 4, 5},
               int32_t threads = 1) {
    OwnedInstance instance(model.get(), threads);
    Feed feed;
    EXPECT_TRUE(feed.prepare(*instance, part, 0, kRows, true, TargetNeed::kRequired).ok());
    const BatchRequest request{order.data(), static_cast<int64_t>(order.size()), training, 21,
                               epoch};
    for (int32_t t = 0; t < threads; ++t)
      feed.gather(*instance, request, {t, threads, nullptr, nullptr, nullptr});
    return {instance.values("input/x"), instance.values("target/y")};
  }
  FakeModel model;
  DataPart part;
};

size_t at(int64_t example, int64_t pixel) {
  return static_cast<size_t>(example * kPixels + pixel);
}

TEST(Feed, MixupBlendsInputAndTargetByOneShare) {
  Images images;
  images.model.input_data().mixup_alpha = 0.4;
  const Images::Batch plain = images.gather(false, 0);
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const Images::Batch batch = images.gather(true, epoch);
    EXPECT_TRUE(images.gather(false, epoch) == plain) << "evaluation mixes nothing";
    for (int64_t e = 0; e < kRows; ++e) {
      const Mix mix = draw_mix({0.4, 0, {}}, kRows, 21, epoch, e);
      const auto blended = [&](const std::vector<float>& from, size_t own, size_t other) {
        return static_cast<float>(mix.share * static_cast<double>(from[own]) +
                                  (1 - mix.share) * static_cast<double>(from[other]));
      };
      for (int64_t p = 0; p < kPixels; ++p)
        ASSERT_EQ(batch.x[at(e, p)], blended(plain.x, at(e, p), at(mix.partner, p)));
      ASSERT_EQ(batch.y[static_cast<size_t>(e)],
                blended(plain.y, static_cast<size_t>(e), static_cast<size_t>(mix.partner)));
    }
  }
}

TEST(Feed, CutmixCopiesABoxAndBlendsTheTargetByItsArea) {
  Images images;
  images.model.input_data().cutmix_alpha = 1;
  const Images::Batch plain = images.gather(false, 0);
  int64_t copied = 0;
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    const Images::Batch batch = images.gather(true, epoch);
    for (int64_t e = 0; e < kRows; ++e) {
      const Mix mix = draw_mix({0, 1, {kHeight, kWidth}}, kRows, 21, epoch, e);
      int64_t inside = 0;
      for (int64_t p = 0; p < kPixels; ++p) {
        const int64_t y = p / kWidth, x = p % kWidth;
        const bool boxed =
            y >= mix.box.top && y < mix.box.bottom && x >= mix.box.left && x < mix.box.right;
        inside += boxed ? 1 : 0;
        ASSERT_EQ(batch.x[at(e, p)], plain.x[at(boxed ? mix.partner : e, p)]);
      }
      const double share = 1 - static_cast<double>(inside) / kPixels;
      ASSERT_EQ(batch.y[static_cast<size_t>(e)],
                static_cast<float>(
                    share * static_cast<double>(plain.y[static_cast<size_t>(e)]) +
                    (1 - share) * static_cast<double>(plain.y[static_cast<size_t>(mix.partner)])));
      copied += inside;
    }
  }
  EXPECT_GT(copied, 0);
}

// A mask or an image that is to be given back: what stands beside each pixel must be its own.
TEST(Feed, ATargetOfTheImagesSizeGetsTheBoxItself) {
  Images images;
  gradc_rt_tensor& y = images.model.tensor("target/y");
  y.rank = 3;
  y.dims[1] = kHeight;
  y.dims[2] = kWidth;
  y.bytes *= kPixels;
  images.part.arrays[1] = images.part.arrays[0].clone();
  images.model.input_data().cutmix_alpha = 1;
  bool differs = false;
  for (int64_t epoch = 0; epoch < 10; ++epoch) {
    const Images::Batch batch = images.gather(true, epoch);
    EXPECT_EQ(batch.x, batch.y);
    differs = differs || batch.x != images.gather(false, epoch).x;
  }
  EXPECT_TRUE(differs);
}

TEST(Mix, BlendsEveryFloatWithOneRounding) {
  for (const Dtype dtype : {Dtype::kF32, Dtype::kF64, Dtype::kBF16, Dtype::kF16}) {
    uint8_t own[3 * 8], other[3 * 8], expected[3 * 8];
    for (size_t i = 0; i < 3; ++i) {
      const double a = 1.0 / static_cast<double>(i + 3), b = -2.7 * static_cast<double>(i);
      store_f64(own, dtype, i, a);
      store_f64(other, dtype, i, b);
      const double stored = load_f64(own, dtype, i), partner = load_f64(other, dtype, i);
      store_f64(expected, dtype, i, 0.3 * stored + (1 - 0.3) * partner);
    }
    blend(dtype, 0.3, other, 3, own);
    EXPECT_EQ(std::vector<uint8_t>(own, own + 3 * dtype_bytes(dtype)),
              std::vector<uint8_t>(expected, expected + 3 * dtype_bytes(dtype)))
        << dtype_name(dtype);
  }
}

TEST(Feed, CutoutLeavesOneHoleOfTransformedFill) {
  Images images;
  gradc_rt_data& data = images.model.input_data();
  data.cutout_height = 2;
  data.cutout_width = 3;
  data.cutout_fill = 7;
  data.scale = 0.5;
  data.offset = 1000;
  data.noise_stddev = 0.125;  // before the hole
  const Images::Batch plain = images.gather(false, 0);
  std::set<std::pair<int64_t, int64_t>> sizes;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    const Images::Batch batch = images.gather(true, epoch);
    for (int64_t e = 0; e < kRows; ++e) {
      std::set<int64_t> rows, columns;
      int64_t holes = 0;
      for (int64_t p = 0; p < kPixels; ++p) {
        if (batch.x[at(e, p)] != 1003.5F) {
          ASSERT_NEAR(batch.x[at(e, p)], plain.x[at(e, p)], 1.0F);
          continue;
        }
        ++holes;
        rows.insert(p / kWidth);
        columns.insert(p % kWidth);
      }
      ASSERT_EQ(holes, static_cast<int64_t>(rows.size() * columns.size())) << "a rectangle";
      ASSERT_EQ(*rows.rbegin() - *rows.begin() + 1, static_cast<int64_t>(rows.size()));
      ASSERT_EQ(*columns.rbegin() - *columns.begin() + 1, static_cast<int64_t>(columns.size()));
      sizes.emplace(rows.size(), columns.size());
    }
  }
  EXPECT_EQ(sizes, (std::set<std::pair<int64_t, int64_t>>{{1, 2}, {1, 3}, {2, 2}, {2, 3}}));
}

TEST(Feed, ACutoutOfTheMeanIsZeroBehindTheStandardization) {
  Images images;
  const double mean = 50, deviation = 20;
  gradc_rt_data& data = images.model.input_data();
  data.standardize = GRADC_RT_STANDARDIZE_GIVEN;
  data.stat_count = 1;
  data.mean = &mean;
  data.std = &deviation;
  data.cutout_height = data.cutout_width = 2;
  data.cutout_fill = std::nan("");
  const Images::Batch plain = images.gather(false, 0);
  const Images::Batch batch = images.gather(true, 0);
  int holes = 0;
  for (size_t i = 0; i < batch.x.size(); ++i) {
    if (batch.x[i] == plain.x[i]) continue;
    EXPECT_EQ(batch.x[i], 0.0F);
    ++holes;
  }
  EXPECT_GE(holes, 6);
}

TEST(Feed, FlipsInBothDirectionsAreIndependent) {
  Images images;
  images.model.input_data().flip_vertical = 1;
  images.model.input_data().flip_horizontal = 1;
  const Images::Batch plain = images.gather(false, 0);
  std::map<std::pair<bool, bool>, int> seen;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    const Images::Batch batch = images.gather(true, epoch);
    for (int64_t e = 0; e < kRows; ++e) {
      const auto corner = static_cast<int64_t>(batch.x[at(e, 0)] - plain.x[at(e, 0)]);
      const bool down = corner >= kPixels - kWidth, right = corner % kWidth != 0;
      for (int64_t p = 0; p < kPixels; ++p) {
        const int64_t y = down ? kHeight - 1 - p / kWidth : p / kWidth;
        const int64_t x = right ? kWidth - 1 - p % kWidth : p % kWidth;
        ASSERT_EQ(batch.x[at(e, p)], plain.x[at(e, y * kWidth + x)]);
      }
      ++seen[{down, right}];
    }
  }
  for (const auto& [flips, count] : seen)
    EXPECT_NEAR(count, 300, 90);
  EXPECT_EQ(seen.size(), 4U);
}

// All of it at once: the same bytes of an example with any number of threads, in any order.
TEST(Feed, AugmentationKnowsNeitherThreadsNorOrder) {
  Images images;
  gradc_rt_data& data = images.model.input_data();
  data.flip_horizontal = data.flip_vertical = 1;
  data.shift_height = data.shift_width = 1;
  data.noise_stddev = 0.5;
  data.cutout_height = data.cutout_width = 2;
  data.mixup_alpha = 0.3;
  data.cutmix_alpha = 1;
  const Images::Batch one = images.gather(true, 4);
  for (const int32_t threads : {2, 7})
    EXPECT_TRUE(images.gather(true, 4, {0, 1, 2, 3, 4, 5}, threads) == one) << threads;
  const Images::Batch turned = images.gather(true, 4, {5, 4, 3, 2, 1, 0}, 3);
  for (int64_t e = 0; e < kRows; ++e) {
    EXPECT_EQ(turned.y[static_cast<size_t>(5 - e)], one.y[static_cast<size_t>(e)]);
    EXPECT_TRUE(std::equal(&one.x[at(e, 0)], &one.x[at(e, 0)] + kPixels, &turned.x[at(5 - e, 0)]));
  }
  EXPECT_FALSE(images.gather(true, 5) == one);
}

}  // namespace
}  // namespace gradc::rt
