// Layers around a layer: bidirectional, time_distributed. What the inner layer holds is called
// "<inner name>/<parameter>" where there are two, and as without the wrapper where there is one.
#include "frontend/layers/inner.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <type_traits>
#include <utility>

namespace gradc::layers {

bool infer_inner(LayerInferArgs& a, Layer layer, std::span<const TensorSpec> inputs, int64_t batch,
                 bool masked, const std::string& prefix, std::vector<CallResult>& results) {
  layer.policy = a.layer.policy;
  LayerInferArgs inner{.layer = layer,
                       .inputs = inputs,
                       .sink = a.sink,
                       .place = layer.place,
                       .batch_size = batch,
                       .masked = masked,
                       .output = {},
                       .parameters = {}};
  if (!layer.def->integers && !is_float(inputs[0].dtype))
    return a.mismatch("has a {} that needs float inputs, got {}", inner.who(),
                      to_string(inputs[0]));
  if (!infer_layer(inner)) return false;
  for (ParameterSpec& spec : inner.parameters) {
    spec.name = prefix + spec.name;
    spec.trainable = spec.trainable && a.layer.trainable;
    a.parameters.push_back(std::move(spec));
  }
  results.push_back({{}, std::move(inner.output), false});
  results.insert(results.end(), inner.more.begin(), inner.more.end());
  return true;
}

Val build_inner(const LayerBuildArgs& a, Layer layer, std::span<const Val> inputs, Val tail_weight,
                Val mask, const std::string& prefix, const std::string& given) {
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
  inner.penalize = a.penalize;
  inner.give = [&](std::string_view name, Val value) { a.give(given + std::string(name), value); };
  return build_layer(inner);
}

bool has_one_result(LayerInferArgs& a, const Layer& layer, const std::vector<CallResult>& results) {
  if (results.size() == 1) return true;
  a.sink.error(DiagKind::kUnsupported, layer.place,
               "{} passes on one result of its layer, but this {} has {}", a.who(),
               layer.component.written_type, results.size());
  return false;
}

namespace {

constexpr OptionDef kBidirectionalOptions[] = {
    {.name = "layer", .type = OptionType::kLayer, .doc = "a recurrent layer"},
    {.name = "merge_mode",
     .type = OptionType::kEnum,
     .default_json = "\"concat\"",
     .doc = "how the two results become one; null: they stay two, the second NAME.backward",
     .or_null = true,
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

/// The steps for both directions; states that they start from, first the forward layer's, then the
/// backward layer's.
template <class Args>
auto direction_inputs(const Args& a) {
  using Value = std::remove_cvref_t<decltype(a.inputs[0])>;
  std::array<std::vector<Value>, 2> inputs;
  const size_t states = (a.inputs.size() - 1) / 2;
  for (size_t d = 0; d < 2; ++d) {
    inputs[d].push_back(a.inputs[0]);
    for (size_t i = 0; i < states; ++i)
      inputs[d].push_back(a.inputs[1 + d * states + i]);
  }
  return inputs;
}

/// Both or none of the two layers have an option.
bool agree(LayerInferArgs& a, const Directions& both, const char* option) {
  if (both.forward.component.options.flag(option) == both.backward.component.options.flag(option))
    return true;
  a.sink.error(DiagKind::kUnsupported, both.backward.place,
               "{} has one layer with \"{}\" and one without: both or none", a.who(), option);
  return false;
}

bool check_directions(LayerInferArgs& a, const Directions& both) {
  const bool backwards = both.forward.component.options.flag("go_backwards");
  if (backwards == both.backward.component.options.flag("go_backwards")) {
    a.sink.error(DiagKind::kUnsupported, both.backward.place,
                 "{} has two layers that go {}: one must have \"go_backwards\"", a.who(),
                 backwards ? "backwards" : "forwards");
    return false;
  }
  return agree(a, both, "return_sequences") && agree(a, both, "return_state");
}

constexpr std::array<const char*, 2> kDirections = {"forward_", "backward_"};
constexpr const char* kBackward = "backward";

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
  if (!check_directions(a, both)) return false;
  if (a.inputs.size() % 2 == 0) {
    return a.mismatch("starts from as many states forwards as backwards, got {} of them",
                      a.inputs.size() - 1);
  }
  std::array<std::vector<CallResult>, 2> results;
  const std::array<std::vector<TensorSpec>, 2> inputs = direction_inputs(a);
  if (!infer_inner(a, both.forward, inputs[0], a.batch_size, a.masked, both.forward_prefix(),
                   results[0]) ||
      !infer_inner(a, both.backward, inputs[1], a.batch_size, a.masked, both.backward_prefix(),
                   results[1]))
    return false;
  const Ints there = results[0].front().spec.shape, back = results[1].front().spec.shape;
  a.output = results[0].front().spec;
  a.output_masked = a.masked && both.forward.component.options.flag("return_sequences");
  if (!a.options().has("merge_mode")) {
    a.result(kBackward, back, a.output_masked);
  } else if (a.options().text("merge_mode") == "concat") {
    a.output.shape.back() += back.back();
  } else if (there != back) {
    return a.mismatch("joins {} and {} with merge_mode \"{}\", which needs equal shapes",
                      shape_text(there), shape_text(back), a.options().text("merge_mode"));
  }
  for (size_t d = 0; d < 2; ++d) {
    for (size_t i = 1; i < results[d].size(); ++i)
      a.result(kDirections[d] + results[d][i].name, results[d][i].spec.shape);
  }
  return true;
}

Val build_bidirectional(const LayerBuildArgs& a) {
  const Directions both(a.options());
  const std::array<std::vector<Val>, 2> inputs = direction_inputs(a);
  const Val there = build_inner(a, both.forward, inputs[0], a.tail_weight, a.mask,
                                both.forward_prefix(), kDirections[0]);
  Val back = build_inner(a, both.backward, inputs[1], a.tail_weight, a.mask, both.backward_prefix(),
                         kDirections[1]);
  if (both.backward.component.options.flag("return_sequences")) back = reverse(back, {1});
  if (!a.options().has("merge_mode")) {
    a.give(kBackward, back);
    return there;
  }
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
  std::vector<CallResult> results;
  if (!infer_inner(a, layer, std::span(&step, 1), *rows, false, {}, results)) return false;
  if (!has_one_result(a, layer, results)) return false;
  a.output = results.front().spec;
  const bool carries = std::any_of(a.parameters.begin(), a.parameters.end(),
                                   [](const ParameterSpec& p) { return p.carried; });
  if (carries) {
    a.sink.error(DiagKind::kUnsupported, layer.place,
                 "{} has a stateful {}, but its steps are no batches", a.who(),
                 layer.component.written_type);
    return false;
  }
  a.output.shape.insert(a.output.shape.begin(), steps);
  return true;
}

/// What each step of each example counts, as shares of 1; empty: all the same.
Val step_weights(const LayerBuildArgs& a) {
  const int64_t steps = a.in().shape()[1];
  Val weight = a.tail_weight;
  if (weight.valid())
    weight = broadcast(weight / static_cast<double>(steps), Shape{a.batch(), steps}, {0});
  if (!a.mask.valid()) return weight;
  const Val counts = cast(a.mask, a.layer.policy.compute);
  weight = weight.valid() ? weight * counts : counts;
  constexpr double kSmallest = 1e-7;  // where no step counts all count 0
  const Val sum = maximum(reduce_sum(weight, {0, 1}), kSmallest);
  return weight / broadcast(sum, weight.shape(), {});
}

/// Steps are further rows of the batch: what is averaged over a batch is over all of them.
Val build_time_distributed(const LayerBuildArgs& a) {
  const Val x = a.in();
  const int64_t rows = a.batch() * x.shape()[1];
  const auto joined = [&](Val value) {
    Ints dims = {rows};
    const Shape shape = value.shape();
    dims.insert(dims.end(), shape.begin() + 2, shape.end());
    return reshape(value, Shape(dims));
  };
  const Val weight = step_weights(a);
  const std::vector<Val> inputs = {joined(x)};
  const Val y = build_inner(a, *a.options().layer("layer"), inputs,
                            weight.valid() ? joined(weight) : Val(), {}, {}, {});
  Ints dims = {a.batch(), x.shape()[1]};
  const Shape shape = y.shape();
  dims.insert(dims.end(), shape.begin() + 1, shape.end());
  return reshape(y, Shape(dims));
}

}  // namespace

extern constinit const LayerDef kBidirectional{
    .base = {.type = "bidirectional",
             .summary = "A recurrent layer over the steps in both directions, with weights of its "
                        "own for each. Inputs: the steps, and the first states of the forward and "
                        "of the backward layer unless zeros. Parameters are called "
                        "forward_<layer>/... and backward_<layer>/..., states of return_state "
                        "NAME.forward_state_h, NAME.backward_state_h, ...",
             .options = kBidirectionalOptions},
    .max_inputs = 5,
    .masks = MaskRule::kKnows,
    .infer = infer_bidirectional,
    .build = build_bidirectional,
    .build_mask = [](const LayerBuildArgs& a) { return a.mask; },
};

extern constinit const LayerDef kTimeDistributed{
    .base = {.type = "time_distributed",
             .summary = "A layer on every step of [steps, ...] alike. What it averages over a "
                        "batch (batch_normalization) is over all steps that count.",
             .options = kTimeDistributedOptions},
    .integers = true,
    .masks = MaskRule::kCarries,
    .infer = infer_time_distributed,
    .build = build_time_distributed,
};

}  // namespace gradc::layers
