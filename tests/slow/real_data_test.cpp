// The real data that gradc is judged by, one command each, with a margin: minutes, so only on
// request (scripts/test -C slow -L slow). The tables, the riders and the spoken digits are cheap
// and among the other tests (RealTables, SeriesOfRiders, SpokenDigits).
#include "runtime/array.h"
#include "runtime/byte_stream.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <regex>

namespace gradc::test {
namespace {

namespace fs = std::filesystem;

class RealData : public ::testing::Test {
 protected:
  /// A folder of the data; the test is skipped where there is none.
  static std::string folder(const std::string& name, const std::string& file) {
    const std::string path = shared_data(name + "/" + file);
    return path.empty() ? "" : fs::path(path).parent_path().string();
  }
  /// What a training says of the test part, and how long it took.
  static double score(const std::string& arguments, const std::string& metric) {
    const auto begin = std::chrono::steady_clock::now();
    const Outcome outcome = gradc("train " + arguments);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::smatch found;
    if (outcome.code != 0 ||
        !std::regex_search(outcome.output, found,
                           std::regex("test [^\n]*\\b" + metric + " ([0-9.]+)"))) {
      ADD_FAILURE() << arguments << "\n" << outcome.output;
      return 0;
    }
    const double value = std::stod(found[1].str());
    std::printf("gradc train %s\n  %s %.4f in %.0f s\n", arguments.c_str(), metric.c_str(), value,
                seconds.count());
    return value;
  }

