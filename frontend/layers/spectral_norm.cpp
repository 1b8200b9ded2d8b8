// spectral_normalization: a layer whose matrix is divided by its largest singular value before each
// step of training, as Keras assigns it. The value is found by power iteration, a little at each
// step: the vector is kept.
#include "frontend/layers/inner.h"

#include <array>

namespace gradc::layers {
namespace {

constexpr OptionDef kSpectralOptions[] = {
    {.name = "layer", .type = OptionType::kLayer, .doc = "a layer with a kernel or embeddings"},
    {.name = "power_iterations",
     .type = OptionType::kInt,
     .default_json = "1",
     .doc = "of each step",
     .min = 1,
     .max = 100},
};

constexpr std::string_view kVector = "vector_u";

/// The parameter that is divided, its last axis being one of the matrix, all others the other.
const ParameterSpec* matrix_of(const std::vector<ParameterSpec>& parameters) {
  static constexpr std::array<std::string_view, 3> kNames = {"kernel", "embeddings",
                                                             "depthwise_kernel"};
  for (const std::string_view name : kNames) {
    for (const ParameterSpec& one : parameters) {
      if (one.name == name) return &one;
    }
  }
  return nullptr;
}

bool infer_spectral(LayerInferArgs& a) {
  const Layer& layer = *a.options().layer("layer");
  std::vector<CallResult> results;
  if (!infer_inner(a, layer, a.inputs, a.batch_size, false, {}, results)) return false;
  if (!has_one_result(a, layer, results)) return false;
  const ParameterSpec* matrix = matrix_of(a.parameters);
  if (matrix == nullptr) {
    a.sink.error(DiagKind::kUnsupported, layer.place,
                 "{} divides a kernel or embeddings, but {} \"{}\" has none", a.who(),
                 layer.component.written_type, layer.name);
    return false;
  }
  ParameterSpec vector;
  vector.name = std::string(kVector);
  vector.dtype = matrix->dtype;
  vector.shape = {1, matrix->shape.back()};
  vector.initializer = default_component(Family::kInitializer, "truncated_normal");
  vector.initializer.options.set("stddev", 0.02);
  vector.trainable = false;
  a.parameters.push_back(std::move(vector));
  a.output = results.front().spec;
  return true;
}

/// x / |x|.
Val normalized(Val x) {
  constexpr double kSmallest = 1e-14;  // square of Keras's epsilon
  return x * broadcast(rsqrt(maximum(reduce_sum(x * x, {0, 1}), kSmallest)), x.shape(), {});
}

/// Replaces the matrix; one that is all zeros stays.
void divide_by_sigma(const LayerBuildArgs& a, const std::string& name) {
  const Val kernel = a.parameter(name);
  const int64_t columns = kernel.shape()[kernel.rank() - 1];
  const Val w = reshape(kernel, Shape{kernel.shape().num_elements() / columns, columns});
  const Val before = a.parameter(kVector);
  Val u = before, product;
  for (int64_t i = 0; i < a.options().integer("power_iterations"); ++i) {
    const Val v = normalized(matmul(u, w, false, true));
    product = matmul(v, w);
    u = normalized(product);
  }
  const Val zero = equal(reduce_max(abs(w), {0, 1}), 0.0);
  const Val norm = reduce_sum(product * u, {0, 1});
  const Val sigma = select(equal(norm, 0.0), 1.0, norm);
  a.update_state(name, kernel / broadcast(sigma, kernel.shape(), {}));
  a.update_state(kVector, select(broadcast(zero, u.shape(), {}), before, u));
}

Val build_spectral(const LayerBuildArgs& a) {
  const Layer& layer = *a.options().layer("layer");
  const ParameterSpec* matrix = matrix_of(a.layer.parameters);
  if (a.training && matrix->trainable) divide_by_sigma(a, matrix->name);
  return build_inner(a, layer, a.inputs, a.tail_weight, {}, {}, {});
}

}  // namespace

extern constinit const LayerDef kSpectralNormalization{
    .base = {.type = "spectral_normalization",
             .summary = "A layer whose kernel is divided by its largest singular value before each "
                        "step of training: power iteration goes on from the vector NAME/vector_u.",
             .options = kSpectralOptions},
    .integers = true,
    .infer = infer_spectral,
    .build = build_spectral,
};

}  // namespace gradc::layers
