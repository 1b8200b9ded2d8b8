// Trains a small network from C++ on buffers of its own: host_cpp MODEL.json
// The model has one f32 input and one target; here both are drawn from a rule the network can
// learn.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <gradc/session.h>
#include <random>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: host_cpp MODEL.json\n");
    return 2;
  }
  gradc::SessionStatus status;
  const auto session =
      gradc::Session::load(argv[1], {.threads = 2, .seed = 1, .has_seed = true}, &status);
  if (session == nullptr) {
    std::fprintf(stderr, "%s", status.message.c_str());
    return 1;
  }
  status = session->warm_up();
  if (!status.ok()) {
    std::fprintf(stderr, "%s", status.message.c_str());
    return 1;
  }
  std::printf("compiled in %.0f ms, batch %lld\n", session->compile_milliseconds(),
              static_cast<long long>(session->batch_size()));

  size_t num_inputs = 0, num_targets = 0;
  gradc::Extents input_shape, target_shape;
  for (const gradc::TensorInfo& tensor : session->tensors()) {
    if (tensor.kind == gradc::TensorKind::kInput) {
      num_inputs = static_cast<size_t>(tensor.bytes) / sizeof(float);
      input_shape = gradc::Extents(tensor.shape);
    }
    if (tensor.kind == gradc::TensorKind::kTarget) {
      num_targets = static_cast<size_t>(tensor.bytes) / sizeof(float);
      target_shape = gradc::Extents(tensor.shape);
    }
  }
  const size_t batch = static_cast<size_t>(session->batch_size());
  const size_t in = num_inputs / batch, out = num_targets / batch;

  std::vector<float> x(num_inputs), y(num_targets), predicted(num_targets);
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  const gradc::View input(x.data(), input_shape), target(y.data(), target_shape);
  float first = 0.0F, loss = 0.0F;
  for (int step = 0; step < 400; ++step) {
    for (float& value : x)
      value = uniform(random);
    for (size_t row = 0; row < batch; ++row) {
      for (size_t j = 0; j < out; ++j)
        y[row * out + j] = 0.5F * x[row * in + j % in] - 0.25F * x[row * in + (j + 1) % in];
    }
    status = session->step({input}, {target}, &loss);
    if (!status.ok()) {
      std::fprintf(stderr, "%s", status.message.c_str());
      return 1;
    }
    if (step == 0) first = loss;
    if (step % 100 == 0) std::printf("step %3d  loss %.5f\n", step, static_cast<double>(loss));
  }
  std::printf("final loss %.5f\n", static_cast<double>(loss));

  status = session->predict({input}, {{predicted.data(), target_shape}});
  double error = 0.0;
  for (size_t i = 0; i < num_targets; ++i)
    error += std::abs(static_cast<double>(predicted[i] - y[i]));
  std::printf("mean absolute error of predictions %.5f\n",
              error / static_cast<double>(num_targets));
  return status.ok() && loss < 0.5F * first ? 0 : 1;
}
