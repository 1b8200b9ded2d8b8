// Walks the calls in order; every layer builds itself from its table entry.
#include "frontend/graph_builder.h"

#include "frontend/batch_check.h"
#include "frontend/call_locations.h"
#include "frontend/example_values.h"
#include "frontend/example_weights.h"
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "frontend/own_losses.h"
#include "frontend/parameter_steps.h"
#include "frontend/scores.h"
#include "frontend/step_marks.h"
#include "ir/builder.h"
#include "ir/contraction_types.h"
#include "ir/step_output.h"
#include "support/check.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>

namespace gradc {
namespace {

TensorType batched(const TensorSpec& spec, int64_t batch) {
  Ints dims = {batch};
  dims.insert(dims.end(), spec.shape.begin(), spec.shape.end());
  return {spec.dtype, Shape(dims)};
}

/// A name that may stand after '%'.
std::string value_hint(std::string text) {
  for (char& c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '.';
    if (!plain) c = c == '/' ? '.' : '_';
  }
  return text;
}

class EntryBuilder {
 public:
  EntryBuilder(const Model& model, const EntryRequest& request)
      : model_(model),
        request_(request),
        graph_(std::make_shared<Graph>(value_hint(model.name))),
        builder_(*graph_),
        locations_(call_locations(model)) {
    for (const ModelOutput& output : model.outputs)
      outputs_.insert(output.value);
  }

  Result<EntryGraph> build() {
    DiagnosticSink sink;
    check_batch_size(model_, request_.batch_size, sink);
    const bool gives_outputs =
        request_.kind == EntryKind::kPredict || request_.kind == EntryKind::kForward;
    if (!gives_outputs && !model_.training) {
      sink.error(DiagKind::kMissingOption, {.file = model_.file},
                 "the model has no \"training\" section, so it has no loss")
          .with_help("add \"training\": {\"loss\": ..., \"optimizer\": ...}");
    }
    if (request_.kind == EntryKind::kUpdate) refuse_rows(sink);
    if (sink.has_errors()) return Failure(sink.take());
    if (request_.kind == EntryKind::kUpdate) return build_update();
    if (request_.kind == EntryKind::kRate) {
      build_learning_rate();
      return EntryGraph{graph_, {}};
    }
    add_inputs();
    add_parameters();
    for (const Call& call : model_.calls)
      build_call(call);
    if (request_.kind == EntryKind::kMasks) {
      add_outputs(kMaskOutput, masks_);
      return EntryGraph{graph_, {}};
    }
    if (gives_outputs) {
      add_outputs("output/", values_);
      update_states();
      return EntryGraph{graph_, {}};
    }
    build_losses();
    EntryGraph entry{graph_, {}};
    if (training()) {
      entry.optimizer = make_optimizer_spec(model_.training->optimizer);
      add_constraints();
      mark_rows();
      mark_steps(model_, builder_);
      build_learning_rate();
    }
    return entry;
  }

 private:
  bool training() const {
    return request_.kind == EntryKind::kTrain || request_.kind == EntryKind::kForward;
  }

  /// Which rows of a given gradient were looked up nobody knows.
  void refuse_rows(DiagnosticSink& sink) const {
    for (const Layer& layer : model_.layers) {
      for (const ParameterSpec& spec : layer.parameters) {
        if (!spec.by_rows || !spec.trainable) continue;
        sink.error(DiagKind::kUnsupported, layer.place,
                   "\"{}/{}\" is trained by rows: a gradient that is given does not say which",
                   layer.name, spec.name)
            .with_help("leave \"sparse\" out");
      }
    }
  }

  void add_outputs(const std::string& prefix, const std::vector<Val>& of_values) {
    for (const ModelOutput& output : model_.outputs) {
      if (const Val value = of_values[output.value]; value.valid())
        graph_->add_output(prefix + output.name, value.id());
    }
  }

