#include "driver/model_tables.h"

#include "driver/data_tables.h"
#include "driver/entry_builder.h"
#include "frontend/example_weights.h"
#include "frontend/families.h"
#include "frontend/graph_builder.h"
#include "frontend/layer_def.h"
#include "frontend/own_losses.h"
#include "ir/optimizer_spec.h"
#include "ir/step_output.h"
#include "passes/index_ranges.h"
#include "passes/step_graph.h"
#include "support/check.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <numeric>
#include <set>

namespace gradc::layers {
extern const LayerDef kRescaling;
}  // namespace gradc::layers

namespace gradc {

namespace {

bool starts_with(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

/// What an input is follows from the model, not from its name: a layer may be called "optimizer".
gradc_rt_tensor_kind kind_of_input(const GraphInput& input, const HeldNames& layers) {
  switch (input.kind) {
    case InputKind::kParam:
      return GRADC_RT_PARAMETER;
    case InputKind::kState:
      if (layers.carried.contains(input.name)) return GRADC_RT_CARRIED;
      if (layers.all.contains(input.name)) return GRADC_RT_STATE;
      return starts_with(input.name, kStepState) ? GRADC_RT_STEP : GRADC_RT_OPTIMIZER_STATE;
    case InputKind::kInput:
      if (starts_with(input.name, "input/")) return GRADC_RT_INPUT;
      if (starts_with(input.name, "target/")) return GRADC_RT_TARGET;
      if (input.name == "tail/weight") return GRADC_RT_TAIL_WEIGHT;
      if (starts_with(input.name, kStepPrefix)) return GRADC_RT_STEP;
      GRADC_CHECK(input.name == "seed", "a graph input of unknown meaning: {}", input.name);
      return GRADC_RT_SEED;
    case InputKind::kArg:
      break;
  }
  GRADC_UNREACHABLE();
}

gradc_rt_tensor_kind kind_of_output(std::string_view name) {
  if (starts_with(name, kStepPrefix)) return GRADC_RT_STEP;
  if (name == "loss") return GRADC_RT_LOSS;
  if (starts_with(name, "metric/")) return GRADC_RT_METRIC;
  if (starts_with(name, "part/")) return GRADC_RT_METRIC_PART;
  if (starts_with(name, "gradient/")) return GRADC_RT_GRADIENT;
  if (starts_with(name, kCountOutput) || starts_with(name, kWeightSumOutput)) return GRADC_RT_COUNT;
  GRADC_CHECK(starts_with(name, "output/"), "a graph output of unknown meaning: {}", name);
  return GRADC_RT_OUTPUT;
}

const OutputLoss* loss_of(const Model& model, const std::string& output) {
  if (!model.training) return nullptr;
  for (const OutputLoss& loss : model.training->losses) {
    if (model.outputs[loss.output].name == output) return &loss;
  }
  return nullptr;
}

/// Which values weights meet as they are, or only moved about: back from the last call.
std::vector<bool> meeting_weights(const Model& model) {
  std::vector<bool> meets(model.num_values());
  for (size_t c = model.calls.size(); c-- > 0;) {
    const Call& call = model.calls[c];
    const Layer& layer = model.layers[call.layer];
    if (layer.def->normalizes) continue;
    const bool moves = layer.def->integers && layer.def != &raw_op_layer();
    if (layer.parameters.empty() && !layer.tie && !(moves && meets[call.first])) continue;
    for (const ModelValue input : call.inputs)
      meets[input] = true;
  }
  return meets;
}

/// Whether the elements of the last axis are things of their own.
bool has_features(const Model& model, const gradc_rt_tensor& tensor, const SeriesRule& series) {
  if (series.stride > 0) return tensor.rank == 3;
  const bool steps =
      std::ranges::any_of(model.data, [](const DataRule& rule) { return rule.series.stride > 0; });
  if (steps && tensor.kind == GRADC_RT_TARGET) return tensor.rank == 3;
  return tensor.rank == 2 || tensor.rank >= 4;
}

/// Whether the output is the result of a rescaling, which brings what weights make to the scale of
/// the targets.
bool is_rescaled(const Model& model, const OutputLoss& loss) {
  const Call* call = model.call_of(model.outputs[loss.output].value);
  return call != nullptr && model.layers[call->layer].def == &layers::kRescaling;
}

/// What the loss of a target is defined for, and how many classes the target tells apart.
void set_target_domain(const Model& model, const OutputLoss& loss, gradc_rt_data& rule) {
  const TargetDomain& domain = loss_domain(loss.loss);
  const Ints& shape = model.spec(model.outputs[loss.output].value).shape;
  rule.target_min = domain.min;
  rule.target_max = domain.max;
  rule.flags = (domain.above_min ? GRADC_RT_TARGET_ABOVE_MIN : 0) |
               (domain.whole ? GRADC_RT_TARGET_WHOLE : 0) |
               (domain.rows_sum_to_one ? GRADC_RT_TARGET_ROWS_SUM_TO_ONE : 0) |
               (loss_of_logits(loss.loss) ? GRADC_RT_TARGET_OF_LOGITS : 0) |
               (is_rescaled(model, loss) ? GRADC_RT_INPUT_ANY_SCALE : 0);
  if (const auto ignored = ignored_class(loss.loss)) {
    rule.value_count = shape.back();
    rule.has_ignored = 1;
    rule.ignored = *ignored;
  }
  switch (domain.classes) {
    case TargetDomain::Classes::kNone:
      break;
    case TargetDomain::Classes::kTwo:
      rule.classes = 2;
      break;
    case TargetDomain::Classes::kLastAxis:
      rule.classes = shape.back();
      if (loss_target(loss.loss) == TargetKind::kSameShape && rule.one_hot_depth == 0)
        rule.one_hot_depth = shape.back();
      break;
  }
}

HeldNames held_names(const Model& model) {
  HeldNames names;
  for (const Layer& layer : model.layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      const std::string name = layer.name + "/" + spec.name;
      names.all.insert(name);
      if (spec.carried) names.carried.insert(name);
    }
  }
  return names;
}

}  // namespace

ModelTables::ModelTables(const Model& model, int64_t batch,
                         std::span<const std::shared_ptr<Graph>> graphs,
                         std::span<const ModelFact> facts, const NumberTables* for_hosts) {
  const HeldNames layers = held_names(model);
  for (const auto& graph : graphs)
    add_inputs(*graph, layers);
  for (const auto& graph : graphs)
    add_outputs(*graph);
  if (model.training || for_hosts != nullptr) add_gradients(*graphs.front());
  if (for_hosts != nullptr) add_for_hosts(*for_hosts);
  tensors_.shrink_to_fit();  // they stay as long as the model does
  sort_by_name();
  std::vector<IndexRanges> ranges;
  for (const auto& graph : graphs)
    ranges.push_back(index_ranges(*graph));
  for (gradc_rt_tensor& tensor : tensors_) {
    if (tensor.kind == GRADC_RT_INPUT || tensor.kind == GRADC_RT_TARGET)
      add_data_rule(tensor, model, ranges);
  }
  if (model.training) link_scores(model);
  for (int i = 0; i < kNumEntryPoints; ++i)
    entries_.emplace_back().name = entry_name(static_cast<EntryPoint>(i)).data();
  model_.abi_version = GRADC_RT_ABI_VERSION;
  model_.name = keep(model.name);
  model_.batch_size = batch;
  model_.num_tensors = static_cast<int64_t>(tensors_.size());
  model_.tensors = tensors_.data();
  model_.num_slots = model_.num_tensors;
  model_.entries = entries_.data();
  set_training(model);
  for (const ModelFact& fact : facts)
    facts_.push_back({keep(fact.name), keep(fact.value)});
  model_.num_facts = static_cast<int64_t>(facts_.size());
  model_.facts = facts_.data();
  model_.num_hyperparameters = static_cast<int64_t>(hyperparameters_.size());
  model_.hyperparameters = hyperparameters_.data();
  model_.num_numbers = static_cast<int64_t>(read_numbers_.size());
  model_.numbers = read_numbers_.data();
}

const char* TextPool::keep(std::string_view text) {
  constexpr size_t kBlock = 4096;
  const size_t bytes = text.size() + 1;
  if (bytes > left_) {
    size_ = left_ = std::max(bytes, kBlock);
    blocks_.push_back(std::make_unique<char[]>(size_));
  }
  char* const kept = blocks_.back().get() + (size_ - left_);
  std::copy(text.begin(), text.end(), kept);
  kept[text.size()] = '\0';
  left_ -= bytes;
  return kept;
}

int64_t ModelTables::slot(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](uint32_t slot, std::string_view wanted) {
                                     return std::string_view(tensors_[slot].name) < wanted;
                                   });
  return at == by_name_.end() || std::string_view(tensors_[*at].name) != name
             ? -1
             : static_cast<int64_t>(*at);
}

