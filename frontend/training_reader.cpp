// Losses may be one ("loss"), or one per output ("losses", "loss_weights"); metrics a list, or
// lists per output.
#include "frontend/training_reader.h"

#include "frontend/component_reader.h"
#include "frontend/example_weights.h"
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "frontend/loss_advice.h"
#include "frontend/own_losses.h"
#include "frontend/parameter_steps.h"
#include "frontend/schedule_check.h"
#include "frontend/watch_reader.h"
#include "support/suggest.h"

#include <algorithm>
#include <map>
#include <set>

namespace gradc {

namespace layers {
extern const LayerDef kAddLoss;
}

namespace {

constexpr OptionDef kTrainingOptions[] = {
    {.name = "optimizer",
     .type = OptionType::kComponent,
     .doc = "how parameters follow their gradients",
     .family = Family::kOptimizer},
    {.name = "batch_size",
     .type = OptionType::kInt,
     .default_json = "32",
     .doc = "examples per step",
     .min = 1,
     .max = 1 << 30},
    {.name = "epochs",
     .type = OptionType::kInt,
     .default_json = "1",
     .doc = "passes over the data",
     .min = 1,
     .max = 1e9},
    {.name = "shuffle",
     .type = OptionType::kBool,
     .default_json = "true",
     .doc = "a new order each epoch"},
    {.name = "validation_split",
     .type = OptionType::kFloat,
     .default_json = "0",
     .doc = "last share of the data, kept for validation",
     .min = 0,
     .max = 1,
     .below_max = true},
    {.name = "seed",
     .type = OptionType::kInt,
     .default_json = "0",
     .doc = "of initial values, order and dropout",
     .min = 0},
    {.name = "sample_weight",
     .type = OptionType::kBool,
     .default_json = "false",
     .doc = "data say what each example weighs in the loss"},
};

class TrainingReader {
 public:
  TrainingReader(const JsonCursor& at, DiagnosticSink& sink, Model& model)
      : reader_(sink, at, "\"training\""), sink_(sink), model_(model) {}

  void run() {
    if (!reader_.is_object()) return;
    index_outputs();
    read_losses();
    Options options;
    read_options(reader_, kTrainingOptions, options);
    read_example_weights(reader_, model_, training_);
    for (const char* key : {"metrics", "weighted_metrics"}) {
      weighted_ = key[0] == 'w';
      if (const auto metrics = reader_.get(key)) read_metrics(*metrics, key);
    }
    if (const auto stopping = reader_.get("early_stopping"))
      training_.early_stopping = read_early_stopping(*stopping, sink_, monitors());
    if (const auto plateau = reader_.get("reduce_on_plateau"))
      training_.reduce_on_plateau = read_reduce_on_plateau(*plateau, sink_, monitors());
    reader_.finish();
    check_shuffle(options);
    training_.batch_size = options.integer("batch_size");
    training_.epochs = options.integer("epochs");
    training_.shuffle = options.flag("shuffle");
    training_.validation_split = options.number("validation_split");
    training_.seed = options.integer("seed");
    training_.sample_weight = options.flag("sample_weight");
    check_sample_weight(sink_, reader_.cursor(), model_, training_);
    if (sink_.has_errors()) return;
    training_.optimizer = *options.component("optimizer");
    check_optimizer();
    if (sink_.has_errors()) return;
    for (const OutputLoss& loss : training_.losses)
      if (!loss.for_target) warn_of_activation(model_, loss, sink_);
    warn_of_learning_rate();
    model_.training = std::move(training_);
  }

 private:
  void index_outputs() {
    std::vector<std::string> names;
    for (size_t i = 0; i < model_.outputs.size(); ++i) {
      outputs_by_name_.emplace(model_.outputs[i].name, i);
      names.push_back(model_.outputs[i].name);
    }
    output_names_ = NameIndex(std::move(names));
  }

  std::optional<size_t> find_output(const JsonCursor& member, const std::string& name) {
    const auto found = outputs_by_name_.find(name);
    if (found != outputs_by_name_.end()) return found->second;
    if (!model_.outputs.empty()) {
      sink_
          .error(DiagKind::kUnknownReference, member.key_place(), "no output is named \"{}\"", name)
          .with_help(output_names_.suggestion(name));
    }
    return std::nullopt;
  }

