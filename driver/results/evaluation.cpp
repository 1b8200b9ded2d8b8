#include "driver/results/evaluation.h"

#include "driver/results/class_results.h"
#include "driver/results/masks.h"
#include "driver/results/value_results.h"
#include "driver/runtime_status.h"
#include "frontend/families.h"
#include "runtime/output_units.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

namespace gradc::results {
namespace {

std::string text_of(const rt::Str& text) {
  return {text.c_str(), text.size()};
}

/// One output as it is compared with its target.
class OutputResults {
 public:
  OutputResults(const Model& model, size_t number, const rt::Instance& instance, int64_t rows)
      : name_(model.outputs[number].name),
        tensor_(static_cast<size_t>(instance.nth(GRADC_RT_OUTPUT, static_cast<int64_t>(number)))),
        output_(rt::units_of(instance, tensor_)) {
    const gradc_rt_tensor& tensor = instance.tensor(tensor_);
    for (int64_t d = 1; d + 1 < tensor.rank; ++d)
      positions_ *= static_cast<size_t>(tensor.dims[d]);
    const OutputLoss* loss = nullptr;
    for (const OutputLoss& one : model.training->losses) {
      if (one.output == number) loss = &one;
    }
    const TargetKind kind = loss == nullptr ? TargetKind::kLabel : loss_target(loss->loss);
    if (kind == TargetKind::kLabel || kind == TargetKind::kLabels) {
      none_ = loss == nullptr
                  ? "the output has no loss, hence no targets"
                  : std::string(loss->loss.def->type) + " compares whole examples: no tables";
      return;
    }
    target_ = static_cast<size_t>(rt::target_of_output(instance.model(), tensor_));
    begin(rows);
  }

  /// Rows [first, first + how many) of the feed, which are in the instance now.
  void add(const rt::Instance& instance, const std::map<std::string, Tensor>& masks,
           std::pair<int64_t, int64_t> rows, int64_t apart) {
    if (!none_.empty()) return;
    const auto mask = masks.find(name_);
    for (int64_t row = 0; row < rows.second; ++row) {
      for (size_t position = 0; position < positions_; ++position) {
        if (mask != masks.end() && !counts(mask->second, row, position)) {
          ++left_out_;
          continue;
        }
        const size_t at = static_cast<size_t>(row) * positions_ + position;
        add_one(instance, at, {(rows.first + row) * apart, static_cast<int64_t>(position)});
      }
    }
  }

  Json json(const rt::DataPart& part) const {
    Json out = {{"name", name_}};
    if (!none_.empty()) {
      out["kind"] = "none";
      out["notes"] = {none_};
      return out;
    }
    std::vector<std::string> names;
    const bool classes = classes_ && output_.kind != rt::UnitMeaning::kValues;
    const size_t count = output_.kind == rt::UnitMeaning::kTwoClasses ? 2 : output_.units;
    for (size_t i = 0; i < count; ++i)
      names.push_back(text_of(classes ? rt::class_name(output_, i) : rt::value_name(output_, i)));
    out.update(classes_ ? classes_->json(names) : values_->json(names));
    out["left_out"] = left_out_;
    if (not_numbers_ > 0)
      out["notes"].push_back(std::to_string(not_numbers_) +
                             " positions are left out: NaN or infinity among their predictions");
    if (values_ && is_rescaled())
      out["notes"].push_back(
          "values are those that the model gives: its \"data\" section rescales the targets");
    if (classes_) out["mistakes"] = mistakes(part);
    return out;
  }

 private:
  void begin(int64_t rows) {
    const int64_t expected = rows * static_cast<int64_t>(positions_);
    units_.resize(output_.units);
    switch (output_.kind) {
      case rt::UnitMeaning::kTwoClasses:
        classes_.emplace(ClassTask{ClassKind::kTwo, output_.logits(), 2, expected});
        return;
      case rt::UnitMeaning::kClasses:
        classes_.emplace(ClassTask{ClassKind::kMany, output_.logits(), output_.units, expected});
        return;
      case rt::UnitMeaning::kValues:
        break;
    }
    if (output_.labels()) {
      classes_.emplace(ClassTask{ClassKind::kLabels, output_.logits(), output_.units, expected});
    } else {
      values_.emplace(output_.units, expected);
    }
  }

  /// A mask's steps are the first of the positions' axes.
  bool counts(const Tensor& mask, int64_t row, size_t position) const {
    const auto steps = static_cast<size_t>(mask.size() / mask.type.shape[0]);
    const size_t step = position / (positions_ / steps);
    return mask[row * static_cast<int64_t>(steps) + static_cast<int64_t>(step)] != 0;
  }

  /// Numbers of which something can be said: what is before a softmax may hold -inf, a class that
  /// cannot be, but neither +inf nor that alone.
  bool are_predictions() const {
    if (std::ranges::any_of(units_, [](double unit) { return std::isnan(unit); })) return false;
    if (values_)
      return std::ranges::all_of(units_, [](double unit) { return std::isfinite(unit); });
    const bool softmax = output_.logits() && !output_.labels() && units_.size() > 1;
    return !softmax || std::isfinite(*std::ranges::max_element(units_));
  }

  bool is_rescaled() const {
    const gradc_rt_data* data = output_.target->data;
    return data != nullptr && (data->scale != 1 || data->offset != 0 || data->standardize != 0);
  }

  double truth(const rt::Instance& instance, size_t element) const {
    const auto dtype = static_cast<rt::Dtype>(output_.target->dtype);
    const void* data = instance.data(target_);
    return rt::is_float(dtype) ? rt::load_f64(data, dtype, element)
                               : static_cast<double>(rt::load_i64(data, dtype, element));
  }

