// Layers that are random in training: what they draw, by its statistics, and that they pass on
// their input otherwise.
#include "tests/unit/frontend/run_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gradc {
namespace {

/// What the layer makes of x in training: the batch's mean of every element of a batch of one
/// example, as batch_normalization keeps it.
std::vector<double> noisy(const std::string& layer, const std::string& shape,
                          const std::vector<double>& x, double iteration = 0) {
  const std::string text =
      with_training(layer + R"(, {"type": "flatten"}, {"type": "batch_norm", "name": "b",
                                "momentum": 0})",
                    R"({"loss": "mae", "optimizer": "sgd"})", shape);
  return run_model(text, {EntryKind::kTrain, 1, false},
                   {{"input/x", x}, {"seed", {7}}, {"optimizer/iteration", {iteration}}})
      .updates.at("b/moving_mean");
}

std::vector<double> counted(size_t count) {
  std::vector<double> x(count);
  for (size_t i = 0; i < count; ++i)
    x[i] = 1.0 + static_cast<double>(i % 7);
  return x;
}

double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}
double deviation(const std::vector<double>& x) {
  double sum = 0;
  for (const double v : x)
    sum += (v - mean(x)) * (v - mean(x));
  return std::sqrt(sum / static_cast<double>(x.size()));
}

/// One factor for each channel of [positions, channels] or, channels first, [channels, positions].
std::vector<double> factors(const std::vector<double>& y, const std::vector<double>& x,
                            size_t channels, bool first = false) {
  const size_t positions = x.size() / channels;
  std::vector<double> found(channels);
  for (size_t c = 0; c < channels; ++c) {
    for (size_t p = 0; p < positions; ++p) {
      const size_t at = first ? c * positions + p : p * channels + c;
      if (p == 0) found[c] = y[at] / x[at];
      EXPECT_NEAR(y[at] / x[at], found[c], 1e-12);
    }
  }
  return found;
}

TEST(Noise, SpatialDropoutTakesWholeChannels) {
  const std::vector<double> x = counted(6 * 200);
  const auto check = [&](const std::string& layer, const std::string& shape, bool first = false) {
    std::vector<double> found = factors(noisy(layer, shape, x), x, 200, first);
    const auto dropped = std::count(found.begin(), found.end(), 0.0);
    EXPECT_NEAR(static_cast<double>(dropped), 50, 25) << layer;
    for (const double factor : found)
      EXPECT_TRUE(factor == 0.0 || std::abs(factor - 1 / 0.75) < 1e-9) << layer << factor;
  };
  check(R"({"type": "spatial_dropout1d", "rate": 0.25})", "[6, 200]");
  check(R"({"type": "spatial_dropout2d", "rate": 0.25})", "[2, 3, 200]");
  check(R"({"type": "spatial_dropout3d", "rate": 0.25})", "[1, 3, 2, 200]");
  check(R"({"type": "spatial_dropout2d", "rate": 0.25, "data_format": "channels_first"})",
        "[200, 2, 3]", true);
  // noise_shape says the same.
  check(R"({"type": "dropout", "rate": 0.25, "noise_shape": [-1, 1, -1]})", "[6, 200]");
  EXPECT_NE(problems_of(with_layers(R"({"type": "dropout", "rate": 0.5, "noise_shape": [-1, 3]})"))
                .find("does not fit its input"),
            std::string::npos);
}

TEST(Noise, GaussianKindsHaveTheirDeviation) {
  const std::vector<double> x(4000, 2.0);
  const std::string shape = "[4000]";
  const auto added = noisy(R"({"type": "gaussian_noise", "stddev": 0.5})", shape, x);
  EXPECT_NEAR(mean(added), 2.0, 0.03);
  EXPECT_NEAR(deviation(added), 0.5, 0.02);
  const auto scaled = noisy(R"({"type": "gaussian_dropout", "rate": 0.2})", shape, x);
  EXPECT_NEAR(mean(scaled), 2.0, 0.06);
  EXPECT_NEAR(deviation(scaled), 2.0 * std::sqrt(0.25), 0.04);
  EXPECT_NE(noisy(R"({"type": "gaussian_noise", "stddev": 0.5})", shape, x, 1), added);
}