  /// The loss of an output, or null.
  OutputLoss* loss_of(size_t output) {
    const auto found = losses_by_output_.find(output);
    return found == losses_by_output_.end() ? nullptr : &training_.losses[found->second];
  }

  const Ints& output_shape(size_t output) const {
    return model_.spec(model_.outputs[output].value).shape;
  }

  void add_loss(const JsonCursor& at, size_t output) {
    const auto loss = read_component(sink_, at, Family::kLoss);
    if (!loss || output >= model_.outputs.size()) return;
    std::string problem;
    if (!is_float(model_.spec(model_.outputs[output].value).dtype)) {
      sink_.error(DiagKind::kTypeMismatch, at.place(),
                  "output \"{}\" is {}, but a loss needs floats", model_.outputs[output].name,
                  to_string(model_.spec(model_.outputs[output].value)));
    } else if (!loss_fits(*loss, output_shape(output), problem)) {
      sink_
          .error(DiagKind::kShapeMismatch, at.place(), "output \"{}\": {}",
                 model_.outputs[output].name, problem)
          .with_help(loss->def->type.find("categorical") != std::string_view::npos &&
                             !output_shape(output).empty()
                         ? "for two classes in one unit, use binary_crossentropy"
                         : "");
    } else if (model_.masked(model_.outputs[output].value) && !loss_takes_mask(*loss)) {
      sink_
          .error(DiagKind::kUnsupported, at.place(),
                 "some steps of output \"{}\" do not count, but {} is of whole examples",
                 model_.outputs[output].name, loss->written_type)
          .with_help("end with a layer that drops the mask, like flatten or pooling");
    }
    losses_by_output_.emplace(output, training_.losses.size());
    OutputLoss& added = training_.losses.emplace_back();
    added.output = output;
    added.loss = *loss;
  }

  /// What stateful layers carry on belongs to the next part of the same sequence.
  void check_shuffle(const Options& options) {
    if (!options.flag("shuffle")) return;
    for (const Layer& layer : model_.layers) {
      const auto carried = std::find_if(layer.parameters.begin(), layer.parameters.end(),
                                        [](const ParameterSpec& p) { return p.carried; });
      if (carried == layer.parameters.end()) continue;
      sink_
          .error(DiagKind::kUnsupported, layer.place,
                 "layer \"{}\" is stateful, but training shuffles its examples: a batch does not "
                 "go on where the one before ended",
                 layer.name)
          .with_help("\"shuffle\": false in \"training\"");
      return;
    }
  }

  /// A rate that the optimizer is never used with: a comma in the wrong place, or another
  /// optimizer's habit.
  void warn_of_learning_rate() {
    const Component& optimizer = training_.optimizer;
    const Component& schedule = *optimizer.options.component("learning_rate");
    const RateRange usual = usual_learning_rates(optimizer);
    const double rate = highest_rate(schedule);
    if (rate >= usual.low && rate <= usual.high) return;
    sink_
        .warning(DiagKind::kLearningRate, schedule.place,
                 "the learning rate is {}, but {} is used with {} to {}", rate,
                 optimizer.written_type, usual.low, usual.high)
        .with_help(rate == 0           ? "nothing is trained with a rate of 0"
                   : rate > usual.high ? "training will hardly stay finite with it"
                                       : "training will hardly move with it");
  }

  /// The one loss of a model with several outputs: a formula that names them.
  void add_loss_of_all(const JsonCursor& at) {
    const auto loss = read_component(sink_, at, Family::kLoss);
    if (!loss) return;
    if (own_loss(*loss) == OwnLoss::kFormula) {
      OutputLoss& added = training_.losses.emplace_back();
      added.loss = *loss;
      added.of_all = true;
      return;
    }
    sink_
        .error(DiagKind::kBadValue, at.place(),
               "the model has {} outputs, so \"loss\" is not clear", model_.outputs.size())
        .with_help(fmt::format("use \"losses\": {{\"{}\": ..., \"{}\": ...}}, or a formula",
                               model_.outputs[0].name, model_.outputs[1].name));
  }

  bool has_layer_that_adds_loss() const {
    return std::any_of(model_.layers.begin(), model_.layers.end(),
                       [](const Layer& layer) { return layer.def == &layers::kAddLoss; });
  }