  EntryGraph build_update() {
    add_parameters();
    builder_.set_phase(Phase::kUpdate);
    const std::vector<GraphInput> held = graph_->inputs();
    for (const GraphInput& parameter : held) {
      const TensorType type = graph_->type(parameter.value);
      if (parameter.kind != InputKind::kParam || !is_float(type.dtype)) continue;
      const std::string gradient = "gradient/" + parameter.name;
      const Val given = builder_.input(InputKind::kInput, type, gradient,
                                       value_hint(parameter.name + ".gradient"));
      graph_->add_output(gradient, given.id());
    }
    add_constraints();
    mark_steps(model_, builder_);
    builder_.set_phase(Phase::kUpdate);
    build_learning_rate();
    return EntryGraph{graph_, make_optimizer_spec(model_.training->optimizer)};
  }

  void locate(const Place& place) { builder_.set_location(place.pointer); }

  void add_inputs() {
    for (const ModelInput& input : model_.inputs) {
      locate(input.place);
      values_.push_back(builder_.input(InputKind::kInput, batched(input.spec, request_.batch_size),
                                       "input/" + input.name, value_hint(input.name)));
      masks_.emplace_back();
    }
    if (request_.tail && request_.kind != EntryKind::kPredict) {
      builder_.set_location("");
      tail_ = builder_.input(InputKind::kInput, {DType::kF32, Shape{request_.batch_size}},
                             "tail/weight", "tail.weight");
    }
  }

  /// All parameters of the model, in the file's order, so that every entry has the same ones with
  /// the same streams.
  void add_parameters() {
    int64_t stream = 0;
    for (const Layer& layer : model_.layers) {
      locate(layer.place);
      for (const ParameterSpec& spec : layer.parameters) {
        Ints shape = spec.shape;
        if (spec.carried) shape.insert(shape.begin(), request_.batch_size);
        InitSpec init = spec.init ? *spec.init : make_init_spec(spec.initializer, shape);
        init.stream = stream++;
        init.ones_begin = spec.ones_begin;
        init.ones_end = spec.ones_end;
        const std::string name = layer.name + "/" + spec.name;
        parameters_[name] = builder_.input(spec.trainable ? InputKind::kParam : InputKind::kState,
                                           {spec.dtype, Shape(shape)}, name,
                                           value_hint(layer.name + "." + spec.name), init);
      }
    }
  }

  Val seed() {
    if (!seed_.valid())
      seed_ = builder_.input(InputKind::kInput, {DType::kI64, {}}, "seed", "seed");
    return seed_;
  }

  Val iteration() {
    if (!iteration_.valid()) {
      InitSpec init;
      init.kind = "zeros";
      iteration_ =
          builder_.input(InputKind::kState, {DType::kI64, {}}, kIterationInput, "iteration", init);
    }
    return iteration_;
  }

