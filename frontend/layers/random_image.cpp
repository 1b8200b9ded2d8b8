// Images that are changed at random in training, each of a batch by itself, and passed on
// otherwise: flipped, turned, zoomed, shifted, cut out, of other contrast and brightness.
#include "frontend/layers/resample.h"
#include "frontend/layers/window.h"
#include "ir/op_attrs.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gradc::layers {
namespace {

// ---- options ------------------------------------------------------------------------------------

constexpr OptionDef factor_option(std::string_view name, std::string_view doc,
                                  std::string_view initial = {}, double least = -1.0) {
  return {.name = name,
          .type = OptionType::kFloatOrFloats,
          .default_json = initial,
          .doc = doc,
          .min = least,
          .max = 1};
}
constexpr OptionDef kValueRange = {.name = "value_range",
                                   .type = OptionType::kFloats,
                                   .default_json = "[0, 255]",
                                   .doc = "smallest and largest value of an image"};

#define GRADC_SAMPLING_OPTIONS                                                             \
  OptionDef{.name = "fill_mode",                                                           \
            .type = OptionType::kEnum,                                                     \
            .default_json = "\"reflect\"",                                                 \
            .doc =                                                                         \
                "what stands outside: reflect: c b a | a b c | c b a; wrap: a b c again; " \
                "nearest: a a a | a b c | c c c; constant: fill_value",                    \
            .choices = "reflect wrap constant nearest"},                                   \
      OptionDef{.name = "interpolation",                                                   \
                .type = OptionType::kEnum,                                                 \
                .default_json = "\"bilinear\"",                                            \
                .doc = "between elements, or the nearest",                                 \
                .choices = "bilinear nearest"},                                            \
      OptionDef{.name = "fill_value",                                                      \
                .type = OptionType::kFloat,                                                \
                .default_json = "0",                                                       \
                .doc = "of fill_mode constant"},                                           \
      data_format_option(2)

constexpr OptionDef kFlipOptions[] = {
    {.name = "mode",
     .type = OptionType::kEnum,
     .default_json = "\"horizontal_and_vertical\"",
     .doc = "which way; each way every second time",
     .choices = "horizontal vertical horizontal_and_vertical"},
    data_format_option(2),
};
constexpr OptionDef kRotationOptions[] = {
    factor_option("factor", "range of full turns, counterclockwise; f: [-f, f]"),
    GRADC_SAMPLING_OPTIONS,
};
constexpr OptionDef kZoomOptions[] = {
    factor_option("height_factor", "range of what is seen more of (below 0: less); f: [-f, f]"),
    factor_option("width_factor", "the same; null: as the height", "null"),
    GRADC_SAMPLING_OPTIONS,
};
constexpr OptionDef kTranslationOptions[] = {
    factor_option("height_factor", "range of shares of the height, downwards; f: [-f, f]"),
    factor_option("width_factor", "range of shares of the width, to the right; f: [-f, f]"),
    GRADC_SAMPLING_OPTIONS,
};
constexpr OptionDef kCropOptions[] = {
    {.name = "height", .type = OptionType::kInt, .doc = "of the result", .min = 1},
    {.name = "width", .type = OptionType::kInt, .doc = "of the result", .min = 1},
    data_format_option(2),
};
constexpr OptionDef kContrastOptions[] = {
    factor_option("factor", "contrast from 1 - f to 1 + f; a pair: for below and above", {}, 0.0),
    kValueRange,
    data_format_option(2),
};
constexpr OptionDef kBrightnessOptions[] = {
    factor_option("factor", "range of what is added, as shares of value_range; f: [-f, f]"),
    kValueRange,
    data_format_option(2),
};

struct Range {
  double low, high;
};

/// f: [-f, f].
Range range_of(const Options& options, const char* name) {
  const std::vector<double>& given = options.numbers(name);
  if (given.size() == 1) return {-std::abs(given[0]), std::abs(given[0])};
  return {std::min(given[0], given[1]), std::max(given[0], given[1])};
}

bool infer_image(LayerInferArgs& a) {
  if (!expect_spatial(a, 2)) return false;
  a.output = a.inputs[0];
  for (const char* name : {"factor", "height_factor", "width_factor"}) {
    if (!a.options().defines(name) || !a.options().has(name)) continue;
    const size_t count = a.options().numbers(name).size();
    if (count != 1 && count != 2)
      return a.mismatch("has {} numbers in {}, but takes one or two", count, name);
  }
  if (a.options().defines("value_range") && a.options().numbers("value_range").size() != 2)
    return a.mismatch("has {} numbers in value_range, but takes two",
                      a.options().numbers("value_range").size());
  // Elements are found by 32-bit numbers.
  const auto pixels = checked_product(std::array{a.batch_size, a.shape()[0], a.shape()[1]});
  if (pixels && *pixels < (int64_t{1} << 31)) return true;
  return a.mismatch("has too many pixels in a batch: {} times {}", a.batch_size,
                    to_string(a.inputs[0]));
}

// ---- random numbers -----------------------------------------------------------------------------

/// One number for each image of the batch, or for all of them.
Val drawn(const LayerBuildArgs& a, Range range, bool for_all = false) {
  const int64_t count = for_all ? 1 : a.batch();
  const Val uniform =
      a.builder.add(Op::kRandomUniform, {a.seed(), a.iteration()},
                    make_attrs(RandomAttrs{.shape = {count}, .stream = a.next_stream()}));
  const Val value = cast(uniform, a.in().dtype()) * (range.high - range.low) + range.low;
  return for_all ? broadcast_to(value, Shape{a.batch()}) : value;
}

// ---- sampling -----------------------------------------------------------------------------------

/// Places in the images, [batch, height, width] of the result.
struct Places {
  Val y, x;
};

/// Every element's own place in a result of that size.
Places own_places(const LayerBuildArgs& a, int64_t height, int64_t width) {
  const TensorType index{DType::kI32, Shape{a.batch(), height, width}};
  return {cast(iota(a.builder, index, 1), a.in().dtype()),
          cast(iota(a.builder, index, 2), a.in().dtype())};
}

Val floor_of(Val x) {
  return x.builder().add(Op::kFloor, {x});
}
Val round_of(Val x) {
  return x.builder().add(Op::kRound, {x});
}

/// A whole number, somewhere, as the one in [0, extent) that stands for it.
Val wrapped(Val at, int64_t extent, const std::string& mode) {
  const auto size = static_cast<double>(extent);
  const auto modulo = [&](double period) { return at - floor_of(at / period) * period; };
  if (mode == "wrap") at = modulo(size);
  if (mode == "reflect") {
    const Val in_period = modulo(2.0 * size);
    at = minimum(in_period, (2.0 * size - 1.0) - in_period);
  }
  return minimum(maximum(at, 0.0), size - 1.0);
}

/// The elements at whole places.
Val elements_at(const LayerBuildArgs& a, const Places& at) {
  const Options& options = a.options();
  const bool filled = options.defines("fill_mode");
  const std::string mode = filled ? options.text("fill_mode") : "nearest";
  const Shape image = a.in().shape();
  const Val y = cast(wrapped(at.y, image[1], mode), DType::kI32);
  const Val x = cast(wrapped(at.x, image[2], mode), DType::kI32);
  const Val number = iota(a.builder, y.type(), 0);
  const auto times = [&](Val v, int64_t n) { return v * static_cast<double>(n); };
  const Val row = times(times(number, image[1]) + y, image[2]) + x;
  const Val flat = reshape(a.in(), Shape{image[0] * image[1] * image[2], image[3]});
  const Val found = a.builder.add(Op::kGather, {flat, row});
  if (mode != "constant") return found;
  const auto inside = [&](Val v, int64_t extent) {
    return logical_and(greater_equal(v, 0.0), less_equal(v, static_cast<double>(extent) - 1.0));
  };
  const Val seen = logical_and(inside(at.y, image[1]), inside(at.x, image[2]));
  return select(broadcast(seen, found.shape(), {0, 1, 2}), found, options.number("fill_value"));
}

/// The images as they are at places between elements.
Val sampled(const LayerBuildArgs& a, const Places& at) {
  if (a.options().text("interpolation") == "nearest")
    return elements_at(a, {round_of(at.y), round_of(at.x)});
  const Val y = floor_of(at.y), x = floor_of(at.x);
  const Val above = elements_at(a, {y, x}), above_next = elements_at(a, {y, x + 1.0});
  const Val below = elements_at(a, {y + 1.0, x}), below_next = elements_at(a, {y + 1.0, x + 1.0});
  const Val down = broadcast(at.y - y, above.shape(), {0, 1, 2});
  const Val right = broadcast(at.x - x, above.shape(), {0, 1, 2});
  const Val upper = above + (above_next - above) * right;
  const Val lower = below + (below_next - below) * right;
  return upper + (lower - upper) * down;
}

/// One number for each image, at all places.
Val everywhere(Val of_image, const Places& at) {
  return broadcast(of_image, at.y.shape(), {0});
}

// ---- layers -------------------------------------------------------------------------------------

Val build_flip(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const std::string& mode = a.options().text("mode");
  Val x = a.in();
  for (const int64_t axis : {2, 1}) {
    if (mode == (axis == 2 ? "vertical" : "horizontal")) continue;
    const Val flips = less(drawn(a, {0.0, 1.0}), 0.5);
    x = select(broadcast(flips, x.shape(), {0}), reverse(x, {axis}), x);
  }
  return x;
}

/// (y, x) around the middle of the image.
struct Middle {
  double y, x;
  explicit Middle(const Shape& image)
      : y((static_cast<double>(image[1]) - 1.0) / 2.0),
        x((static_cast<double>(image[2]) - 1.0) / 2.0) {}
};

Val build_rotation(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const Shape image = a.in().shape();
  const Places at = own_places(a, image[1], image[2]);
  const Middle middle(image);
  const Val angle = drawn(a, range_of(a.options(), "factor")) * (2.0 * std::numbers::pi);
  const Val c = everywhere(cos(angle), at), s = everywhere(sin(angle), at);
  const Val y = at.y - middle.y, x = at.x - middle.x;
  return sampled(a, {s * x + c * y + middle.y, c * x - s * y + middle.x});
}

Val build_zoom(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const Shape image = a.in().shape();
  const Places at = own_places(a, image[1], image[2]);
  const Middle middle(image);
  const Val high = drawn(a, range_of(a.options(), "height_factor")) + 1.0;
  const Val wide = a.options().has("width_factor")
                       ? drawn(a, range_of(a.options(), "width_factor")) + 1.0
                       : high;
  return sampled(a, {(at.y - middle.y) * everywhere(high, at) + middle.y,
                     (at.x - middle.x) * everywhere(wide, at) + middle.x});
}

Val build_translation(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const Shape image = a.in().shape();
  const Places at = own_places(a, image[1], image[2]);
  const auto shift = [&](const char* name, int64_t extent) {
    return everywhere(drawn(a, range_of(a.options(), name)) * static_cast<double>(extent), at);
  };
  const Val down = shift("height_factor", image[1]);
  const Val right = shift("width_factor", image[2]);
  return sampled(a, {at.y - down, at.x - right});
}

bool infer_crop(LayerInferArgs& a) {
  if (!infer_image(a)) return false;
  const int64_t height = a.options().integer("height"), width = a.options().integer("width");
  a.output.shape = {height, width, a.shape()[2]};
  return expect_resized_middle(a, height, width);
}

// As in Keras one place for all images of a batch; outside of training, and of images that are not
// larger, the middle.
Val build_crop(const LayerBuildArgs& a) {
  const int64_t height = a.options().integer("height"), width = a.options().integer("width");
  const Shape image = a.in().shape();
  if (!a.training || image[1] <= height || image[2] <= width)
    return resized_middle(a.in(), height, width, "bilinear");
  const Places at = own_places(a, height, width);
  const auto start = [&](int64_t places) {
    return everywhere(floor_of(drawn(a, {0.0, static_cast<double>(places)}, /*for_all=*/true)), at);
  };
  const Val y = start(image[1] - height + 1), x = start(image[2] - width + 1);
  return elements_at(a, {at.y + y, at.x + x});
}

Val in_value_range(const LayerBuildArgs& a, Val x) {
  const std::vector<double>& range = a.options().numbers("value_range");
  return minimum(maximum(x, std::min(range[0], range[1])), std::max(range[0], range[1]));
}

Val build_contrast(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const std::vector<double>& given = a.options().numbers("factor");
  const Val factor = drawn(a, {1.0 - given.front(), 1.0 + given.back()});
  const Val mean = broadcast(reduce_mean(a.in(), {1, 2}), a.in().shape(), {0, 3});
  return in_value_range(a, (a.in() - mean) * broadcast(factor, a.in().shape(), {0}) + mean);
}

Val build_brightness(const LayerBuildArgs& a) {
  if (!a.training) return a.in();
  const std::vector<double>& range = a.options().numbers("value_range");
  const Val added = drawn(a, range_of(a.options(), "factor")) * std::abs(range[1] - range[0]);
  return in_value_range(a, a.in() + broadcast(added, a.in().shape(), {0}));
}

constexpr LayerDef random_layer(std::string_view type, std::string_view summary,
                                std::span<const OptionDef> options,
                                Val (*build)(const LayerBuildArgs&)) {
  return {.base = {.type = type, .summary = summary, .options = options},
          .infer = infer_image,
          .build = build};
}

}  // namespace

