// Metrics of a dense layer's predictions, worked out from the predictions in double and by the
// command in batches of several sizes.
#pragma once

#include "runtime/array.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

namespace gradc::test {

using Numbers = std::vector<double>;

class Metrics : public ::testing::Test {
 protected:
  static constexpr size_t kRows = 203;  // a tail with every batch size below

  std::string path(const std::string& name) const { return scratch_ / name; }

  void write(const std::string& name, rt::Dtype dtype, size_t width, const Numbers& values) const {
    rt::Array array;
    array.dtype = dtype;
    array.dims.push(static_cast<int64_t>(values.size() / width));
    if (width > 1) array.dims.push(static_cast<int64_t>(width));
    array.data.resize(values.size() * 4);
    for (size_t i = 0; i < values.size(); ++i) {
      if (dtype == rt::Dtype::kI32)
        rt::store_i64(array.data.data(), dtype, i, static_cast<int64_t>(values[i]));
      else
        rt::store_f64(array.data.data(), dtype, i, values[i]);
    }
    ASSERT_TRUE(rt::write_npy(path(name).c_str(), array).ok());
  }

  /// A dense layer on three features.
  void make(const std::string& layer, const std::string& loss, const std::string& metrics,
            const std::string& more = "") {
    write_text_file(path("m.json"), R"({"name": "m", "inputs": [{"name": "x", "shape": [3]}],
      "layers": [{"type": "dense", "name": "y", )" +
                                        layer + R"(}],
      "training": {"loss": )" + loss + R"(, "optimizer": "sgd", "metrics": [)" +
                                        metrics + R"(],
                   "epochs": 1)" + more +
                                        "}}");
    std::mt19937 random(3);
    std::normal_distribution<double> normal;
    Numbers x;
    for (size_t i = 0; i < kRows * 3; ++i)
      x.push_back(static_cast<double>(static_cast<float>(normal(random))));
    write("x.npy", rt::Dtype::kF32, 3, x);
  }

  Numbers predictions() const {
    const Outcome done =
        gradc("train " + path("m.json") + files() + " --seed 5 --out " + path("w.safetensors"));
    EXPECT_EQ(done.code, 0) << done.output;
    const Outcome made = gradc("predict " + path("m.json") + " --weights " + path("w.safetensors") +
                               " --input x=" + path("x.npy") + " --out " + path("p.npy"));
    EXPECT_EQ(made.code, 0) << made.output;
    rt::Array array;
    const std::string bytes = read_file(path("p.npy"));
    EXPECT_TRUE(
        rt::parse_npy(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), "p", &array)
            .ok());
    Numbers values;
    for (size_t i = 0; i < array.count(); ++i)
      values.push_back(rt::load_f64(array.data.data(), array.dtype, i));
    return values;
  }

  std::string files() const {
    const std::string weights =
        std::filesystem::exists(path("w.npy")) ? " --target sample_weight=" + path("w.npy") : "";
    return " --input x=" + path("x.npy") + " --target y=" + path("y.npy") + weights;
  }

  double metric(const std::string& name, int batch) const {
    const Outcome scores = gradc("eval " + path("m.json") + files() + " --json --weights " +
                                 path("w.safetensors") + " --batch-size " + std::to_string(batch));
    EXPECT_EQ(scores.code, 0) << scores.output;
    const size_t at = scores.output.find("\"" + name + "\":");
    return at == std::string::npos ? std::nan("")
                                   : std::atof(scores.output.c_str() + at + name.size() + 3);
  }

  void expect(const std::string& name, double wanted) const {
    for (const int batch : {1, 32, 203, 256})
      EXPECT_NEAR(metric(name, batch), wanted, 2e-6) << name << ", batch " << batch;
  }

  Scratch scratch_;
};

inline double over(double a, double b) {
  return b > 0 ? a / b : 0;
}

}  // namespace gradc::test
