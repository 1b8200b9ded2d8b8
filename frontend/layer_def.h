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

/// An input that has a name of its own beside "inputs".
struct NamedInput {
  std::string_view name;
  std::string_view doc;
};

/// What shape inference of one call sees and fills.
struct LayerInferArgs {
  const Layer& layer;
  std::span<const TensorSpec> inputs;
  DiagnosticSink& sink;
  const Place& place;  ///< of the call
  int64_t batch_size = 1;

  bool masked = false;           ///< some steps of an input do not count
  std::vector<bool> masks = {};  ///< the same by input; empty inside another layer
  std::vector<std::optional<TensorSpec>> named = {};  ///< LayerDef::named_inputs that are given

  TensorSpec output;
  Ints tied_shape = {};               ///< layers with a tie: of the matrix that they need
  bool output_masked = false;         ///< MaskRule::kKnows only
  std::vector<CallResult> more = {};  ///< results beside the output, by their own names
  std::vector<ParameterSpec> parameters;

  const Options& options() const { return layer.component.options; }
  const Ints& shape(size_t i = 0) const { return inputs[i].shape; }
  bool input_masked(size_t i) const { return masks.empty() ? masked : masks[i]; }
  const TensorSpec* named_input(size_t i) const {
    return i < named.size() && named[i] ? &*named[i] : nullptr;
  }
  /// One more result, of the output's type; `mask`: with the output's mask.
  void result(std::string_view name, Ints shape, bool mask = false) {
    more.push_back({std::string(name), {output.dtype, std::move(shape)}, mask});
  }
  /// "layer \"conv2d\"".
  std::string who() const;
  /// Place of an option, for complaints about its value.
  Place option_place(std::string_view option) const;
  /// Declares a parameter whose initializer, regularizer and constraint are the options
  /// `<prefix>_initializer`, `<prefix>_regularizer`, `<prefix>_constraint` (`prefix` is the
  /// parameter's name unless given), or `initializer`.
  void parameter(std::string_view name, Ints shape, bool trainable = true,
                 std::string_view prefix = {});
  /// Declares a tensor that is not trained and starts at a number.
  void keep(std::string_view name, Ints shape, double initial);
  /// Declares a state that goes from one batch to the next; `shape` is one example's.
  void carry(std::string_view name, Ints shape);
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
  std::vector<Val> named = {};  ///< LayerDef::named_inputs; empty: not given
  bool zero_masked = false;     ///< a recurrent layer gives 0 for steps that do not count
  Val tail_weight = {};         ///< f32[batch] that sums to 1; empty: every row weighs 1/batch
  /// Of random ops; only in training.
  std::function<Val()> seed = {}, iteration = {};
  std::function<Val(std::string_view)> parameter = {};
  /// Next value of a parameter that is not trained; of one that is trained, the value by which it
  /// is replaced in training before it is used: the optimizer goes on from there.
  std::function<void(std::string_view, Val)> update_state = {};
  std::function<int64_t()> next_stream = {};  ///< a new random stream, unique in the model
  std::function<void(std::string_view, Val)> give = {};  ///< a result beside the one returned
  /// Adds to the loss what is made of the examples of a result, divided by their number; nothing
  /// where it makes nothing.
  std::function<void(Val, const std::function<Val(Val)>&)> penalize = {};

  const Options& options() const { return layer.component.options; }
  Val in(size_t i = 0) const { return inputs[i]; }
  Val input_mask(size_t i) const { return masks.empty() ? mask : masks[i]; }
  Val named_input(size_t i) const { return i < named.size() ? named[i] : Val(); }
  /// Extents without the batch axis.
  Ints example_shape(size_t i = 0) const;
  int64_t batch() const { return inputs[0].shape()[0]; }
};

/// The parameter that "tied_to" replaces.
inline constexpr std::string_view kTiedParameter = "kernel";

