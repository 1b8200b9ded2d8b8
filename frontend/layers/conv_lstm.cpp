// conv_lstm1d, conv_lstm2d, conv_lstm3d: an lstm whose products are convolutions, over [steps,
// spatial..., channels]. The input's convolution is made for all steps before the loop; that of
// the state, inside, keeps the spatial extents.
#include "frontend/layers/cells.h"
#include "frontend/layers/keep_mask.h"
#include "frontend/layers/step_loop.h"
#include "frontend/layers/window.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kStepFormat = {
    .name = kDataFormat,
    .type = OptionType::kEnum,
    .default_json = "\"channels_last\"",
    .doc =
        "axes of a step and of a state are [spatial..., channels], or channels_first: "
        "[channels, spatial...]",
    .or_null = true,
    .choices = "channels_last channels_first"};

template <int kRank>
constexpr OptionDef kConvLstmOptions[] = {
    {.name = "filters", .type = OptionType::kInt, .doc = "channels of the state", .min = 1},
    window_option("kernel_size", kRank, {}, "extents of both windows, the input's and the state's"),
    window_option("strides", kRank, "1", "steps of the input's window"),
    GRADC_PADDING,
    kStepFormat,
    window_option("dilation_rate", kRank, "1", "distance of the input's kernel elements"),
    kActivation,
    kRecurrentActivation,
    flag("use_bias", "true", "add a trained vector"),
    flag("unit_forget_bias", "true", "the forget gate's bias starts at 1"),
    GRADC_CELL_OPTIONS,
    GRADC_LOOP_OPTIONS,
};

constexpr WindowOptions kNames = {"kernel_size", "strides", "dilation_rate"};
constexpr int64_t kGates = 4;  // input, forget, candidate, output

std::vector<LoopState> states_of(const Ints& shape) {
  return {{std::string(kStateNames[0]), shape}, {std::string(kStateNames[1]), shape}};
}

template <int kRank>
bool infer_conv_lstm(LayerInferArgs& a) {
  if (a.shape().size() != kRank + 2) {
    return a.mismatch("needs an input [steps, {} spatial ax{}, channels] beside the batch, got {}",
                      kRank, kRank == 1 ? "is" : "es", to_string(a.inputs[0]));
  }
  const TensorSpec step{a.inputs[0].dtype, Ints(a.shape().begin() + 1, a.shape().end())};
  LayerInferArgs of_step = a;
  of_step.inputs = std::span(&step, 1);
  Window window;
  if (!infer_window(of_step, kNames, window)) return false;
  const int64_t filters = a.options().integer("filters");
  const auto width = checked_product(Ints{kGates, filters});
  if (!width) return a.mismatch("has {} filters, which are too many", filters);
  const Ints state = with_channels(window.out, filters);
  if (!keeps_shape(a, "activation", state) || !keeps_shape(a, "recurrent_activation", state))
    return false;
  a.parameter("kernel", with_channels(with_channels(window.size, step.shape.back()), *width));
  a.parameter("recurrent_kernel", with_channels(with_channels(window.size, filters), *width), true,
              "recurrent");
  if (a.options().flag("use_bias")) {
    a.parameter("bias", {*width});
    if (a.options().flag("unit_forget_bias")) {
      a.parameters.back().ones_begin = filters;
      a.parameters.back().ones_end = 2 * filters;
    }
  }
  return infer_loop(a, states_of(state), state);
}

Val convolved(Val x, Val kernel, const ConvAttrs& attrs) {
  return x.builder().add(Op::kConv, {x, kernel}, make_attrs(attrs));
}

/// The input's convolution, with the bias, for all steps: [steps, batch, spatial..., gates].
Val projected(const LayerBuildArgs& a, const Window& window) {
  Val x = steps_first(a.in());
  Ints step = x.shape().to_vector();
  const int64_t steps = step.front();
  step.erase(step.begin());
  if (const Val mask = keep_mask(a, a.options().number("dropout"), step); mask.valid())
    x = x * broadcast(mask, x.shape(), spatial_axes(step.size()));
  step.front() *= steps;
  Val y = with_bias(a, convolved(reshape(x, Shape(step)), a.parameter("kernel"), window.conv()));
  Ints shape = y.shape().to_vector();
  shape.front() = a.batch();
  shape.insert(shape.begin(), steps);
  return reshape(y, Shape(shape));
}

/// The window over a state: as many elements come out as go in.
Window over_state(const Window& window) {
  Window own;
  own.size = window.size;
  own.strides = own.dilation = Ints(window.size.size(), 1);
  own.out = window.out;
  for (const int64_t extent : window.size) {
    own.pad_low.push_back((extent - 1) / 2);
    own.pad_high.push_back(extent - 1 - (extent - 1) / 2);
  }
  return own;
}

Val build_conv_lstm(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Ints example = a.example_shape();
  const Window window =
      window_of(options, kNames, std::span(example).subspan(1, example.size() - 2));
  const int64_t filters = options.integer("filters");
  const Ints state = with_channels(window.out, filters);
  StepLoop loop(a, states_of(state));
  const Val x = loop.slice(projected(a, window), "x");
  const Val h = loop.states()[0], c = loop.states()[1];
  Ints shape = state;
  shape.insert(shape.begin(), a.batch());
  const Val kept = keep_mask(a, options.number("recurrent_dropout"), shape);
  const Val seen = kept.valid() ? h * loop.whole(kept, "mask") : h;
  const Val u = loop.whole(a.parameter("recurrent_kernel"), "u");
  const Val z = x + convolved(seen, u, over_state(window).conv());
  const auto gate = [&](const char* option, int64_t number) {
    Ints begin(shape.size(), 0), end = shape;
    begin.back() = number * filters;
    end.back() = (number + 1) * filters;
    return apply_activation(options.component(option), slice(z, begin, end));
  };
  constexpr const char* kGate = "recurrent_activation";
  const Val taken = gate(kGate, 0) * gate("activation", 2);
  const Val next = gate(kGate, 1) * c + taken;
  const Val result = gate(kGate, 3) * apply_activation(options.component("activation"), next);
  return loop.run({result, next}, 0);
}

template <int kRank>
constexpr LayerDef conv_lstm_layer(std::string_view type, std::string_view summary,
                                   std::string_view aliases) {
  return {.base = {.type = type,
                   .summary = summary,
                   .options = kConvLstmOptions<kRank>,
                   .aliases = aliases},
          .max_inputs = 3,
          .steps_lead = true,
          .masks = MaskRule::kKnows,
          .infer = infer_conv_lstm<kRank>,
          .build = build_conv_lstm,
          .build_mask = recurrent_mask};
}

}  // namespace

extern constinit const LayerDef kConvLstm1d = conv_lstm_layer<1>(
    "conv_lstm1d",
    "lstm over [steps, width, channels] whose products are convolutions. Inputs: the steps, and "
    "the first h and c unless zeros.",
    "conv_lstm_1d");
extern constinit const LayerDef kConvLstm2d = conv_lstm_layer<2>(
    "conv_lstm2d",
    "lstm over [steps, height, width, channels] whose products are convolutions. Inputs: the "
    "steps, and the first h and c unless zeros.",
    "conv_lstm_2d");
extern constinit const LayerDef kConvLstm3d = conv_lstm_layer<3>(
    "conv_lstm3d",
    "lstm over [steps, depth, height, width, channels] whose products are convolutions. Inputs: "
    "the steps, and the first h and c unless zeros.",
    "conv_lstm_3d");

}  // namespace gradc::layers
