// Layers around a layer: bidirectional, time_distributed. What the inner layer holds is called
// "<inner name>/<parameter>" where there are two, and as without the wrapper where there is one.
#include "frontend/layer_def.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace gradc::layers {
namespace {

constexpr OptionDef kBidirectionalOptions[] = {
    {.name = "layer", .type = OptionType::kLayer, .doc = "a recurrent layer"},
    {.name = "merge_mode",
     .type = OptionType::kEnum,
     .default_json = "\"concat\"",
     .doc = "how the two results become one",
     .choices = "concat sum mul ave"},
    {.name = "backward_layer",
     .type = OptionType::kLayer,
     .default_json = "null",
     .doc = "the layer of the other direction; null: one like layer"},
};

constexpr OptionDef kTimeDistributedOptions[] = {
    {.name = "layer", .type = OptionType::kLayer, .doc = "applied to every step alike"},
};

std::string inner_prefix(std::string_view direction, const Layer& layer) {
  const std::string name =
      layer.name.starts_with(direction) ? layer.name.substr(direction.size()) : layer.name;
  return std::string(direction) + name + "/";
}

/// What the inner layer infers, its parameters under a prefix.
bool infer_inner(LayerInferArgs& a, Layer layer, std::span<const TensorSpec> inputs, int64_t batch,
                 const std::string& prefix, TensorSpec& output) {
  layer.policy = a.layer.policy;
  LayerInferArgs inner{.layer = layer,
                       .inputs = inputs,
                       .sink = a.sink,
                       .place = layer.place,
                       .batch_size = batch,
                       .masked = a.masked,
                       .output = {},
                       .parameters = {}};
  if (!layer.def->integers && !is_float(inputs[0].dtype))
    return a.mismatch("has a {} that needs float inputs, got {}", inner.who(),
                      to_string(inputs[0]));
  if (!layer.def->infer(inner)) return false;
  for (ParameterSpec& spec : inner.parameters) {
    spec.name = prefix + spec.name;
    spec.trainable = spec.trainable && a.layer.trainable;
    a.parameters.push_back(std::move(spec));
  }
  output = std::move(inner.output);
  return true;
}

Val build_inner(const LayerBuildArgs& a, Layer layer, std::span<const Val> inputs, Val tail_weight,
                Val mask, const std::string& prefix) {
  layer.policy = a.layer.policy;
  LayerBuildArgs inner{.layer = layer, .inputs = inputs, .builder = a.builder};
  inner.training = a.training;
  inner.mask = mask;
  inner.zero_masked = mask.valid();
  inner.tail_weight = tail_weight;
  inner.seed = a.seed;
  inner.iteration = a.iteration;
  inner.next_stream = a.next_stream;
  inner.parameter = [&](std::string_view name) { return a.parameter(prefix + std::string(name)); };
  inner.update_state = [&](std::string_view name, Val value) {
    a.update_state(prefix + std::string(name), value);
  };
  return layer.def->build(inner);
}

/// The two layers of a bidirectional one.
struct Directions {
  Layer forward, backward;