/// What a layer makes of steps that do not count.
enum class MaskRule : uint8_t {
  kRefuses,  ///< it would treat all steps alike
  kCarries,  ///< its result has the same steps
  kKnows,    ///< it uses the mask or makes one
};

struct LayerDef {
  ComponentDef base;
  int64_t min_inputs = 1;
  int64_t max_inputs = 1;       ///< -1: any number
  bool integers = false;        ///< inputs may be integers
  std::string_view table = {};  ///< the matrix that other layers may be tied to
  bool steps_lead = false;      ///< "data_format" is of what stands behind the steps
  bool normalizes = false;      ///< the scale of its input does not matter
  MaskRule masks = MaskRule::kRefuses;
  std::span<const NamedInput> named_inputs = {};  ///< that may be given beside "inputs"
  bool (*infer)(LayerInferArgs&) = nullptr;
  Val (*build)(const LayerBuildArgs&) = nullptr;
  Val (*build_mask)(const LayerBuildArgs&) = nullptr;  ///< of the result; kKnows only
};

/// LayerDef::infer and LayerDef::build, which see channels last whatever "data_format" says; with
/// the penalty of "activity_regularizer".
inline constexpr std::string_view kDataFormat = "data_format";
inline constexpr std::string_view kActivityRegularizer = "activity_regularizer";
bool infer_layer(LayerInferArgs& args);
Val build_layer(const LayerBuildArgs& args);

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
/// Regularizer and constraint of a parameter.
#define GRADC_REGULATED(prefix)                                                           \
  OptionDef{.name = prefix "_regularizer",                                                \
            .type = OptionType::kComponent,                                               \
            .default_json = "null",                                                       \
            .doc = "penalty added to the loss",                                           \
            .family = Family::kRegularizer},                                              \
      OptionDef {                                                                         \
    .name = prefix "_constraint", .type = OptionType::kComponent, .default_json = "null", \
    .doc = "what it is made to keep after every step", .family = Family::kConstraint      \
  }
#define GRADC_ACTIVITY_REGULARIZER                                                        \
  OptionDef {                                                                             \
    .name = kActivityRegularizer, .type = OptionType::kComponent, .default_json = "null", \
    .doc = "penalty on the result, added to the loss: the mean over the examples",        \
    .family = Family::kRegularizer                                                        \
  }
#define GRADC_ACTIVATION_OPTION                                                   \
  OptionDef {                                                                     \
    .name = "activation", .type = OptionType::kComponent, .default_json = "null", \
    .doc = "applied to the result", .family = Family::kActivation                 \
  }
/// Of layers that look up rows of a trained table.
#define GRADC_SPARSE_OPTION                                                                      \
  OptionDef{.name = "sparse",                                                                    \
            .type = OptionType::kBool,                                                           \
            .default_json = "false",                                                             \
            .doc =                                                                               \
                "a step moves only the rows that its batch looks up, and what the optimizer "    \
                "remembers of them: nothing as large as the table is made. Not as Keras, which " \
                "moves all rows; as PyTorch's sparse=True"}
/// Of layers that multiply by a kernel.
#define GRADC_KERNEL_AND_BIAS_OPTIONS                                            \
  OptionDef{.name = "use_bias",                                                  \
            .type = OptionType::kBool,                                           \
            .default_json = "true",                                              \
            .doc = "add a trained vector"},                                      \
      GRADC_INITIALIZER("kernel_initializer", "glorot_uniform"),                 \
      GRADC_INITIALIZER("bias_initializer", "zeros"), GRADC_REGULATED("kernel"), \
      GRADC_REGULATED("bias"), GRADC_ACTIVITY_REGULARIZER
/// Infers the option "activation", if it is given, on the output's shape.
bool infer_activated(LayerInferArgs& args);

/// Product of extents, or nothing when it passes kMaxTensorBytes elements.
std::optional<int64_t> checked_product(std::span<const int64_t> extents);

/// "[28, 28]" as in JSON.
std::string shape_text(const Ints& shape);

}  // namespace gradc
