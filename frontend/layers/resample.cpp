// Spatial axes stretched or shrunk, as Keras does it (half-pixel centers, Keys's cubic of -1/2,
// weights of elements that do not exist spread over the others): up_sampling, resizing.
#include "frontend/layers/resample.h"

#include "frontend/layers/window.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradc::layers {
namespace {

// ---- weights ------------------------------------------------------------------------------------

double triangle(double x) {
  return std::max(0.0, 1.0 - std::abs(x));
}

double keys_cubic(double x) {
  x = std::abs(x);
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
  return 0.0;
}

double lanczos(double x, double radius) {
  if (std::abs(x) >= radius) return 0.0;
  if (std::abs(x) < 1e-6) return 1.0;
  const double angle = std::numbers::pi * x;
  return radius * std::sin(angle) * std::sin(angle / radius) / (angle * angle);
}

double weight(const std::string& interpolation, double distance) {
  if (interpolation == "bilinear") return triangle(distance);
  if (interpolation == "bicubic") return keys_cubic(distance);
  return lanczos(distance, interpolation == "lanczos3" ? 3.0 : 5.0);
}

/// [from, to]: how much of each element each result is made of.
std::vector<double> weights_of(int64_t from, int64_t to, const std::string& interpolation,
                               bool antialias) {
  std::vector<double> weights(static_cast<size_t>(from * to), 0.0);
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double width = antialias ? std::max(scale, 1.0) : 1.0;
  for (int64_t i = 0; i < to; ++i) {
    const auto at = [&](int64_t j) -> double& { return weights[static_cast<size_t>(j * to + i)]; };
    if (interpolation == "nearest") {
      at((2 * i + 1) * from / (2 * to)) = 1.0;
      continue;
    }
    const double center = (static_cast<double>(i) + 0.5) * scale - 0.5;
    double sum = 0.0;
    for (int64_t j = 0; j < from; ++j)
      sum += at(j) = weight(interpolation, (static_cast<double>(j) - center) / width);
    for (int64_t j = 0; j < from; ++j)
      at(j) /= sum;
  }
  return weights;
}

}  // namespace

bool expect_resampling(LayerInferArgs& args, int64_t from, int64_t to) {
  constexpr int64_t kMostWeights = int64_t{1} << 24;
  int64_t weights = 0;
  if (!__builtin_mul_overflow(from, to, &weights) && weights <= kMostWeights) return true;
  args.sink.error(DiagKind::kTooLarge, args.place,
                  "{} makes {} elements of {} along an axis; the product may be at most {}",
                  args.who(), to, from, kMostWeights);
  return false;
}

namespace {

/// Every element `times` times along an axis.
Val repeated(Val x, int64_t axis, int64_t times) {
  Ints apart, dims, merged;
  for (int64_t i = 0; i < x.rank(); ++i) {
    const int64_t extent = x.shape()[static_cast<int>(i)];
    dims.push_back(static_cast<int64_t>(apart.size()));
    apart.push_back(extent);
    merged.push_back(i == axis ? extent * times : extent);
    if (i == axis) apart.push_back(times);
  }
  return reshape(broadcast(x, Shape(apart), dims), Shape(merged));
}

}  // namespace

Val resampled(Val x, int64_t axis, int64_t extent, const std::string& interpolation,
              bool antialias) {
  const Shape shape = x.shape();
  const int64_t from = shape[static_cast<int>(axis)];
  if (from == extent) return x;
  if (interpolation == "nearest" && extent % from == 0) return repeated(x, axis, extent / from);
  int64_t before = 1, behind = 1;
  for (int i = 0; i < shape.rank(); ++i)
    (i < axis ? before : behind) *= i == axis ? 1 : shape[i];
  const Val weights = x.builder().constant({x.dtype(), Shape{from, extent}},
                                           weights_of(from, extent, interpolation, antialias));
  const Val spread = broadcast(weights, Shape{before, from, extent}, {1, 2});
  const Val result = matmul(spread, reshape(x, Shape{before, from, behind}), true, false);
  Ints dims = shape.to_vector();
  dims[static_cast<size_t>(axis)] = extent;
  return reshape(result, Shape(dims));
}

