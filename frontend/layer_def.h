// The layer table: everything there is to know about a layer type stands in one LayerDef.
// frontend/layers.def lists them; each is defined in frontend/layers/<family>.cpp, and a missing
// one is a link error.
#pragma once

#include "frontend/families.h"
#include "frontend/json_reader.h"
#include "frontend/model.h"
#include "frontend/options.h"
#include "ir/builder.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// What shape inference of one call sees and fills.
struct LayerInferArgs {
  const Layer& layer;
  std::span<const TensorSpec> inputs;
  DiagnosticSink& sink;
  const Place& place;  ///< of the call
  int64_t batch_size = 1;

  bool masked = false;           ///< some steps of an input do not count
  std::vector<bool> masks = {};  ///< the same by input; empty inside another layer

  TensorSpec output;
  bool output_masked = false;  ///< MaskRule::kKnows only
  std::vector<ParameterSpec> parameters;

  const Options& options() const { return layer.component.options; }
  const Ints& shape(size_t i = 0) const { return inputs[i].shape; }
  bool input_masked(size_t i) const { return masks.empty() ? masked : masks[i]; }
  /// "layer \"conv2d\"".
  std::string who() const;
  /// Place of an option, for complaints about its value.
  Place option_place(std::string_view option) const;
  /// Declares a parameter whose initializer and regularizer are the options `<prefix>_initializer`,
  /// `<prefix>_regularizer` (`prefix` is the parameter's name unless given), or `initializer`.
  void parameter(std::string_view name, Ints shape, bool trainable = true,
                 std::string_view prefix = {});
  /// Reports a shape that does not fit and returns false.
  template <class... Args>
  bool mismatch(fmt::format_string<Args...> format, Args&&... args) {
    sink.error(DiagKind::kShapeMismatch, place, "{} {}", who(),
               fmt::format(format, std::forward<Args>(args)...));
    return false;
  }
};

/// What graph building of one call sees. Batch statistics and random ops depend on the entry.
struct LayerBuildArgs {
  const Layer& layer;
  std::span<const Val> inputs;
  Builder& builder;
  bool training = false;
  Val mask = {};                ///< bool[batch, steps]: which steps count; empty: all
  std::vector<Val> masks = {};  ///< the same by input; empty inside another layer
  bool zero_masked = false;     ///< a recurrent layer gives 0 for steps that do not count
  Val tail_weight = {};         ///< f32[batch] that sums to 1; empty: every row weighs 1/batch
  /// Of random ops; only in training.
  std::function<Val()> seed = {}, iteration = {};
  std::function<Val(std::string_view)> parameter = {};
  std::function<void(std::string_view, Val)> update_state =
      {};                                     ///< next value of a parameter that is not trained
  std::function<int64_t()> next_stream = {};  ///< a new random stream, unique in the model

  const Options& options() const { return layer.component.options; }
  Val in(size_t i = 0) const { return inputs[i]; }
  Val input_mask(size_t i) const { return masks.empty() ? mask : masks[i]; }
  /// Extents without the batch axis.
  Ints example_shape(size_t i = 0) const;
  int64_t batch() const { return inputs[0].shape()[0]; }
};

/// What a layer makes of steps that do not count.
enum class MaskRule : uint8_t {
  kRefuses,  ///< it would treat all steps alike
  kCarries,  ///< its result has the same steps
  kKnows,    ///< it uses the mask or makes one
};

struct LayerDef {
  ComponentDef base;
  int64_t min_inputs = 1;
  int64_t max_inputs = 1;   ///< -1: any number
  bool integers = false;    ///< inputs may be integers
  bool normalizes = false;  ///< the scale of its input does not matter
  MaskRule masks = MaskRule::kRefuses;
  bool (*infer)(LayerInferArgs&) = nullptr;
  Val (*build)(const LayerBuildArgs&) = nullptr;
  Val (*build_mask)(const LayerBuildArgs&) = nullptr;  ///< of the result; kKnows only
};

/// Layer types of the table, in documentation order.
std::span<const LayerDef* const> all_layers();
/// A layer type or alias; activations are layers too. Null when unknown.
const LayerDef* find_layer(std::string_view type);
/// The layer type behind every "op.NAME": one op of the op table, with its attributes.
const LayerDef& raw_op_layer();
/// Reads the op and the "attributes" of a raw op; false after a report.
bool read_raw_op(ObjectReader& reader, const std::string& type, Layer& layer);
/// All names that `type` may have, for suggestions.
std::vector<std::string> layer_names();
/// The layer that applies an activation of the family table (one per activation).
std::span<const LayerDef* const> activation_layers();

/// Options that many layers share.
#define GRADC_INITIALIZER(option, initial)                                             \
  OptionDef {                                                                          \
    .name = option, .type = OptionType::kComponent, .default_json = "\"" initial "\"", \
    .doc = "how it starts", .family = Family::kInitializer                             \
  }
#define GRADC_REGULARIZER(option)                                           \
  OptionDef {                                                               \
    .name = option, .type = OptionType::kComponent, .default_json = "null", \
    .doc = "penalty added to the loss", .family = Family::kRegularizer      \
  }
#define GRADC_ACTIVATION_OPTION                                                   \
  OptionDef {                                                                     \
    .name = "activation", .type = OptionType::kComponent, .default_json = "null", \
    .doc = "applied to the result", .family = Family::kActivation                 \
  }
#define GRADC_DATA_FORMAT                                \
  OptionDef{.name = "data_format",                       \
            .type = OptionType::kEnum,                   \
            .default_json = "\"channels_last\"",         \
            .doc = "axes are [height, width, channels]", \
            .choices = "channels_last"}

/// Product of extents, or nothing when it passes kMaxTensorBytes elements.
std::optional<int64_t> checked_product(std::span<const int64_t> extents);

/// "[28, 28]" as in JSON.
std::string shape_text(const Ints& shape);

}  // namespace gradc
