// The parsed description of a network: inputs, layers, how they are connected, training options,
// data rules. Shapes are of one example (no batch axis), so one Model serves every batch size.
#pragma once

#include "frontend/dtype_policy.h"
#include "frontend/options.h"
#include "ir/attrs.h"
#include "ir/op.h"
#include "support/diagnostic.h"
#include "support/result.h"
#include "support/source_file.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace gradc {

struct LayerDef;
struct InitSpec;

/// Type of a tensor without its batch axis.
struct TensorSpec {
  DType dtype = DType::kF32;
  Ints shape;
  bool operator==(const TensorSpec&) const = default;
};
/// "f32[28x28]".
std::string to_string(const TensorSpec& spec);

struct ModelInput {
  std::string name;
  TensorSpec spec;
  Place place;
};

/// A trained tensor of a layer, or one that it keeps (moving averages: not trainable).
struct ParameterSpec {
  std::string name;  ///< "kernel"
  DType dtype = DType::kF32;
  Ints shape;
  Component initializer;
  std::shared_ptr<const InitSpec> init;          ///< instead of an initializer; may be null
  std::shared_ptr<const Component> regularizer;  ///< may be null
  std::shared_ptr<const Component> constraint;   ///< may be null
  bool trainable = true;
  bool carried = false;    ///< from one batch to the next: the batch is its first axis
  bool by_rows = false;    ///< only rows that a batch looks up are trained ("sparse")
  int64_t ones_begin = 0;  ///< elements [ones_begin, ones_end) start at 1
  int64_t ones_end = 0;
};

/// A matrix of another layer that stands, transposed, for a layer's kernel.
struct Tie {
  size_t layer = 0;
  std::string held;  ///< the parameter's name there
};

/// A layer with its parameters; a shared layer is called more than once.
struct Layer {
  const LayerDef* def = nullptr;
  std::string name;
  Component component;  ///< type and options
  Op raw_op{};          ///< type "op.NAME" only
  AttrRef raw_attrs;
  bool trainable = true;
  DTypePolicy policy;
  std::vector<ParameterSpec> parameters;
  std::optional<Tie> tie;
  Place place;

  /// The type as which the layer sees a value of a type: floats are cast to its own. Raw ops take
  /// values as they come.
  DType seen(DType dtype) const;
};

/// Index of a value: inputs come first, then the results of the calls.
using ModelValue = size_t;

/// One result of a call. The first has the call's name, others add theirs: "lstm.state_h".
struct CallResult {
  std::string name;
  TensorSpec spec;
  bool masked = false;  ///< some of its steps do not count
};

/// One use of a layer. Calls are in topological order.
struct Call {
  std::string name;  ///< the layer's name, or the name of the "shared" entry
  size_t layer = 0;
  std::vector<ModelValue> inputs;
  std::vector<std::optional<ModelValue>> named = {};  ///< as LayerDef::named_inputs
  ModelValue first = 0;                               ///< its results are the values from here on
  std::vector<CallResult> results;
  Place place;

  const TensorSpec& output() const { return results.front().spec; }
};

struct ModelOutput {
  std::string name;
  ModelValue value = 0;
  Place place;
};

/// What the examples of a class weigh in the loss that is trained on.
struct ClassWeights {
  bool balanced = false;  ///< by how many there are: data decide
  /// By class name, or number; others weigh 1.
  std::vector<std::pair<std::string, double>> given;

  /// The weight of each class, where it is known without the data: all are given by number.
  std::optional<std::vector<double>> by_number(int64_t classes) const;
};

struct OutputLoss {
  size_t output = 0;
  Component loss;
  double weight = 1.0;
  std::optional<ClassWeights> class_weights;
  // Of losses of one's own (frontend/own_losses.h):
  bool has_target = true;      ///< false: it needs none, so data give none
  bool for_target = false;     ///< no loss: another output's formula names this target
  bool of_all = false;         ///< a formula that belongs to no output more than to others
  std::optional<Ints> values;  ///< the shape of an example's values
};

struct OutputMetric {
  size_t output = 0;
  Component metric;
  const ComponentDef* resolved = nullptr;  ///< "accuracy" made concrete
  std::string name;  ///< as logged: "accuracy", "digit_accuracy" with several outputs
};

struct EarlyStopping {
  std::string monitor = "val_loss";
  int64_t patience = 0;
  double min_delta = 0.0;
  bool larger_is_better = false;
  bool restore_best_weights = false;
};

/// The rate falls where training no longer gets better.
struct ReduceOnPlateau {
  std::string monitor = "val_loss";
  double factor = 0.1;
  int64_t patience = 10;
  double min_delta = 1e-4;
  int64_t cooldown = 0;
  double min_learning_rate = 0.0;
  bool larger_is_better = false;
};

struct Training {
  std::vector<OutputLoss> losses;
  Component optimizer;
  std::vector<OutputMetric> metrics;
  int64_t batch_size = 32;
  int64_t epochs = 1;
  bool shuffle = true;
  double validation_split = 0.0;
  int64_t seed = 0;
  bool sample_weight = false;  ///< each example comes with what it weighs in the loss
  std::optional<EarlyStopping> early_stopping;
  std::optional<ReduceOnPlateau> reduce_on_plateau;
};

/// How the texts of an input become numbers: Keras's TextVectorization.
struct TextRule {
  enum class Split : uint8_t { kNone, kWhitespace, kCharacter } split = Split::kNone;
  bool lower = true;
  bool strip = true;       ///< punctuation
  int64_t max_tokens = 0;  ///< 0: as many as the model takes
  bool pad_front = false;
  bool cut_front = false;
  double mask_selection_rate = 0.0;  ///< of the tokens: hidden and asked for
  double mask_token_rate = 0.8;      ///< of those: mask_token_id stands there
  double random_token_rate = 0.1;    ///< and another token
  int64_t mask_token_id = -1;        ///< -1: the last that the input can have
};

