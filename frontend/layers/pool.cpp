// Pooling over [height, width, channels], windowed and global, and zero padding.
#include "frontend/layer_def.h"
#include "frontend/layers/window.h"
#include "ir/op_attrs.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kPoolOptions[] = {
    {.name = "pool_size",
     .type = OptionType::kPair,
     .default_json = "2",
     .doc = "height and width of the window",
     .min = 1},
    {.name = "strides",
     .type = OptionType::kPair,
     .default_json = "null",
     .doc = "steps of the window; null: pool_size",
     .min = 1},
    GRADC_PADDING,
    GRADC_DATA_FORMAT,
};

const Ints& pool_strides(const Options& options) {
  return options.has("strides") ? options.ints("strides") : options.ints("pool_size");
}

bool infer_pool(LayerInferArgs& a) {
  if (!expect_image(a)) return false;
  Window window;
  if (!infer_window(a, {"pool_size", "strides", {}}, window)) return false;
  a.output.shape = {window.out[0], window.out[1], a.shape()[2]};
  return true;
}

Val build_pool(const LayerBuildArgs& a, Op op) {
  const Options& options = a.options();
  const Ints& size = options.ints("pool_size");
  const Window window =
      window_of(a.example_shape(), size, pool_strides(options), {1, 1}, options.text("padding"));
  return a.builder.add(op, {a.in()},
                       make_attrs(PoolAttrs{.window = size,
                                            .strides = pool_strides(options),
                                            .pad_low = window.pad_low,
                                            .pad_high = window.pad_high,
                                            .shape = {}}));
}

constexpr OptionDef kGlobalPoolOptions[] = {
    GRADC_DATA_FORMAT,
    {.name = "keepdims",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "keep height and width as 1"},
};

bool infer_global_pool(LayerInferArgs& a) {
  if (!expect_image(a)) return false;
  a.output.shape = {a.shape()[2]};
  if (a.options().flag("keepdims")) a.output.shape = {1, 1, a.shape()[2]};
  return true;
}

Val finish_global_pool(const LayerBuildArgs& a, Val reduced) {
  if (!a.options().flag("keepdims")) return reduced;
  return reshape(reduced, Shape{a.batch(), 1, 1, a.in().shape().back()});
}

constexpr OptionDef kZeroPaddingOptions[] = {
    {.name = "padding",
     .type = OptionType::kPadding2d,
     .default_json = "1",
     .doc = "zeros around",
     .min = 0},
    GRADC_DATA_FORMAT,
};

bool infer_zero_padding(LayerInferArgs& a) {
  if (!expect_image(a)) return false;
  const Ints& padding = a.options().ints("padding");
  for (const int64_t amount : padding) {
    if (amount <= kMaxTensorBytes) continue;
    a.sink.error(DiagKind::kTooLarge, a.option_place("padding"),
                 "{} adds {} zeros to a side, at most {} are possible", a.who(), amount,
                 kMaxTensorBytes);
    return false;
  }
  a.output.shape = {a.shape()[0] + padding[0] + padding[1], a.shape()[1] + padding[2] + padding[3],
                    a.shape()[2]};
  return true;
}

Val build_zero_padding(const LayerBuildArgs& a) {
  const Ints& padding = a.options().ints("padding");
  return pad(a.in(), {0, padding[0], padding[2], 0}, {0, padding[1], padding[3], 0});
}

}  // namespace

extern constinit const LayerDef kMaxPooling2d{
    .base = {.type = "max_pooling2d",
             .summary = "Largest value of each window.",
             .options = kPoolOptions,
             .aliases = "max_pool2d max_pooling_2d"},
    .infer = infer_pool,
    .build = [](const LayerBuildArgs& a) { return build_pool(a, Op::kMaxPool); },
};

extern constinit const LayerDef kAveragePooling2d{
    .base = {.type = "average_pooling2d",
             .summary = "Mean of each window; padding does not count.",
             .options = kPoolOptions,
             .aliases = "avg_pool2d average_pooling_2d"},
    .infer = infer_pool,
    .build = [](const LayerBuildArgs& a) { return build_pool(a, Op::kAvgPool); },
};

extern constinit const LayerDef kGlobalMaxPooling2d{
    .base = {.type = "global_max_pooling2d",
             .summary = "Largest value of each channel.",
             .options = kGlobalPoolOptions,
             .aliases = "global_max_pool2d global_max_pooling_2d"},
    .infer = infer_global_pool,
    .build =
        [](const LayerBuildArgs& a) { return finish_global_pool(a, reduce_max(a.in(), {1, 2})); },
};

extern constinit const LayerDef kGlobalAveragePooling2d{
    .base = {.type = "global_average_pooling2d",
             .summary = "Mean of each channel.",
             .options = kGlobalPoolOptions,
             .aliases = "global_avg_pool2d global_average_pooling_2d"},
    .infer = infer_global_pool,
    .build =
        [](const LayerBuildArgs& a) { return finish_global_pool(a, reduce_mean(a.in(), {1, 2})); },
};

extern constinit const LayerDef kZeroPadding2d{
    .base = {.type = "zero_padding2d",
             .summary = "Zeros around the image.",
             .options = kZeroPaddingOptions,
             .aliases = "zero_padding_2d"},
    .infer = infer_zero_padding,
    .build = build_zero_padding,
};

}  // namespace gradc::layers
