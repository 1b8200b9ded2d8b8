// Training on several parts of a batch at once, averaged by hand: four sessions of one compiled
// model take the gradients of a quarter of the batch each, on threads of their own; the host
// averages them, and every session makes the same step. One session of whole batches does the same
// but for rounding.
#include <cmath>
#include <cstdio>
#include <gradc/session.h>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr const char* kModel = R"({
  "name": "spirals", "inputs": [{"name": "x", "shape": [2]}],
  "layers": [{"type": "dense", "units": 32, "activation": "tanh"},
             {"type": "dense", "units": 16, "activation": "tanh"},
             {"type": "dense", "units": 1, "name": "y"}],
  "training": {"loss": {"type": "binary_crossentropy", "from_logits": true},
               "optimizer": {"type": "sgd", "learning_rate": 0.1, "momentum": 0.9}, "batch_size": 64}})";

constexpr size_t kWorkers = 4, kBatch = 64, kPart = kBatch / kWorkers;
constexpr int kSteps = 200;

/// Points of two half moons, and which of them.
void draw(int step, std::vector<float>& x, std::vector<float>& y) {
  for (size_t i = 0; i < kBatch; ++i) {
    const float angle =
        std::fmod(0.618F * static_cast<float>(i + 7 * static_cast<size_t>(step)), 3.1416F);
    const bool upper = i % 2 == 0;
    x[2 * i] = upper ? std::cos(angle) : 1.0F - std::cos(angle);
    x[2 * i + 1] = upper ? std::sin(angle) : 0.4F - std::sin(angle);
    y[i] = upper ? 1.0F : 0.0F;
  }
}

int fail(const gradc::SessionStatus& status) {
  std::fprintf(stderr, "%s", status.message.c_str());
  return 1;
}

}  // namespace

int main() {
  gradc::SessionStatus status;
  const auto whole =
      gradc::Session::parse(kModel, "spirals.json", {.seed = 3, .has_seed = true}, &status);
  if (whole == nullptr) return fail(status);
  std::vector<std::unique_ptr<gradc::Session>> workers;
  const gradc::SessionOptions part = {.batch_size = kPart, .seed = 3, .has_seed = true};
  for (size_t w = 0; w < kWorkers; ++w) {
    gradc::Session& of = w == 0 ? *whole : *workers.front();
    workers.push_back(of.another(part, /*share_weights=*/false, &status));
    if (workers.back() == nullptr) return fail(status);
  }
  std::vector<std::string> parameters;
  for (const gradc::TensorInfo& tensor : whole->tensors()) {
    if (tensor.kind == gradc::TensorKind::kParameter) parameters.push_back(tensor.name);
  }

  std::vector<float> x(2 * kBatch), y(kBatch);
  float loss = 0.0F, first = 0.0F;
  for (int step = 0; step < kSteps; ++step) {
    draw(step, x, y);
    status = whole->step({gradc::View(x.data(), {kBatch, 2})}, {gradc::View(y.data(), {kBatch, 1})},
                         &loss);
    if (!status.ok()) return fail(status);
    if (step == 0) first = loss;

    gradc::SessionStatus of_worker[kWorkers];
    std::vector<std::thread> threads;
    for (size_t w = 0; w < kWorkers; ++w) {
      threads.emplace_back([&, w] {
        of_worker[w] = workers[w]->gradients({gradc::View(&x[2 * kPart * w], {kPart, 2})},
                                             {gradc::View(&y[kPart * w], {kPart, 1})});
      });
    }
    for (std::thread& thread : threads)
      thread.join();
    for (const gradc::SessionStatus& one : of_worker) {
      if (!one.ok()) return fail(one);
    }
    for (const std::string& name : parameters) {
      const std::string gradient = "gradient/" + name;
      const size_t count = workers[0]->parameter(gradient).size();
      for (size_t i = 0; i < count; ++i) {
        float sum = 0.0F;
        for (const auto& worker : workers)
          sum += worker->parameter(gradient)[i];
        for (const auto& worker : workers)
          worker->parameter(gradient)[i] = sum / static_cast<float>(kWorkers);
      }
    }
    for (const auto& worker : workers) {
      status = worker->apply_gradients();
      if (!status.ok()) return fail(status);
    }
  }

  bool equal = true;
  double apart = 0.0;
  for (const std::string& name : parameters) {
    const std::span<float> expected = whole->parameter(name), got = workers[0]->parameter(name);
    for (size_t i = 0; i < expected.size(); ++i) {
      apart = std::fmax(apart, std::abs(static_cast<double>(expected[i] - got[i])));
      for (const auto& worker : workers)
        equal = equal && worker->parameter(name)[i] == got[i];
    }
  }
  std::printf(
      "loss %.4f at first, %.4f at last; workers have %s weights, %.1e from whole batches\n",
      static_cast<double>(first), static_cast<double>(loss), equal ? "the same" : "different",
      apart);
  return equal && apart < 1e-3 && loss < 0.5F * first ? 0 : 1;
}