bool ModelTables::has_step() const {
  const int64_t input = slot(kStepInput);
  return input >= 0 && tensors_[static_cast<size_t>(input)].kind == GRADC_RT_STEP;
}

void ModelTables::sort_by_name() {
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), 0U);
  std::sort(by_name_.begin(), by_name_.end(), [&](uint32_t a, uint32_t b) {
    return std::string_view(tensors_[a].name) < tensors_[b].name;
  });
  slots_ = {};
}

void ModelTables::add(std::string_view name, gradc_rt_tensor_kind kind, const TensorType& type,
                      const InitSpec* init) {
  if (const auto it = slots_.find(name); it != slots_.end()) {
    if (tensors_[static_cast<size_t>(it->second)].kind != kind) ambiguous_.emplace_back(name);
    return;
  }
  const auto slot = static_cast<int64_t>(tensors_.size());
  gradc_rt_tensor tensor{};
  tensor.name = keep(name);
  slots_.emplace(tensor.name, slot);
  tensor.kind = kind;
  tensor.dtype = static_cast<int64_t>(type.dtype);
  tensor.rank = type.rank();
  std::copy(type.shape.begin(), type.shape.end(), tensor.dims);
  tensor.bytes = type.bytes();
  tensor.slot = slot;
  if (init != nullptr && !init->kind.empty()) {
    tensor.initializer = &initializers_.emplace_back(initializer_of(*init));
  }
  tensors_.push_back(tensor);
}

