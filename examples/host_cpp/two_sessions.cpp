// One compiled model, two sessions, two threads: with weights of their own they train apart, with
// shared weights they predict side by side. What each computes is what it computes alone.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <gradc/session.h>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr const char* kModel = R"({
  "name": "curve", "inputs": [{"name": "x", "shape": [1]}],
  "layers": [{"type": "dense", "units": 24, "activation": "tanh"}, {"type": "dropout", "rate": 0.1},
             {"type": "dense", "units": 1, "name": "y"}],
  "training": {"loss": "mse", "optimizer": {"type": "adam", "learning_rate": 0.01}, "batch_size": 32}})";

constexpr int kSteps = 300;

/// The same batches for all; the loss of the last step, or less than 0 where one failed.
float train(gradc::Session& session) {
  std::vector<float> x(32), y(32);
  const gradc::View inputs(x.data(), {32, 1}), targets(y.data(), {32, 1});
  float loss = 0.0F;
  for (int step = 0; step < kSteps; ++step) {
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = std::sin(static_cast<float>(step) + 0.37F * static_cast<float>(i));
      y[i] = x[i] * x[i] - 0.5F;
    }
    if (!session.step({inputs}, {targets}, &loss).ok()) return -1.0F;
  }
  return loss;
}

std::vector<float> predict(gradc::Session& session) {
  std::vector<float> x(1000), y(1000);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] = 0.002F * static_cast<float>(i) - 1.0F;
  const gradc::View inputs(x.data(), {1000, 1});
  const gradc::MutableView outputs(y.data(), {1000, 1});
  return session.predict({inputs}, {outputs}).ok() ? y : std::vector<float>();
}

/// Both at the same time.
void beside(const std::function<void()>& a, const std::function<void()>& b) {
  std::thread one(a), two(b);
  one.join();
  two.join();
}

}  // namespace

int main() {
  gradc::SessionStatus status;
  const auto open = [&](uint64_t seed) {
    return gradc::Session::parse(kModel, "curve.json", {.seed = seed, .has_seed = true}, &status);
  };
  const auto first = open(1);
  if (first == nullptr) {
    std::fprintf(stderr, "%s", status.message.c_str());
    return 1;
  }
  const auto second =
      first->another({.seed = 2, .has_seed = true}, /*share_weights=*/false, &status);
  if (second == nullptr) {
    std::fprintf(stderr, "%s", status.message.c_str());
    return 1;
  }
  // Nothing is compiled yet: whoever comes first does it for both.
  float losses[2] = {};
  beside([&] { losses[0] = train(*first); }, [&] { losses[1] = train(*second); });
  const auto alone = open(2);
  const bool same = alone != nullptr && train(*alone) == losses[1] && losses[0] != losses[1];
  std::printf("losses %.5f and %.5f; alone the second has %s\n", static_cast<double>(losses[0]),
              static_cast<double>(losses[1]), same ? "the same bits" : "another");

  const auto reader = first->another({}, /*share_weights=*/true, &status);
  if (reader == nullptr) {
    std::fprintf(stderr, "%s", status.message.c_str());
    return 1;
  }
  std::vector<float> seen[2];
  beside([&] { seen[0] = predict(*first); }, [&] { seen[1] = predict(*reader); });
  const bool shared = !seen[0].empty() && seen[0] == seen[1];
  std::printf("with shared weights both predict %s\n", shared ? "the same" : "something else");
  return same && shared && losses[0] >= 0.0F && losses[0] < 0.05F ? 0 : 1;
}