  void build_call(const Call& call) {
    const Layer& layer = model_.layers[call.layer];
    builder_.set_location(locations_[static_cast<size_t>(&call - model_.calls.data())]);
    std::vector<Val> inputs;
    for (const ModelValue value : call.inputs)
      inputs.push_back(value_as(value, layer.seen(model_.spec(value).dtype)));
    LayerBuildArgs args{.layer = layer, .inputs = inputs, .builder = builder_};
    args.training = training();
    args.mask = masks_[call.inputs.front()];
    for (const ModelValue value : call.inputs)
      args.masks.push_back(masks_[value]);
    for (const auto& value : call.named)
      args.named.push_back(value ? values_[*value] : Val());
    if (tail_.valid()) args.tail_weight = cast(tail_, layer.policy.compute);
    args.seed = [this] { return seed(); };
    args.iteration = [this] { return iteration(); };
    args.parameter = [&](std::string_view name) { return parameter(layer, name); };
    args.update_state = [&](std::string_view name, Val value) {
      states_[layer.name + "/" + std::string(name)] = value;
    };
    args.next_stream = [this] { return random_stream_++; };
    args.penalize = [this](Val result, const std::function<Val(Val)>& penalty) {
      if (request_.kind != EntryKind::kPredict) add_penalty(result, penalty);
    };
    std::vector<Val> results(call.results.size());
    args.give = [&](std::string_view name, Val value) {
      const std::string full = call.name + "." + std::string(name);
      for (size_t i = 1; i < results.size(); ++i) {
        if (call.results[i].name == full) results[i] = value;
      }
    };
    const NodeId before = graph_->last_node();
    results.front() = build_layer(args);
    if (layer.policy.short_float) multiply_in(*graph_, before, *layer.policy.short_float);
    const bool carries = layer.def->masks == MaskRule::kCarries;
    for (size_t i = 0; i < results.size(); ++i) {
      const CallResult& wanted = call.results[i];
      GRADC_CHECK(results[i].valid(), "\"{}\" was not built", wanted.name);
      const TensorType expected = batched(wanted.spec, request_.batch_size);
      GRADC_CHECK(results[i].type() == expected, "\"{}\" was inferred as {} but built as {}",
                  wanted.name, to_string(expected), to_string(results[i].type()));
      graph_->set_name_hint(results[i].id(), value_hint(wanted.name));
      values_.push_back(in_memory(results[i], layer.policy));
      masks_.emplace_back();
      if (wanted.masked) masks_.back() = carries ? args.mask : layer.def->build_mask(args);
    }
  }

  /// What a layer passes on, in the policy's short type; what leaves the model is not rounded.
  Val in_memory(Val result, const DTypePolicy& policy) {
    const bool rounds = policy.short_float && result.dtype() == policy.compute &&
                        !outputs_.contains(values_.size());
    return rounds ? cast(result, *policy.short_float) : result;
  }

  /// A value as its readers see it. All of one type share one cast, so that their gradients are
  /// added before they are rounded.
  Val value_as(ModelValue value, DType dtype) {
    const Val held = values_[value];
    if (held.dtype() == dtype) return held;
    const auto [entry, fresh] = casts_.try_emplace({value, dtype});
    if (fresh) entry->second = cast(held, dtype);
    return entry->second;
  }

  /// A parameter's value, or its new one, where a layer has already moved or replaced it.
  Val parameter(const Layer& layer, std::string_view name) {
    if (layer.tie && name == kTiedParameter) {
      const Val held = parameter(model_.layers[layer.tie->layer], layer.tie->held);
      return cast(transpose(held, {1, 0}), layer.policy.compute);
    }
    const std::string full = layer.name + "/" + std::string(name);
    const auto found = parameters_.find(full);
    GRADC_CHECK(found != parameters_.end(), "layer \"{}\" has no parameter \"{}\"", layer.name,
                name);
    const auto moved = states_.find(full);
    return moved == states_.end() ? found->second : moved->second;
  }

  // ---- loss and metrics

  /// An output as losses and metrics see it: f32 at least.
  Val output_value(const ModelOutput& output) {
    const DType dtype = values_[output.value].dtype();
    return value_as(output.value, is_float(dtype) ? accumulator_dtype(dtype) : dtype);
  }

  /// Losses are added in f64 if one of the outputs is.
  Val plus(Val total, Val part) {
    if (!total.valid()) return part;
    if (total.dtype() == DType::kF64 || part.dtype() == DType::kF64)
      return cast(total, DType::kF64) + cast(part, DType::kF64);
    return total + part;
  }

  /// One for each loss, empty where it needs none, and behind them the weights of examples.
  std::vector<Val> add_targets() {
    std::vector<Val> targets;
    for (const OutputLoss& loss : model_.training->losses) {
      if (!loss.has_target) {
        targets.emplace_back();
        continue;
      }
      locate(loss.loss.place);
      const std::string& output = model_.outputs[loss.output].name;
      targets.push_back(builder_.input(InputKind::kInput,
                                       batched(model_.target_spec(loss), request_.batch_size),
                                       "target/" + output, value_hint(output + ".target")));
    }
    if (model_.training->sample_weight) {
      sample_weights_ = builder_.input(InputKind::kInput, {DType::kF32, Shape{request_.batch_size}},
                                       kSampleWeightInput, "sample_weight");
    }
    return targets;
  }