/// A column of a table that an input takes: numbers, or names that are categories.
struct ColumnRule {
  /// Of a date; in the order of gradc_rt_date_part, from 1.
  enum class Part : uint8_t {
    kYear = 1,
    kQuarter,
    kMonth,
    kDay,
    kDayOfWeek,
    kDayOfYear,
    kHour,
    kMinute,
    kSecond,
    kDays
  };
  /// Whether it begins anew after a while.
  static bool periodic(Part part) { return part != Part::kYear && part != Part::kDays; }

  std::string name;
  int64_t categories = 0;  ///< so many at most; 0: numbers
  enum class Missing : uint8_t { kRefused, kMean, kMedian, kGiven } missing = Missing::kRefused;
  double fill = 0.0;       ///< kGiven
  std::string fill_text;   ///< kGiven, of categories
  bool flag = false;       ///< another value says where a cell is missing
  std::vector<Part> date;  ///< a value for each; empty: no dates
  bool cyclic = false;     ///< periodic parts are a sine and a cosine each
  std::string format;      ///< of dates, as strptime's; empty: ISO 8601

  /// Values of an example; those of an input of integers are numbers of categories.
  int64_t width(bool integers) const {
    int64_t values = date.empty() ? categories > 0 && !integers ? categories : 1 : 0;
    for (const Part part : date)
      values += cyclic && periodic(part) ? 2 : 1;
    return values + (flag ? 1 : 0);
  }
};

/// How image files become examples of one size.
struct ResizeRule {
  int64_t height = 0;  ///< 0: files have the size that is wanted
  int64_t width = 0;
  enum class Fit : uint8_t { kStretch, kCrop, kPad } fit = Fit::kStretch;
  enum class Filter : uint8_t { kBilinear, kNearest } filter = Filter::kBilinear;
};

/// Examples are windows over the rows of a table.
struct SeriesRule {
  int64_t stride = 0;   ///< rows from window to window; 0: no windows
  int64_t horizon = 1;  ///< rows from a window's last one to the target's first
};

/// How recordings become an input.
struct SoundRule {
  int64_t rate = 0;  ///< samples a second; 0: no sound
  /// What is taken of a longer recording, and where a shorter one stands between zeros.
  enum class Align : uint8_t { kStart, kMiddle, kEnd } align = Align::kStart;
  int64_t fft_length = 0;       ///< 0: the samples themselves, no spectrogram
  int64_t sequence_length = 0;  ///< samples of a frame
  int64_t sequence_stride = 0;  ///< samples from frame to frame
  double min_freq = 0;          ///< Hz
  double max_freq = 0;
  double min_power = 1e-10;
  enum class Scale : uint8_t { kHtk, kSlaney } mel_scale = Scale::kHtk;
};

/// A hole in an image, in training (DeVries and Taylor 2017).
struct CutoutRule {
  int64_t height = 0;  ///< 0: none
  int64_t width = 0;
  double fill = 0.0;  ///< before scale; NaN: the mean of the standardization
};

/// In training an example is mixed with another: all of its inputs and targets.
struct MixRule {
  double mixup = 0.0;   ///< alpha of Beta(alpha, alpha), 0: not (Zhang et al. 2018)
  double cutmix = 0.0;  ///< likewise, in a box (Yun et al. 2019)
  Place place;          ///< of either
};

/// What happens to one input or target between file and model; order as in runtime/data_abi.h.
struct DataRule {
  std::string name;  ///< of the input or output
  bool is_target = false;
  double scale = 1.0;
  double offset = 0.0;
  enum class Standardize : uint8_t { kNone, kGiven, kFromData } standardize = Standardize::kNone;
  std::vector<double> mean, stddev;  ///< kGiven
  int64_t one_hot = 0;               ///< classes; 0: off
  Ints reshape;                      ///< shape in the file is changed to this; empty: as it is
  bool flip_horizontal = false;
  bool flip_vertical = false;
  int64_t shift_height = 0;
  int64_t shift_width = 0;
  bool crop = false;
  double noise_stddev = 0.0;
  CutoutRule cutout;
  MixRule mix;
  TextRule text;
  std::vector<ColumnRule> columns;  ///< of a table; empty: all that are left, as numbers
  ResizeRule resize;
  SeriesRule series;
  SoundRule sound;
  Place place;
};

struct Model {
  std::string name = "model";
  std::string file;
  DTypePolicy policy;  ///< of layers that name none
  std::vector<ModelInput> inputs;
  std::vector<Layer> layers;
  std::vector<Call> calls;
  std::vector<ModelOutput> outputs;
  std::optional<Training> training;
  std::vector<DataRule> data;
  std::vector<Diagnostic> warnings;

  /// How many values there are.
  size_t num_values() const {
    return calls.empty() ? inputs.size() : calls.back().first + calls.back().results.size();
  }
  /// The call that a value is a result of; null for inputs.
  const Call* call_of(ModelValue value) const;
  const TensorSpec& spec(ModelValue value) const;
  bool masked(ModelValue value) const;
  const std::string& value_name(ModelValue value) const;
  /// The spec of an output's target as its loss wants it.
  TensorSpec target_spec(const OutputLoss& loss) const;
  /// Elements of all trained / of all other parameters.
  int64_t num_trainable() const;
  int64_t num_not_trainable() const;
  const DataRule* data_rule(std::string_view name, bool is_target) const;
};

}  // namespace gradc