  Scratch scratch_;
};

/// A rate that falls to nothing by the end of so many steps.
std::string falling(double rate, int steps) {
  return " --set 'training.optimizer.learning_rate={\"type\": \"cosine_decay\", "
         "\"initial_learning_rate\": " +
         std::to_string(rate) + ", \"decay_steps\": " + std::to_string(steps) + "}'";
}

TEST_F(RealData, MnistByLeNet) {
  const std::string mnist = folder("mnist", "train-images-idx3-ubyte.gz");
  if (mnist.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  EXPECT_GE(score(source("examples/lenet.json") + " --data " + mnist + " --epochs 6" +
                      falling(0.002, 6 * 938),
                  "accuracy"),
            0.99);
}

TEST_F(RealData, FashionMnist) {
  std::string fashion = folder("fashion-mnist", "train-images-idx3-ubyte.gz");
  if (fashion.empty() && fs::exists(fashion_mnist())) fashion = fashion_mnist();
  if (fashion.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  EXPECT_GE(score(source("examples/lenet.json") + " --data " + fashion + " --epochs 6" +
                      falling(0.002, 6 * 938),
                  "accuracy"),
            0.90);
}

TEST_F(RealData, CifarByAResidualNetworkWithAugmentationAndByLeNet) {
  const std::string cifar = folder("cifar10-subset", "train.bin.gz");
  if (cifar.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  const std::string scale = R"({"image": {"scale": 0.00392156862745098)";
  const double lenet = score(source("examples/lenet.json") + " --data " + cifar +
                                 " --epochs 20 --set 'inputs.0.shape=[32, 32, 3]'",
                             "accuracy");
  const double residual =
      score(source("examples/networks/resnet20.json") + " --data " + cifar +
                " --epochs 60 --set 'data=" + scale +
                R"(, "augment": {"flip_horizontal": true, "shift": 4}}}')" + falling(0.1, 60 * 40),
            "accuracy");
  EXPECT_GE(residual, lenet + 0.05);
}

TEST_F(RealData, Spam) {
  const std::string spam = shared_data("sms-spam/SMSSpamCollection.tsv");
  if (spam.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  EXPECT_GE(score(source("examples/spam_lstm.json") + " --data " + spam +
                      ":header=none:quote=none:target=1:test=0.2",
                  "f1_score"),
            0.93);
}

/// The images of a part that are (not) of a class, and the classes.
struct Digits {
  rt::Array images, labels;
};

Digits read_digits(const std::string& folder, const std::string& part) {
  Digits digits;
  for (const auto& [name, array] : {std::pair("-images-idx3-ubyte.gz", &digits.images),
                                    {"-labels-idx1-ubyte.gz", &digits.labels}}) {
    rt::Bytes bytes;
    const std::string path = folder + "/" + part + name;
    EXPECT_TRUE(rt::read_maybe_gzip(path.c_str(), &bytes).ok());
    EXPECT_TRUE(rt::parse_idx(bytes, path.c_str(), array).ok());
  }
  return digits;
}

/// The share of pairs, one of each, in which the first is the larger.
double area_under_roc(std::vector<double> odd, std::vector<double> normal) {
  std::ranges::sort(normal);
  double above = 0;
  for (const double value : odd) {
    const auto [low, high] = std::ranges::equal_range(normal, value);
    above += static_cast<double>(low - normal.begin()) + 0.5 * static_cast<double>(high - low);
  }
  return above / (static_cast<double>(odd.size()) * static_cast<double>(normal.size()));
}

TEST_F(RealData, WhatAnAutoencoderOfOneDigitDoesNotKnow) {
  const std::string mnist = folder("mnist", "train-images-idx3-ubyte.gz");
  if (mnist.empty()) GTEST_SKIP() << "no data: GRADC_DATA names the folder";
  constexpr int64_t kDigit = 3;
  const Digits train = read_digits(mnist, "train");
  rt::Array own;
  own.dtype = rt::Dtype::kU8;
  own.dims = train.images.dims.clone();
  own.dims[0] = 0;
  const size_t pixels = train.images.row_elements();
  for (size_t i = 0; i < train.labels.count(); ++i) {
    if (train.labels.data[i] != kDigit) continue;
    own.data.append(train.images.data.data() + i * pixels, pixels);
    ++own.dims[0];
  }
  fs::create_directories(scratch_ / "threes");
  for (const char* name : {"threes/image.npy", "threes/decoded.npy"})
    ASSERT_TRUE(rt::write_npy((scratch_ / name).c_str(), own).ok());
  const std::string model = source("examples/networks/autoencoder.json");
  const std::string weights = scratch_ / "w.safetensors";
  const auto begin = std::chrono::steady_clock::now();
  const Outcome trained =
      gradc("train " + model + " --data " + (scratch_ / "threes") + " --out " + weights);
  ASSERT_EQ(trained.code, 0) << trained.output;
  ASSERT_EQ(gradc("predict " + model + " --weights " + weights + " --in " + mnist +
                  "/t10k-images-idx3-ubyte.gz --out " + (scratch_ / "p.npy"))
                .code,
            0);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  const Digits test = read_digits(mnist, "t10k");
  rt::Bytes bytes;
  ASSERT_TRUE(rt::read_maybe_gzip((scratch_ / "p.npy").c_str(), &bytes).ok());
  rt::Array decoded;
  ASSERT_TRUE(rt::parse_npy(bytes.data(), bytes.size(), "p.npy", &decoded).ok());
  ASSERT_EQ(decoded.count(), test.images.count());
  std::vector<double> odd, normal;
  for (size_t i = 0; i < test.labels.count(); ++i) {
    double error = 0;
    for (size_t p = i * pixels; p < (i + 1) * pixels; ++p)
      error += std::pow(
          rt::load_f64(decoded.data.data(), decoded.dtype, p) - test.images.data[p] / 255.0, 2);
    (test.labels.data[i] == kDigit ? normal : odd).push_back(error);
  }
  const double area = area_under_roc(odd, normal);
  std::printf("autoencoder of %zu threes: area under the ROC curve %.4f in %.0f s\n",
              static_cast<size_t>(own.dims[0]), area, seconds.count());
  EXPECT_GE(area, 0.9);
}

}  // namespace
}  // namespace gradc::test