  /// As Keras: what is validated and tested is not weighted by its class.
  Val class_weights(const OutputLoss& loss, const std::string& output) {
    if (!training() || !loss.class_weights) return {};
    const int64_t classes = classes_of(model_, loss);
    const TensorType type{DType::kF32, Shape{classes}};
    if (const auto known = loss.class_weights->by_number(classes))
      return builder_.constant(type, *known);
    InitSpec ones;
    ones.kind = "ones";
    return builder_.input(InputKind::kState, type, kClassWeightState + output,
                          value_hint(output + ".class_weight"), ones);
  }

  void build_losses() {
    const Training& section = *model_.training;
    std::map<size_t, std::unique_ptr<OutputScores>> scores;
    Val total;
    std::vector<std::pair<std::string, Val>> parts;
    const std::vector<Val> targets = add_targets();
    for (size_t i = 0; i < section.losses.size(); ++i) {
      const OutputLoss& loss = section.losses[i];
      locate(loss.loss.place);
      const ModelOutput& output = model_.outputs[loss.output];
      auto& of_output = scores[loss.output];
      of_output = std::make_unique<OutputScores>(loss.loss, output_value(output), targets[i],
                                                 masks_[output.value], tail_);
      if (loss.for_target) continue;
      if (own_loss(loss.loss) == OwnLoss::kFormula)
        of_output->take(build_formula_loss(model_, loss, targets, [this](size_t named) {
          return floats_of(output_value(model_.outputs[named]));
        }));
      const Val part = of_output->loss(sample_weights_, class_weights(loss, output.name));
      parts.emplace_back(output.name + "_loss", part);
      const Val weighted = loss.weight == 1.0 ? part : part * loss.weight;
      total = plus(total, weighted);
    }
    total = cast(add_regularizers(total), DType::kF32);
    graph_->set_name_hint(total.id(), "loss");
    graph_->add_output("loss", total.id());
    if (parts.size() > 1) {
      for (const auto& [name, part] : parts)
        graph_->add_output("metric/" + name, cast(part, DType::kF32).id());
    }
    weigh_metrics(scores);
    for (const OutputMetric& metric : section.metrics) {
      locate(metric.metric.place);
      const MeanOfMetric mean = scores.at(metric.output)->metric(metric);
      const Val value = cast(mean.value, DType::kF32);
      graph_->set_name_hint(value.id(), value_hint(metric.name));
      graph_->add_output("metric/" + metric.name, value.id());
      for (size_t i = 0; i < mean.parts.size(); ++i) {
        graph_->add_output(fmt::format("part/{}/{}", metric.name, i),
                           cast(mean.parts[i], DType::kF32).id());
      }
    }
    for (const auto& [output, of_output] : scores) {
      if (!of_output->count().valid()) continue;
      const std::string name = model_.outputs[output].name;
      graph_->add_output(kCountOutput + name, of_output->count().id());
    }
    update_states();
  }

  /// Outputs with metrics that count weights, and with weights: in entries that weigh nothing all
  /// weigh 1, so that the sum is there in each.
  void weigh_metrics(std::map<size_t, std::unique_ptr<OutputScores>>& scores) {
    std::set<size_t> weighed;
    for (const OutputMetric& metric : model_.training->metrics) {
      if (!is_weighted(metric.metric) || !is_weighed(*model_.training, metric.output)) continue;
      if (!weighed.insert(metric.output).second) continue;
      locate(metric.metric.place);
      const std::string& name = model_.outputs[metric.output].name;
      Val classes;
      for (const OutputLoss& loss : model_.training->losses) {
        if (loss.output == metric.output) classes = class_weights(loss, name);
      }
      const Val sum = scores.at(metric.output)->weigh(sample_weights_, classes);
      graph_->add_output(kWeightSumOutput + name, sum.id());
    }
  }