namespace {

// ---- up_sampling --------------------------------------------------------------------------------

constexpr OptionDef size_option(int rank) {
  return window_option("size", rank, "2", "how often each element stands in the result");
}
constexpr OptionDef kUpSampling1dOptions[] = {size_option(1)};
constexpr OptionDef kUpSampling2dOptions[] = {size_option(2), data_format_option(2),
                                              GRADC_INTERPOLATION("nearest")};
constexpr OptionDef kUpSampling3dOptions[] = {size_option(3), data_format_option(3)};

bool infer_up_sampling(LayerInferArgs& a) {
  const Ints& size = a.options().ints("size");
  if (!expect_spatial(a, size.size()) || !window_fits(a, "size", "size", size)) return false;
  const bool smooth =
      a.options().defines("interpolation") && a.options().text("interpolation") != "nearest";
  a.output.shape = a.shape();
  for (size_t i = 0; i < size.size(); ++i) {
    if (__builtin_mul_overflow(a.shape()[i], size[i], &a.output.shape[i]))
      return a.mismatch("has size {}, which is too large", shape_text(size));
    if (smooth && !expect_resampling(a, a.shape()[i], a.output.shape[i])) return false;
  }
  return true;
}

Val build_up_sampling(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const Ints& size = options.ints("size");
  const std::string interpolation =
      options.defines("interpolation") ? options.text("interpolation") : "nearest";
  Val x = a.in();
  for (size_t i = 0; i < size.size(); ++i) {
    const int64_t extent = x.shape()[static_cast<int>(i) + 1] * size[i];
    x = resampled(x, static_cast<int64_t>(i) + 1, extent, interpolation);
  }
  return x;
}

// ---- resizing -----------------------------------------------------------------------------------

constexpr OptionDef kResizingOptions[] = {
    {.name = "height", .type = OptionType::kInt, .doc = "of the result", .min = 1},
    {.name = "width", .type = OptionType::kInt, .doc = "of the result", .min = 1},
    GRADC_INTERPOLATION("bilinear"),
    {.name = "crop_to_aspect_ratio",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "the largest middle part of the result's proportions, not all of the image"},
    {.name = "pad_to_aspect_ratio",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "fill_value around the image first, so that it has the result's proportions"},
    {.name = "fill_mode",
     .type = OptionType::kEnum,
     .default_json = "\"constant\"",
     .doc = "what pad_to_aspect_ratio puts around",
     .choices = "constant"},
    {.name = "fill_value",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "of pad_to_aspect_ratio"},
    {.name = "antialias",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "results of a smaller image are made of all elements between them"},
    data_format_option(2),
};

/// The extent that goes with `other` in the proportions of the result.
int64_t in_proportion(int64_t other, int64_t target, int64_t other_target) {
  const double extent =
      static_cast<double>(other) * static_cast<double>(target) / static_cast<double>(other_target);
  return static_cast<int64_t>(std::min(extent, static_cast<double>(kMaxTensorBytes)));
}

/// Height and width of the largest part, or of the smallest frame, of the result's proportions.
Ints middle_of(const Ints& image, int64_t height, int64_t width) {
  return {std::clamp<int64_t>(in_proportion(image[1], height, width), 1, image[0]),
          std::clamp<int64_t>(in_proportion(image[0], width, height), 1, image[1])};
}
Ints frame_of(const Ints& image, int64_t height, int64_t width) {
  return {std::max(image[0], in_proportion(image[1], height, width)),
          std::max(image[1], in_proportion(image[0], width, height))};
}

Val cut_out(Val x, const Ints& image, const Ints& part) {
  const Ints start = {(image[0] - part[0]) / 2, (image[1] - part[1]) / 2};
  return slice(x, {0, start[0], start[1], 0},
               {x.shape()[0], start[0] + part[0], start[1] + part[1], image[2]});
}

Val framed(Val x, const Ints& image, const Ints& frame, double value) {
  const Ints start = {(frame[0] - image[0]) / 2, (frame[1] - image[1]) / 2};
  return pad(x, {0, start[0], start[1], 0},
             {0, frame[0] - image[0] - start[0], frame[1] - image[1] - start[1], 0}, value);
}

bool infer_resizing(LayerInferArgs& a) {
  const Options& options = a.options();
  if (!expect_spatial(a, 2)) return false;
  if (options.flag("crop_to_aspect_ratio") && options.flag("pad_to_aspect_ratio"))
    return a.mismatch("has both crop_to_aspect_ratio and pad_to_aspect_ratio; one is possible");
  const int64_t height = options.integer("height"), width = options.integer("width");
  Ints part = a.shape();
  if (options.flag("crop_to_aspect_ratio")) part = middle_of(part, height, width);
  if (options.flag("pad_to_aspect_ratio")) part = frame_of(a.shape(), height, width);
  a.output.shape = {height, width, a.shape()[2]};
  return expect_resampling(a, part[0], height) && expect_resampling(a, part[1], width);
}

Val build_resizing(const LayerBuildArgs& a) {
  const Options& options = a.options();
  const int64_t height = options.integer("height"), width = options.integer("width");
  const Ints image = a.example_shape();
  Val x = a.in();
  if (options.flag("crop_to_aspect_ratio")) x = cut_out(x, image, middle_of(image, height, width));
  if (options.flag("pad_to_aspect_ratio"))
    x = framed(x, image, frame_of(image, height, width), options.number("fill_value"));
  const std::string& interpolation = options.text("interpolation");
  const bool antialias = options.flag("antialias");
  return resampled(resampled(x, 1, height, interpolation, antialias), 2, width, interpolation,
                   antialias);
}

}  // namespace

Val resized_middle(Val image, int64_t height, int64_t width, const std::string& interpolation) {
  const Shape shape = image.shape();
  const Ints example(shape.begin() + 1, shape.end());
  const Val part = cut_out(image, example, middle_of(example, height, width));
  return resampled(resampled(part, 1, height, interpolation), 2, width, interpolation);
}

bool expect_resized_middle(LayerInferArgs& args, int64_t height, int64_t width) {
  const Ints part = middle_of(args.shape(), height, width);
  return expect_resampling(args, part[0], height) && expect_resampling(args, part[1], width);
}

extern constinit const LayerDef kUpSampling1d{
    .base = {.type = "up_sampling1d",
             .summary = "Every step several times.",
             .options = kUpSampling1dOptions,
             .aliases = "up_sampling_1d"},
    .infer = infer_up_sampling,
    .build = build_up_sampling,
};

extern constinit const LayerDef kUpSampling2d{
    .base = {.type = "up_sampling2d",
             .summary = "An image so many times as high and wide.",
             .options = kUpSampling2dOptions,
             .aliases = "up_sampling_2d"},
    .infer = infer_up_sampling,
    .build = build_up_sampling,
};

extern constinit const LayerDef kUpSampling3d{
    .base = {.type = "up_sampling3d",
             .summary = "Every element several times along each spatial axis.",
             .options = kUpSampling3dOptions,
             .aliases = "up_sampling_3d"},
    .infer = infer_up_sampling,
    .build = build_up_sampling,
};

extern constinit const LayerDef kResizing{
    .base = {.type = "resizing",
             .summary = "An image of another height and width.",
             .options = kResizingOptions},
    .infer = infer_resizing,
    .build = build_resizing,
};

}  // namespace gradc::layers