  void read_losses() {
    const auto one = reader_.get("loss");
    const auto many = reader_.get("losses");
    const auto weights = reader_.get("loss_weights");
    if (one && many) {
      sink_.error(DiagKind::kBadValue, many->key_place(),
                  "\"loss\" and \"losses\" are both given; one of them is enough");
    } else if (one && model_.outputs.size() > 1) {
      add_loss_of_all(*one);
    } else if (one) {
      add_loss(*one, 0);
    } else if (many && !many->value().is_object()) {
      report_wrong_type(sink_, *many, "an object with one loss per output");
    } else if (many) {
      for (const auto& [name, value] : many->value().items()) {
        const JsonCursor member = many->member(name, value);
        if (const auto output = find_output(member, name)) {
          add_loss(member, *output);
        } else {
          read_component(sink_, member, Family::kLoss);
        }
      }
    }
    const bool none = !one && (!many || (many->value().is_object() && many->value().empty()));
    if (none && !has_layer_that_adds_loss()) {
      sink_
          .error(DiagKind::kMissingOption, reader_.cursor().place(),
                 "\"training\" has no \"loss\", which must be given")
          .with_help(model_.layers.empty() ? ""
                                           : "or a layer \"add_loss\" says what is trained on");
    }
    if (weights) read_weights(*weights);
    if (sink_.has_errors()) return;
    finish_own_losses(model_, training_, sink_);
    losses_by_output_.clear();
    for (size_t i = 0; i < training_.losses.size(); ++i)
      losses_by_output_.emplace(training_.losses[i].output, i);
  }

  void read_weights(const JsonCursor& weights) {
    if (!weights.value().is_object()) {
      report_wrong_type(sink_, weights, "an object with one number per output");
      return;
    }
    static constexpr OptionDef kWeight = {.name = "weight", .type = OptionType::kFloat, .min = 0};
    for (const auto& [name, value] : weights.value().items()) {
      const JsonCursor member = weights.member(name, value);
      const auto weight = read_number(sink_, member, kWeight);
      const auto output = find_output(member, name);
      if (!weight || !output) continue;
      OutputLoss* loss = loss_of(*output);
      if (loss != nullptr) loss->weight = *weight;
      if (loss == nullptr && !sink_.has_errors()) {
        sink_.error(DiagKind::kBadValue, member.key_place(),
                    "output \"{}\" has a weight but no loss", name);
      }
    }
  }

  void read_metrics(const JsonCursor& at, const char* key) {
    if (at.value().is_array() || at.value().is_string()) {
      if (model_.outputs.size() > 1) {
        sink_
            .error(DiagKind::kBadValue, at.place(),
                   "the model has {} outputs, so \"{}\" must say which output each belongs to",
                   model_.outputs.size(), key)
            .with_help(fmt::format("use \"{}\": {{\"{}\": [...]}}", key, model_.outputs[0].name));
        return;
      }
      add_metrics(at, 0);
    } else if (at.value().is_object()) {
      for (const auto& [name, value] : at.value().items()) {
        const JsonCursor member = at.member(name, value);
        if (const auto output = find_output(member, name)) add_metrics(member, *output);
      }
    } else {
      report_wrong_type(sink_, at, "a list of metrics, or an object with a list per output");
    }
  }

  void add_metrics(const JsonCursor& at, size_t output) {
    if (!at.value().is_array()) return add_metric(at, output);
    for (size_t i = 0; i < at.value().size(); ++i)
      add_metric(at.element(i), output);
  }