  /// What layers keep of this batch, and what stands for trained parameters in this step.
  void update_states() {
    builder_.set_phase(Phase::kUpdate);
    for (const auto& [name, value] : states_) {
      const Val held = parameters_.at(name);
      if (graph_->input_of(held.id()).kind == InputKind::kParam)
        graph_->add_output(kRestatedOutput + name, value.id());
      else
        builder_.update(held, value);
    }
    builder_.set_phase(Phase::kForward);
  }

  void add_penalty(Val result, const std::function<Val(Val)>& make) {
    const Val mean = mean_penalty(result, tail_, request_.batch_size, make);
    if (mean.valid()) penalties_ = penalties_.valid() ? plus(penalties_, mean) : mean;
  }

  Val add_regularizers(Val total) {
    if (penalties_.valid()) total = plus(total, penalties_);
    for (const Layer& layer : model_.layers) {
      for (const ParameterSpec& spec : layer.parameters) {
        if (!spec.regularizer || !spec.trainable) continue;  // as Keras: no penalty when frozen
        locate(spec.regularizer->place);
        const Val penalty = build_regularizer(*spec.regularizer, parameter(layer, spec.name));
        if (penalty.valid()) total = plus(total, penalty);
      }
    }
    return total;
  }

  void add_constraints() {
    for (const Layer& layer : model_.layers) {
      for (const ParameterSpec& spec : layer.parameters) {
        if (!spec.constraint || !spec.trainable) continue;
        locate(spec.constraint->place);
        const std::string name = layer.name + "/" + spec.name;
        const Val kept = build_constraint(*spec.constraint, parameters_.at(name));
        graph_->add_output(kConstraintOutput + name, kept.id());
      }
    }
  }

  void mark_rows() {
    for (const Layer& layer : model_.layers) {
      for (const ParameterSpec& spec : layer.parameters) {
        const std::string name = layer.name + "/" + spec.name;
        if (spec.by_rows && spec.trainable)
          graph_->add_output(kByRowsOutput + name, parameters_.at(name).id());
      }
    }
  }

  void build_learning_rate() {
    const Component& schedule = *model_.training->optimizer.options.component("learning_rate");
    locate(schedule.place);
    builder_.set_phase(Phase::kUpdate);
    const Val rate =
        cast(rate_of_step(*model_.training, cast(iteration(), DType::kF64)), DType::kF32);
    graph_->set_name_hint(rate.id(), "learning_rate");
    graph_->add_output(kLearningRateOutput, rate.id());
    builder_.set_phase(Phase::kForward);
  }

  const Model& model_;
  const EntryRequest& request_;
  std::shared_ptr<Graph> graph_;
  Builder builder_;
  std::vector<Val> values_;  ///< by ModelValue
  std::vector<Val> masks_;   ///< by ModelValue: which steps count; empty: all
  std::map<std::pair<ModelValue, DType>, Val> casts_;  ///< of values_
  std::set<ModelValue> outputs_;
  std::vector<std::string> locations_;  ///< by call
  std::map<std::string, Val> parameters_;
  std::map<std::string, Val> states_;  ///< as LayerBuildArgs::update_state says
  Val tail_, seed_, iteration_, sample_weights_;
  Val penalties_;  ///< on results; empty: none
  int64_t random_stream_ = kFirstRandomStream;

  /// Streams of random ops are kept apart from those of initial values.
  static constexpr int64_t kFirstRandomStream = int64_t{1} << 20;
};

}  // namespace

Result<EntryGraph> build_entry_graph(const Model& model, const EntryRequest& request) {
  return EntryBuilder(model, request).build();
}

}  // namespace gradc