void ModelTables::add_inputs(const Graph& graph, const HeldNames& layers) {
  for (const GraphInput& input : graph.inputs()) {
    add(input.name, kind_of_input(input, layers), graph.type(input.value), &input.init);
  }
}

void ModelTables::add_outputs(const Graph& graph) {
  for (const GraphOutput& output : graph.outputs()) {
    add(output.name, kind_of_output(output.name), graph.type(output.value), nullptr);
  }
}

/// What the loss and the metrics of outputs with a count are means of.
void ModelTables::link_scores(const Model& model) {
  std::map<std::string, int64_t> counts;  // by name, from 1
  for (const gradc_rt_tensor& tensor : tensors_) {
    if (tensor.kind != GRADC_RT_COUNT) continue;
    counts.emplace(tensor.name, static_cast<int64_t>(counts.size()) + 1);
  }
  const auto link = [&](const std::string& name, const std::string& counted_by, double share) {
    gradc_rt_tensor& score = tensors_[static_cast<size_t>(slot(name))];
    const auto count = counts.find(counted_by);
    if (count == counts.end()) return;
    score.counted_by = count->second;
    score.share = share;
  };
  const Training& training = *model.training;
  for (const OutputMetric& metric : training.metrics) {
    const std::string name = "metric/" + metric.name;
    tensors_[static_cast<size_t>(slot(name))].formula =
        static_cast<int64_t>(metric_formula(metric.metric, *metric.resolved));
    const bool weighted = is_weighted(metric.metric) && is_weighed(training, metric.output);
    link(name, (weighted ? kWeightSumOutput : kCountOutput) + model.outputs[metric.output].name,
         0.0);
  }
  for (const OutputLoss& loss : training.losses) {
    if (loss.for_target || sums_positions(loss.loss)) continue;
    const std::string& output = model.outputs[loss.output].name;
    if (num_losses(training) == 1)
      link("loss", kCountOutput + output, 0.0);
    else
      link("metric/" + output + "_loss", kCountOutput + output, loss.weight);
  }
}

/// What `differentiate` gives the gradients entry.
void ModelTables::add_gradients(const Graph& graph) {
  for (const GraphInput& input : graph.inputs()) {
    const TensorType& type = graph.type(input.value);
    if (input.kind != InputKind::kParam || !is_float(type.dtype)) continue;
    add("gradient/" + input.name, GRADC_RT_GRADIENT, type, nullptr);
  }
}