  void add_metric(const JsonCursor& at, size_t output) {
    if (at.value().is_string() && at.value().get<std::string>() == "loss") return;  // always there
    const auto metric = read_component(sink_, at, Family::kMetric);
    if (!metric || output >= model_.outputs.size()) return;
    const OutputLoss* loss = loss_of(output);
    if (loss == nullptr || !loss->has_target) {
      if (!sink_.has_errors()) {
        sink_.error(DiagKind::kBadValue, at.place(), "output \"{}\" has a metric but no {}",
                    model_.outputs[output].name, loss == nullptr ? "loss" : "target");
      }
      return;
    }
    OutputMetric entry{
        .output = output, .metric = *metric, .resolved = nullptr, .name = metric_name(*metric)};
    if (weighted_) entry.metric.options.set("weighted", true);
    std::string problem;
    entry.resolved =
        resolve_metric(*metric, output_shape(output), loss_target(loss->loss), problem);
    if (entry.resolved == nullptr) {
      sink_.error(DiagKind::kShapeMismatch, at.place(), "output \"{}\" of shape {}: {}",
                  model_.outputs[output].name, shape_text(output_shape(output)), problem);
      return;
    }
    const std::string prefix = model_.outputs.size() > 1 ? model_.outputs[output].name + "_" : "";
    // As Keras: beside the same metric without weights the name says that it is weighted.
    const bool again = weighted_ && metric_names_.contains(prefix + entry.name);
    entry.name = prefix + (again ? "weighted_" : "") + entry.name;
    if (!metric_names_.insert(entry.name).second) {
      sink_.error(DiagKind::kDuplicateName, at.place(), "two metrics are named \"{}\"", entry.name)
          .with_help("give one of them another \"name\"");
      return;
    }
    training_.metrics.push_back(std::move(entry));
  }

  /// Losses and metrics by their names in the log.
  Monitors monitors() const {
    Monitors monitors;
    monitors.add("loss", Better::kSmaller);
    if (num_losses(training_) > 1) {
      for (const OutputLoss& loss : training_.losses)
        if (!loss.for_target)
          monitors.add(model_.outputs[loss.output].name + "_loss", Better::kSmaller);
    }
    for (const OutputMetric& metric : training_.metrics)
      monitors.add(metric.name, metric_direction(*metric.resolved));
    return monitors;
  }

  void check_optimizer() {
    const Component& optimizer = training_.optimizer;
    const auto place = [&](const char* option) {
      Place at = optimizer.place;
      at.pointer += std::string("/") + option;
      return at;
    };
    std::vector<const char*> clips;
    for (const char* option : {"clipnorm", "clipvalue", "global_clipnorm"}) {
      if (optimizer.options.has(option)) clips.push_back(option);
    }
    if (clips.size() > 1) {
      sink_.error(DiagKind::kBadValue, place(clips[1]),
                  "\"{}\" and \"{}\" are both given; at most one clipping is possible", clips[0],
                  clips[1]);
    }
    check_schedule(sink_, *optimizer.options.component("learning_rate"));
    check_left_out(model_, optimizer, sink_);
    if (!sink_.has_errors()) check_rows();
  }

  /// What is trained by rows is moved by the optimizer's formula on these rows.
  void check_rows() {
    for (const Layer& layer : model_.layers) {
      for (const ParameterSpec& spec : layer.parameters) {
        if (!spec.by_rows || !spec.trainable) continue;
        const Component& optimizer = training_.optimizer;
        const std::string_view why = accumulated_steps(optimizer) > 1
                                         ? "has the gradients of several steps in one update"
                                         : why_not_by_rows(step_of(optimizer, layer, spec));
        if (why.empty()) continue;
        Place at = layer.place;
        at.pointer += "/sparse";
        sink_
            .error(DiagKind::kUnsupported, at,
                   "{} \"{}\" is sparse: a step moves only rows that its batch looks up, but "
                   "optimizer \"{}\" {}",
                   layer.component.written_type, layer.name, optimizer.written_type, why)
            .with_help(optimizer.options.number_or("weight_decay", 0.0) > 0.0
                           ? "\"weight_decay\": 0 in the optimizer, or leave \"sparse\" out"
                           : "sgd, adagrad, rmsprop or adam move row by row; or leave \"sparse\" "
                             "out");
        return;
      }
    }
  }

  ObjectReader reader_;
  DiagnosticSink& sink_;
  Model& model_;
  Training training_;
  std::map<std::string, size_t> outputs_by_name_;
  NameIndex output_names_;
  std::map<size_t, size_t> losses_by_output_;
  std::set<std::string> metric_names_;
  bool weighted_ = false;  ///< the metrics that are being read
};

}  // namespace

void read_training(const JsonCursor& at, DiagnosticSink& sink, Model& model) {
  TrainingReader(at, sink, model).run();
}

std::span<const OptionDef> training_options() {
  return kTrainingOptions;
}

}  // namespace gradc