extern constinit const LayerDef kRandomFlip =
    random_layer("random_flip", "Flips images at random in training.", kFlipOptions, build_flip);
extern constinit const LayerDef kRandomRotation = random_layer(
    "random_rotation", "Turns images around their middle by a random angle in training.",
    kRotationOptions, build_rotation);
extern constinit const LayerDef kRandomZoom =
    random_layer("random_zoom", "Zooms images at random in training.", kZoomOptions, build_zoom);
extern constinit const LayerDef kRandomTranslation =
    random_layer("random_translation", "Shifts images at random in training.", kTranslationOptions,
                 build_translation);
extern constinit const LayerDef kRandomContrast =
    random_layer("random_contrast",
                 "Brings elements nearer to the mean of their channel, or further from it, by a "
                 "random factor in training.",
                 kContrastOptions, build_contrast);
extern constinit const LayerDef kRandomBrightness =
    random_layer("random_brightness", "Adds a random number to each image in training.",
                 kBrightnessOptions, build_brightness);

extern constinit const LayerDef kRandomCrop{
    .base = {.type = "random_crop",
             .summary = "A part of the images, at a random place in training; otherwise, and of "
                        "images that are not larger, the largest middle part of these proportions, "
                        "resized.",
             .options = kCropOptions},
    .infer = infer_crop,
    .build = build_crop,
};

}  // namespace gradc::layers