/// Inputs and outputs of the entries that hosts alone call.
void ModelTables::add_for_hosts(const NumberTables& numbers) {
  const std::vector<gradc_rt_tensor> known = tensors_;
  for (const gradc_rt_tensor& tensor : known) {
    const bool input = tensor.kind == GRADC_RT_INPUT;
    const auto dtype = static_cast<DType>(tensor.dtype);
    if ((!input && tensor.kind != GRADC_RT_OUTPUT) || !is_float(dtype)) continue;
    const std::string_view name = tensor.name;
    const std::string short_name(name.substr(name.find('/') + 1));
    const Shape shape(std::vector<int64_t>(tensor.dims, tensor.dims + tensor.rank));
    add((input ? kInputGradient : kOutputGradient) + short_name,
        input ? GRADC_RT_INPUT_GRADIENT : GRADC_RT_OUTPUT_GRADIENT, {dtype, shape}, nullptr);
  }
  const TensorType scalar = {DType::kF64, {}};
  for (const NumberTables::Setting& setting : numbers.settings) {
    hyperparameters_.push_back(setting.row);
    hyperparameters_.back().name = keep(setting.name);
  }
  for (const NumberTables::Input& input : numbers.inputs) {
    read_numbers_.push_back(input.row);
    read_numbers_.back().tensor = static_cast<int64_t>(tensors_.size());
    add(input.name, GRADC_RT_NUMBER, scalar, nullptr);
  }
  if (!hyperparameters_.empty()) add(kScheduledRate, GRADC_RT_NUMBER, scalar, nullptr);
}

void ModelTables::add_data_rule(gradc_rt_tensor& tensor, const Model& model,
                                std::span<const IndexRanges> entries) {
  const bool is_target = tensor.kind == GRADC_RT_TARGET;
  const std::string name =
      std::string(tensor.name).substr(std::string_view(is_target ? "target/" : "input/").size());
  gradc_rt_data rule{};
  rule.scale = 1.0;
  if (const DataRule* given = model.data_rule(name, is_target)) {
    rule.scale = given->scale;
    rule.offset = given->offset;
    rule.standardize = static_cast<int64_t>(given->standardize);
    if (given->standardize == DataRule::Standardize::kGiven) {
      rule.stat_count = static_cast<int64_t>(given->mean.size());
      rule.mean = numbers_.emplace_back(given->mean).data();
      rule.std = numbers_.emplace_back(given->stddev).data();
    } else {
      // From data: per feature of a vector or series, per channel of an image, else one for all.
      rule.stat_count =
          has_features(model, tensor, given->series) ? tensor.dims[tensor.rank - 1] : 1;
    }
    rule.one_hot_depth = given->one_hot;
    rule.flip_horizontal = given->flip_horizontal ? 1 : 0;
    rule.shift_height = given->shift_height;
    rule.shift_width = given->shift_width;
    rule.crop = given->crop ? 1 : 0;
    rule.noise_stddev = given->noise_stddev;
    set_examples(rule, *given);
    set_text(rule, *given);
    set_columns(rule, *given);
    set_files(rule, *given);
  }
  if (is_target) {
    if (const OutputLoss* loss = loss_of(model, name)) {
      set_target_domain(model, *loss, rule);
      set_class_weights(rule, *loss, name);
    } else if (std::string_view(tensor.name) == kSampleWeightInput) {
      rule.target_max = std::numeric_limits<double>::infinity();
      rule.flags = GRADC_RT_TARGET_IS_WEIGHT | GRADC_RT_INPUT_ANY_SCALE;
    }
  }
  const std::vector<bool> meets = is_target ? std::vector<bool>() : meeting_weights(model);
  for (size_t i = 0; i < model.inputs.size() && !is_target; ++i) {
    if (model.inputs[i].name == name && !meets[i]) rule.flags = GRADC_RT_INPUT_ANY_SCALE;
  }
  set_ranges(rule, tensor, entries);
  tensor.data = &data_rules_.emplace_back(rule);
}