  explicit Directions(const Options& options)
      : forward(*options.layer("layer")), backward(forward) {
    if (const Layer* own = options.layer("backward_layer"))
      backward = *own;
    else
      backward.component.options.set("go_backwards", true);
  }
  std::string forward_prefix() const { return inner_prefix("forward_", forward); }
  std::string backward_prefix() const { return inner_prefix("backward_", backward); }
};

bool is_recurrent(const Layer& layer) {
  return layer.def != &raw_op_layer() && layer.component.options.defines("go_backwards");
}

bool infer_bidirectional(LayerInferArgs& a) {
  for (const char* option : {"layer", "backward_layer"}) {
    const Layer* layer = a.options().layer(option);
    if (layer == nullptr || is_recurrent(*layer)) continue;
    a.sink.error(DiagKind::kUnsupported, layer->place,
                 "{} goes over steps in two directions, but {} "
                 "\"{}\" is no recurrent layer",
                 a.who(), option, layer->component.written_type);
    return false;
  }
  const Directions both(a.options());
  const Options& forward = both.forward.component.options;
  const Options& backward = both.backward.component.options;
  if (forward.flag("go_backwards") == backward.flag("go_backwards")) {
    a.sink.error(DiagKind::kUnsupported, both.backward.place,
                 "{} has two layers that go {}: one must have \"go_backwards\"", a.who(),
                 forward.flag("go_backwards") ? "backwards" : "forwards");
    return false;
  }
  if (forward.flag("return_sequences") != backward.flag("return_sequences")) {
    a.sink.error(DiagKind::kUnsupported, both.backward.place,
                 "{} has one layer with \"return_sequences\" and one without: both or none",
                 a.who());
    return false;
  }
  TensorSpec there, back;
  if (!infer_inner(a, both.forward, a.inputs, a.batch_size, both.forward_prefix(), there) ||
      !infer_inner(a, both.backward, a.inputs, a.batch_size, both.backward_prefix(), back))
    return false;
  a.output = there;
  a.output_masked = a.masked && forward.flag("return_sequences");
  if (a.options().text("merge_mode") == "concat") {
    a.output.shape.back() += back.shape.back();
    return true;
  }
  if (there.shape == back.shape) return true;
  return a.mismatch("joins {} and {} with merge_mode \"{}\", which needs equal shapes",
                    shape_text(there.shape), shape_text(back.shape),
                    a.options().text("merge_mode"));
}

Val build_bidirectional(const LayerBuildArgs& a) {
  const Directions both(a.options());
  const Val there =
      build_inner(a, both.forward, a.inputs, a.tail_weight, a.mask, both.forward_prefix());
  Val back = build_inner(a, both.backward, a.inputs, a.tail_weight, a.mask, both.backward_prefix());
  if (both.backward.component.options.flag("return_sequences")) back = reverse(back, {1});
  const std::string& mode = a.options().text("merge_mode");
  if (mode == "concat") return concat({there, back}, there.rank() - 1);
  if (mode == "mul") return there * back;
  return mode == "sum" ? there + back : (there + back) * 0.5;
}

bool infer_time_distributed(LayerInferArgs& a) {
  if (a.shape().empty()) {
    return a.mismatch("needs an input [steps, ...] beside the batch, got {}",
                      to_string(a.inputs[0]));
  }
  const Layer& layer = *a.options().layer("layer");
  const int64_t steps = a.shape()[0];
  const TensorSpec step{a.inputs[0].dtype, Ints(a.shape().begin() + 1, a.shape().end())};
  const auto rows = checked_product(Ints{steps, a.batch_size});
  if (!rows) return a.mismatch("has {} steps, which are too many", steps);
  if (!infer_inner(a, layer, std::span(&step, 1), *rows, {}, a.output)) return false;
  const bool keeps_state = std::any_of(a.parameters.begin(), a.parameters.end(),
                                       [&](const ParameterSpec& p) { return !p.trainable; });
  if (keeps_state && layer.trainable && a.layer.trainable) {
    a.sink.error(DiagKind::kUnsupported, layer.place,
                 "{} has a {} layer, which keeps averages of its batches: of which step is not "
                 "defined",
                 a.who(), layer.component.written_type);
    return false;
  }
  a.output.shape.insert(a.output.shape.begin(), steps);
  return true;
}

/// Steps are further rows of the batch.
Val build_time_distributed(const LayerBuildArgs& a) {
  const Val x = a.in();
  const int64_t rows = a.batch() * x.shape()[1];
  const auto joined = [&](Val value) {
    Ints dims = {rows};
    const Shape shape = value.shape();
    dims.insert(dims.end(), shape.begin() + 2, shape.end());
    return reshape(value, Shape(dims));
  };
  Val weight = a.tail_weight;
  if (weight.valid()) {
    const double steps = static_cast<double>(x.shape()[1]);
    weight = joined(broadcast(weight / steps, Shape{a.batch(), x.shape()[1]}, {0}));
  }
  const std::vector<Val> inputs = {joined(x)};
  const Val y = build_inner(a, *a.options().layer("layer"), inputs, weight, {}, {});
  Ints dims = {a.batch(), x.shape()[1]};
  const Shape shape = y.shape();
  dims.insert(dims.end(), shape.begin() + 1, shape.end());
  return reshape(y, Shape(dims));
}

}  // namespace

extern constinit const LayerDef kBidirectional{
    .base = {.type = "bidirectional",
             .summary = "A recurrent layer over the steps in both directions, with weights of its "
                        "own for each. Parameters are called forward_<layer>/... and "
                        "backward_<layer>/...",
             .options = kBidirectionalOptions},
    .masks = MaskRule::kKnows,
    .infer = infer_bidirectional,
    .build = build_bidirectional,
    .build_mask = [](const LayerBuildArgs& a) { return a.mask; },
};

extern constinit const LayerDef kTimeDistributed{
    .base = {.type = "time_distributed",
             .summary = "A layer on every step of [steps, ...] alike.",
             .options = kTimeDistributedOptions},
    .integers = true,
    .masks = MaskRule::kCarries,
    .infer = infer_time_distributed,
    .build = build_time_distributed,
};

}  // namespace gradc::layers
