// Layers that tell steps apart, named as Keras Hub's: position_embedding, sine_position_encoding,
// rotary_embedding, token_and_position_embedding.
#include "frontend/layer_def.h"
#include "frontend/layers/rotation.h"

#include <cmath>
#include <vector>

namespace gradc::layers {

namespace {

/// Numbers [steps, features] that depend on both indices.
template <class Function>
Val table(Builder& builder, DType dtype, int64_t steps, int64_t features, Function number) {
  std::vector<double> elements;
  elements.reserve(static_cast<size_t>(steps * features));
  for (int64_t step = 0; step < steps; ++step) {
    for (int64_t feature = 0; feature < features; ++feature)
      elements.push_back(number(step, feature));
  }
  return builder.constant({dtype, Shape{steps, features}}, std::move(elements));
}

}  // namespace

Val rotated(Val x, int steps, int features, const Rotation& rotation) {
  const Shape shape = x.shape();
  const int64_t width = shape[features];
  const int64_t pairs = width / 2;
  const auto angle = [&](int64_t step, int64_t pair) {
    const double share = static_cast<double>(2 * pair) / static_cast<double>(width);
    return static_cast<double>(step) / rotation.scaling_factor /
           std::pow(rotation.max_wavelength, share);
  };
  Shape half = shape;
  half[features] = pairs;
  const auto spread = [&](auto function) {
    Val numbers = table(x.builder(), x.dtype(), shape[steps], pairs,
                        [&](int64_t step, int64_t pair) { return function(angle(step, pair)); });
    if (steps > features) numbers = transpose(numbers, {1, 0});
    return broadcast(numbers, half, {std::min(steps, features), std::max(steps, features)});
  };
  const auto part = [&](int64_t first) {
    std::vector<int64_t> start(static_cast<size_t>(shape.rank()));
    std::vector<int64_t> limit = shape.to_vector();
    start[static_cast<size_t>(features)] = first;
    limit[static_cast<size_t>(features)] = first + pairs;
    return slice(x, start, limit);
  };
  const Val cosines = spread([](double a) { return std::cos(a); });
  const Val sines = spread([](double a) { return std::sin(a); });
  const Val low = part(0);
  const Val high = part(pairs);
  return concat({low * cosines - high * sines, high * cosines + low * sines}, features);
}

namespace {

constexpr OptionDef wavelength() {
  return {.name = "max_wavelength",
          .type = OptionType::kFloat,
          .default_json = "10000",
          .doc = "of the slowest feature, in positions, divided by 2 pi",
          .min = 0,
          .above_min = true};
}

constexpr OptionDef kLength = {.name = "sequence_length",
                               .type = OptionType::kInt,
                               .doc = "number of positions; inputs may have fewer steps",
                               .min = 1};

constexpr OptionDef kPositionOptions[] = {kLength,
                                          GRADC_INITIALIZER("initializer", "glorot_uniform")};
constexpr OptionDef kSineOptions[] = {wavelength()};
constexpr OptionDef kRotaryOptions[] = {
    wavelength(),
    {.name = "scaling_factor",
     .type = OptionType::kFloat,
     .default_json = "1",
     .doc = "positions are divided by it",
     .min = 0,
     .above_min = true},
    {.name = "sequence_axis",
     .type = OptionType::kInt,
     .default_json = "1",
     .doc = "axis of the steps; the batch is 0"},
    {.name = "feature_axis",
     .type = OptionType::kInt,
     .default_json = "-1",
     .doc = "axis of the features"},
};
constexpr OptionDef kTokenOptions[] = {
    {.name = "vocabulary_size",
     .type = OptionType::kInt,
     .doc = "number of tokens; indices are below it",
     .min = 1},
    kLength,
    {.name = "embedding_dim", .type = OptionType::kInt, .doc = "length of a row", .min = 1},
    GRADC_INITIALIZER("embeddings_initializer", "random_uniform"),
    GRADC_REGULATED("embeddings"),
    {.name = "mask_zero",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "steps of token 0 do not count in the layers that follow"},
    GRADC_SPARSE_OPTION,
};

bool fits_length(LayerInferArgs& a, int64_t steps) {
  const int64_t length = a.options().integer("sequence_length");
  if (steps <= length) return true;
  return a.mismatch("has {} positions, but its input has {} steps: {}", length, steps,
                    to_string(a.inputs[0]));
}

/// The rows of the first positions, as examples of this shape.
Val first_rows(Val rows, int64_t steps, const Shape& shape) {
  const int64_t width = rows.shape()[1];
  if (steps < rows.shape()[0]) rows = slice(rows, {0, 0}, {steps, width});
  return broadcast(rows, shape, {shape.rank() - 2, shape.rank() - 1});
}

bool infer_position(LayerInferArgs& a) {
  const Ints& shape = a.shape();
  if (shape.size() < 2)
    return a.mismatch("needs an input [..., steps, features] beside the batch, got {}",
                      to_string(a.inputs[0]));
  if (!fits_length(a, shape[shape.size() - 2])) return false;
  a.parameter("embeddings", {a.options().integer("sequence_length"), shape.back()}, true);
  a.output = a.inputs[0];
  return true;
}

Val build_position(const LayerBuildArgs& a) {
  const Shape shape = a.in().shape();
  return first_rows(a.parameter("embeddings"), shape[shape.rank() - 2], shape);
}

bool infer_sine(LayerInferArgs& a) {
  if (a.shape().size() < 2)
    return a.mismatch("needs an input [..., steps, features] beside the batch, got {}",
                      to_string(a.inputs[0]));
  a.output = a.inputs[0];
  return true;
}

// Features 2i and 2i + 1 are sine and cosine of the position times wavelength^(-2i / features).
Val build_sine(const LayerBuildArgs& a) {
  const Shape shape = a.in().shape();
  const int64_t features = shape.back();
  const int64_t steps = shape[shape.rank() - 2];
  const double wavelength = a.options().number("max_wavelength");
  const Val waves =
      table(a.builder, a.in().dtype(), steps, features, [&](int64_t step, int64_t feature) {
        const double share = static_cast<double>(feature / 2 * 2) / static_cast<double>(features);
        const double angle = static_cast<double>(step) * std::pow(wavelength, -share);
        return feature % 2 == 0 ? std::sin(angle) : std::cos(angle);
      });
  return broadcast(waves, shape, {shape.rank() - 2, shape.rank() - 1});
}

/// An axis option among those of an example, 0 being the batch; 0 when there is no such axis.
int64_t axis_of(const Options& options, const char* option, size_t example_rank) {
  const int64_t rank = static_cast<int64_t>(example_rank) + 1;
  const int64_t axis = options.integer(option);
  const int64_t resolved = axis < 0 ? axis + rank : axis;
  return resolved >= 1 && resolved < rank ? resolved : 0;
}

bool infer_rotary(LayerInferArgs& a) {
  const int64_t steps = axis_of(a.options(), "sequence_axis", a.shape().size());
  const int64_t features = axis_of(a.options(), "feature_axis", a.shape().size());
  if (steps == 0 || features == 0 || steps == features)
    return a.mismatch("needs an axis of steps and one of features beside the batch, got {}",
                      to_string(a.inputs[0]));
  const int64_t width = a.shape()[static_cast<size_t>(features - 1)];
  if (width % 2 != 0)
    return a.mismatch("rotates pairs of features, but its input {} has {} of them",
                      to_string(a.inputs[0]), width);
  a.output = a.inputs[0];
  return true;
}

Val build_rotary(const LayerBuildArgs& a) {
  const size_t rank = a.example_shape().size();
  return rotated(a.in(), static_cast<int>(axis_of(a.options(), "sequence_axis", rank)),
                 static_cast<int>(axis_of(a.options(), "feature_axis", rank)),
                 {a.options().number("max_wavelength"), a.options().number("scaling_factor")});
}

bool infer_token(LayerInferArgs& a) {
  if (!is_integer(a.inputs[0].dtype) || a.shape().size() != 1)
    return a.mismatch("looks up integer indices [steps], got {}", to_string(a.inputs[0]));
  if (!fits_length(a, a.shape()[0])) return false;
  const Options& options = a.options();
  const int64_t width = options.integer("embedding_dim");
  a.parameter("token_embedding/embeddings", {options.integer("vocabulary_size"), width}, true,
              "embeddings");
  a.parameters.back().by_rows = options.flag("sparse");
  a.parameter("position_embedding/embeddings", {options.integer("sequence_length"), width}, true,
              "embeddings");
  a.output.shape = {a.shape()[0], width};
  a.output_masked = options.flag("mask_zero");
  return true;
}

Val build_token(const LayerBuildArgs& a) {
  const Val tokens =
      a.builder.add(Op::kGather, {a.parameter("token_embedding/embeddings"), a.in()});
  return tokens + first_rows(a.parameter("position_embedding/embeddings"), tokens.shape()[1],
                             tokens.shape());
}

}  // namespace

extern constinit const LayerDef kPositionEmbedding{
    .base = {.type = "position_embedding",
             .summary = "A trained row for each position, the same in all examples; to be added to "
                        "its input [steps, features].",
             .options = kPositionOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_position,
    .build = build_position,
};

extern constinit const LayerDef kSinePositionEncoding{
    .base = {.type = "sine_position_encoding",
             .summary = "Sines and cosines of the position, of growing wavelengths; to be added to "
                        "its input [steps, features].",
             .options = kSineOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_sine,
    .build = build_sine,
};

extern constinit const LayerDef kRotaryEmbedding{
    .base = {.type = "rotary_embedding",
             .summary = "Its input, features i and i + half of them turned by an angle that grows "
                        "with the position, more slowly for larger i.",
             .options = kRotaryOptions},
    .masks = MaskRule::kCarries,
    .infer = infer_rotary,
    .build = build_rotary,
};

extern constinit const LayerDef kTokenAndPositionEmbedding{
    .base = {.type = "token_and_position_embedding",
             .summary = "The row of each token plus that of its position.",
             .options = kTokenOptions},
    .integers = true,
    .table = "token_embedding/embeddings",
    .masks = MaskRule::kKnows,
    .infer = infer_token,
    .build = build_token,
    .build_mask =
        [](const LayerBuildArgs& a) {
          return not_equal(a.in(), a.builder.splat(0.0, a.in().type()));
        },
};

}  // namespace gradc::layers