/// Where they follow from data, the state that they are kept in.
void ModelTables::set_class_weights(gradc_rt_data& rule, const OutputLoss& loss,
                                    const std::string& output) {
  const int64_t state = slot(kClassWeightState + output);
  if (state < 0 || !loss.class_weights) return;
  rule.weighted_by = state + 1;
  if (loss.class_weights->balanced) return;
  std::vector<gradc_rt_class_weight>& weights = class_weights_.emplace_back();
  for (const auto& [name, weight] : loss.class_weights->given)
    weights.push_back({keep(name), weight});
  rule.num_class_weights = static_cast<int64_t>(weights.size());
  rule.class_weights = weights.data();
}

void ModelTables::set_columns(gradc_rt_data& rule, const DataRule& given) {
  if (given.columns.empty()) return;
  std::vector<gradc_rt_column>& columns = columns_.emplace_back();
  for (const ColumnRule& column : given.columns) {
    columns.push_back({.name = keep(column.name),
                       .categories = column.categories,
                       .missing = static_cast<int64_t>(column.missing),
                       .fill = column.fill,
                       .fill_text = column.categories > 0 ? keep(column.fill_text) : nullptr,
                       .flag = column.flag ? 1 : 0,
                       .date_parts = date_parts(column),
                       .date_cyclic = column.cyclic ? 1 : 0,
                       .date_format = column.format.empty() ? nullptr : keep(column.format)});
  }
  rule.num_columns = static_cast<int64_t>(columns.size());
  rule.columns = columns.data();
}

/// The ranges that any of the entries asks for; [0, n) for all elements is the value count.
void ModelTables::set_ranges(gradc_rt_data& rule, const gradc_rt_tensor& tensor,
                             std::span<const IndexRanges> entries) {
  std::vector<IndexRange> ranges(1);
  for (const IndexRanges& entry : entries) {
    const auto it = entry.find(tensor.name);
    if (it == entry.end()) continue;
    if (ranges.size() < it->second.size()) ranges.resize(it->second.size(), ranges[0]);
    for (size_t i = 0; i < ranges.size(); ++i) {
      const IndexRange& other = it->second[it->second.size() == 1 ? 0 : i];
      ranges[i] = {std::max(ranges[i].low, other.low), std::min(ranges[i].high, other.high)};
    }
  }
  if (ranges.size() == 1 && ranges[0].everything()) return;
  if (ranges.size() == 1 && ranges[0].low == 0 && !is_float(static_cast<DType>(tensor.dtype))) {
    rule.value_count = ranges[0].high + 1;
    return;
  }
  std::vector<int64_t>& table = integers_.emplace_back();
  for (const IndexRange& range : ranges) {
    table.push_back(range.low);
    table.push_back(range.high);
  }
  rule.num_ranges = static_cast<int64_t>(ranges.size());
  rule.ranges = table.data();
}

void ModelTables::set_training(const Model& model) {
  gradc_rt_training& out = model_.training;
  out.epochs = 1;
  out.shuffle = 1;
  if (!model.training) return;
  const Training& in = *model.training;
  out.epochs = in.epochs;
  out.shuffle = in.shuffle ? 1 : 0;
  out.validation_split = in.validation_split;
  out.seed = static_cast<uint64_t>(in.seed);
  if (in.early_stopping) {
    out.early_stopping = 1;
    out.monitor = keep(in.early_stopping->monitor);
    out.patience = in.early_stopping->patience;
    out.min_delta = in.early_stopping->min_delta;
    out.mode = in.early_stopping->larger_is_better ? 1 : -1;
    out.restore_best_weights = in.early_stopping->restore_best_weights ? 1 : 0;
  }
  if (const auto& plateau = in.reduce_on_plateau) {
    const double highest = highest_rate(*in.optimizer.options.component("learning_rate"));
    out.reduce_on_plateau = 1;
    out.plateau_monitor = keep(plateau->monitor);
    out.plateau_factor = plateau->factor;
    out.plateau_patience = plateau->patience;
    out.plateau_min_delta = plateau->min_delta;
    out.plateau_mode = plateau->larger_is_better ? 1 : -1;
    out.plateau_cooldown = plateau->cooldown;
    out.plateau_least = highest > 0 ? std::min(plateau->min_learning_rate / highest, 1.0) : 0;
  }
}

}  // namespace gradc