  void add_one(const rt::Instance& instance, size_t at, DataPlace place) {
    const size_t units = output_.units;
    const gradc_rt_data* data = output_.target->data;
    const bool indices = output_.target->rank < output_.tensor->rank;
    if (indices && data != nullptr && data->has_ignored != 0 &&
        truth(instance, at) == static_cast<double>(data->ignored)) {
      ++left_out_;
      return;
    }
    const auto dtype = static_cast<rt::Dtype>(output_.tensor->dtype);
    for (size_t u = 0; u < units; ++u)
      units_[u] = rt::load_f64(instance.data(tensor_), dtype, at * units + u);
    if (!are_predictions()) {
      ++not_numbers_;
      return;
    }
    std::vector<double> wanted(indices ? 1 : units);
    for (size_t u = 0; u < wanted.size(); ++u)
      wanted[u] = truth(instance, at * wanted.size() + u);
    if (values_) return values_->add(units_, wanted);
    if (output_.labels()) {
      std::vector<bool> there;
      for (const double value : wanted)
        there.push_back(value > 0.5);
      return classes_->add(units_, there, place);
    }
    const auto largest = std::max_element(wanted.begin(), wanted.end()) - wanted.begin();
    const size_t number = output_.kind == rt::UnitMeaning::kTwoClasses ? (wanted[0] > 0.5 ? 1 : 0)
                          : indices ? static_cast<size_t>(wanted[0])
                                    : static_cast<size_t>(largest);
    classes_->add(units_, number, place);
  }

  Json mistakes(const rt::DataPart& part) const {
    const rt::Vec<rt::Str>* files = nullptr;
    for (const rt::Array& array : part.arrays) {
      if (files == nullptr && !array.files.empty()) files = &array.files;
    }
    Json list = Json::array();
    for (const Mistake& mistake : classes_->mistakes()) {
      Json one = {{"example", mistake.place.example}};
      if (positions_ > 1) one["position"] = mistake.place.position;
      const auto example = static_cast<size_t>(mistake.place.example);
      if (files != nullptr && example < files->size()) one["file"] = text_of((*files)[example]);
      if (output_.labels()) {
        one["label"] = mistake.truth;
        one["predicted"] = mistake.guess == 1;
      } else {
        one["true"] = mistake.truth;
        one["predicted"] = mistake.guess;
      }
      one["probability"] = mistake.probability;
      list.push_back(std::move(one));
    }
    return list;
  }

  std::string name_;
  std::string none_;  ///< why there are no results; empty: there are
  size_t tensor_;
  size_t target_ = 0;
  rt::OutputUnits output_;
  size_t positions_ = 1;  ///< of an example
  std::optional<ClassResults> classes_;
  std::optional<ValueResults> values_;
  std::vector<double> units_;  ///< of one position
  int64_t left_out_ = 0;
  int64_t not_numbers_ = 0;
};

/// All outputs, batch by batch.
struct Pass {
  std::vector<OutputResults> outputs;
  OutputMasks masks;
  int64_t apart;
  std::vector<Diagnostic> problems;

  static rt::Status take(void* self, const rt::Instance& instance, int64_t first, int64_t valid) {
    Pass& pass = *static_cast<Pass*>(self);
    const auto masks = pass.masks.read(instance);
    if (!masks.ok()) {
      pass.problems = masks.diagnostics();
      return rt::error("the masks of the outputs could not be worked out");
    }
    for (OutputResults& output : pass.outputs)
      output.add(instance, *masks, {first, valid}, pass.apart);
    return {};
  }
};

Json metrics_of(const rt::Instance& instance, const rt::Scores& scores) {
  Json metrics = Json::object();
  for (int64_t m = 0; m < scores.metric_count; ++m) {
    const auto index = static_cast<size_t>(instance.nth(GRADC_RT_METRIC, m));
    metrics[rt::short_name(instance.tensor(index))] = scores.metric[m];
  }
  return metrics;
}

}  // namespace

Result<Json> evaluation_results(const Model& model, rt::Instance& instance,
                                const rt::Evaluated& evaluated, const std::string& data) {
  GRADC_TRY(OutputMasks masks, OutputMasks::of(model, instance.model().batch_size));
  Pass pass{.outputs = {},
            .masks = std::move(masks),
            .apart = std::max<int64_t>(evaluated.part.apart, 1),
            .problems = {}};
  for (size_t n = 0; n < model.outputs.size(); ++n)
    pass.outputs.emplace_back(model, n, instance, evaluated.feed.rows());
  const rt::Status passed = rt::predict_batches(instance, evaluated.feed, {&Pass::take, &pass});
  if (!pass.problems.empty()) return Failure(std::move(pass.problems));
  GRADC_TRY_STATUS(from_runtime(passed));
  Json results = {{"model", model.name},
                  {"data", data},
                  {"part", evaluated.test ? "test" : "all"},
                  {"examples", evaluated.feed.rows()},
                  {"loss", evaluated.scores.loss},
                  {"metrics", metrics_of(instance, evaluated.scores)}};
  Json notes = Json::array();
  if (model.training->sample_weight)
    notes.push_back("the loss counts the weights of examples; below every example counts once");
  results["notes"] = std::move(notes);
  Json outputs = Json::array();
  for (const OutputResults& output : pass.outputs)
    outputs.push_back(output.json(evaluated.part));
  results["outputs"] = std::move(outputs);
  return results;
}

}  // namespace gradc::results
