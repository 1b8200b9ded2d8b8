// Pooling over [steps, channels], windowed and global.
#include "frontend/layer_def.h"
#include "frontend/layers/window.h"
#include "ir/op_attrs.h"

namespace gradc::layers {
namespace {

constexpr OptionDef kPoolOptions[] = {
    {.name = "pool_size",
     .type = OptionType::kInt,
     .default_json = "2",
     .doc = "steps of the window",
     .min = 1},
    {.name = "strides",
     .type = OptionType::kInt,
     .default_json = "null",
     .doc = "how far the window moves; null: pool_size",
     .min = 1},
    GRADC_PADDING,
    GRADC_STEPS_FORMAT,
};

constexpr StepWindowOptions kNames = {"pool_size", "strides", {}};

bool infer_pool(LayerInferArgs& a) {
  if (!expect_steps(a)) return false;
  Window window;
  if (!infer_step_window(a, kNames, window)) return false;
  a.output.shape = {window.out[1], a.shape()[1]};
  return true;
}

Val build_pool(const LayerBuildArgs& a, Op op) {
  const Options& options = a.options();
  const Window window = step_window_of(options, kNames, a.example_shape()[0]);
  const int64_t size = options.integer("pool_size");
  const int64_t stride = options.has("strides") ? options.integer("strides") : size;
  return as_steps(a.builder.add(op, {as_rows(a.in())},
                                make_attrs(PoolAttrs{.window = {1, size},
                                                     .strides = {1, stride},
                                                     .pad_low = window.pad_low,
                                                     .pad_high = window.pad_high,
                                                     .shape = {}})));
}

constexpr OptionDef kGlobalPoolOptions[] = {
    GRADC_STEPS_FORMAT,
    {.name = "keepdims",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "keep the steps as 1"},
};

bool infer_global_pool(LayerInferArgs& a) {
  if (!expect_steps(a)) return false;
  a.output.shape = {a.shape()[1]};
  if (a.options().flag("keepdims")) a.output.shape = {1, a.shape()[1]};
  return true;
}

Val finish_global_pool(const LayerBuildArgs& a, Val reduced) {
  if (!a.options().flag("keepdims")) return reduced;
  return reshape(reduced, Shape{a.batch(), 1, a.in().shape().back()});
}

}  // namespace

extern constinit const LayerDef kMaxPooling1d{
    .base = {.type = "max_pooling1d",
             .summary = "Largest value of each window of steps.",
             .options = kPoolOptions,
             .aliases = "max_pool1d max_pooling_1d"},
    .infer = infer_pool,
    .build = [](const LayerBuildArgs& a) { return build_pool(a, Op::kMaxPool); },
};

extern constinit const LayerDef kAveragePooling1d{
    .base = {.type = "average_pooling1d",
             .summary = "Mean of each window of steps; padding does not count.",
             .options = kPoolOptions,
             .aliases = "avg_pool1d average_pooling_1d"},
    .infer = infer_pool,
    .build = [](const LayerBuildArgs& a) { return build_pool(a, Op::kAvgPool); },
};

extern constinit const LayerDef kGlobalMaxPooling1d{
    .base = {.type = "global_max_pooling1d",
             .summary = "Largest value of each channel over the steps.",
             .options = kGlobalPoolOptions,
             .aliases = "global_max_pool1d global_max_pooling_1d"},
    .infer = infer_global_pool,
    .build = [](const LayerBuildArgs& a) { return finish_global_pool(a, reduce_max(a.in(), {1})); },
};

extern constinit const LayerDef kGlobalAveragePooling1d{
    .base = {.type = "global_average_pooling1d",
             .summary = "Mean of each channel over the steps.",
             .options = kGlobalPoolOptions,
             .aliases = "global_avg_pool1d global_average_pooling_1d"},
    .infer = infer_global_pool,
    .build =
        [](const LayerBuildArgs& a) { return finish_global_pool(a, reduce_mean(a.in(), {1})); },
};

}  // namespace gradc::layers