TEST(Noise, AlphaDropoutKeepsMeanAndVariance) {
  const std::vector<double> drawn = noisy(R"({"type": "gaussian_noise", "stddev": 1})", "[4000]",
                                          std::vector<double>(4000, 0.0), 1);
  const auto y = noisy(R"({"type": "alpha_dropout", "rate": 0.3})", "[4000]", drawn);
  EXPECT_NEAR(mean(y), 0.0, 0.06);
  EXPECT_NEAR(deviation(y), 1.0, 0.06);
  // Dropped elements are all alike.
  constexpr double kLow = -1.7580993408473766;
  const double scale = 1 / std::sqrt(0.7 * (1 + 0.3 * kLow * kLow));
  const double low = scale * kLow - scale * kLow * 0.3;
  const auto count =
      std::count_if(y.begin(), y.end(), [&](double v) { return std::abs(v - low) < 1e-6; });
  EXPECT_NEAR(static_cast<double>(count), 1200, 100);
}

/// Rows of an image [rows, columns] of one channel.
std::vector<std::vector<double>> rows_of(const std::vector<double>& image, size_t columns) {
  std::vector<std::vector<double>> rows;
  for (size_t i = 0; i < image.size(); i += columns)
    rows.emplace_back(image.begin() + static_cast<std::ptrdiff_t>(i),
                      image.begin() + static_cast<std::ptrdiff_t>(i + columns));
  return rows;
}

TEST(Noise, FlipsAndCropsTakeEveryPossibility) {
  const std::vector<double> image = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};  // 3 rows of 4
  std::map<std::vector<double>, int> flipped, cropped;
  for (int step = 0; step < 60; ++step) {
    ++flipped[noisy(R"({"type": "random_flip"})", "[3, 4, 1]", image, step)];
    ++cropped[noisy(R"({"type": "random_crop", "height": 2, "width": 3})", "[3, 4, 1]", image,
                    step)];
    const auto across =
        noisy(R"({"type": "random_flip", "mode": "horizontal"})", "[3, 4, 1]", image, step);
    EXPECT_LT(across[0], 5);  // the rows stay where they are
  }
  EXPECT_EQ(flipped.size(), 4U);
  EXPECT_TRUE(flipped.contains(image));
  EXPECT_TRUE(flipped.contains(std::vector<double>(image.rbegin(), image.rend())));
  EXPECT_EQ(cropped.size(), 4U);
  for (const auto& [part, count] : cropped) {
    const auto rows = rows_of(part, 3);
    EXPECT_EQ(rows[1][0], rows[0][0] + 4);
    EXPECT_EQ(rows[0][2], rows[0][0] + 2);
    EXPECT_TRUE(part[0] == 1 || part[0] == 2 || part[0] == 5 || part[0] == 6) << part[0];
    EXPECT_GT(count, 5);
  }
}

TEST(Noise, ContrastStaysInItsRange) {
  const std::vector<double> image = {0, 100, 50, 50};
  double least = 2, most = 0;
  for (int step = 0; step < 60; ++step) {
    const auto y =
        noisy(R"({"type": "random_contrast", "factor": [0.5, 0.25]})", "[2, 2, 1]", image, step);
    const double factor = (y[1] - 50) / 50;
    EXPECT_NEAR(y[0], 50 - 50 * std::min(factor, 1.0), 1e-4);  // no value below 0
    EXPECT_NEAR(y[2], 50, 1e-4);
    least = std::min(least, factor);
    most = std::max(most, factor);
  }
  EXPECT_GE(least, 0.5 - 1e-6);
  EXPECT_LE(most, 1.25 + 1e-6);
  EXPECT_LT(least, 0.6);
  EXPECT_GT(most, 1.15);
}

TEST(Noise, NothingHappensOutsideOfTraining) {
  const std::vector<double> x = counted(24);
  for (const char* layer : {R"({"type": "spatial_dropout2d", "rate": 0.5, "name": "n"})",
                            R"({"type": "gaussian_noise", "stddev": 1, "name": "n"})",
                            R"({"type": "gaussian_dropout", "rate": 0.5, "name": "n"})",
                            R"({"type": "alpha_dropout", "rate": 0.5, "name": "n"})",
                            R"({"type": "random_flip", "name": "n"})",
                            R"({"type": "random_contrast", "factor": 0.5, "name": "n"})"}) {
    const RunResult result =
        run_model(with_layers(layer, "[2, 3, 4]"), {.batch_size = 1}, {{"input/x", x}});
    expect_near(result.outputs.at("output/n"), x, 0.0);
  }
}

}  // namespace
}  // namespace gradc
