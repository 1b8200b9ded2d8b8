// Keras's class_weight, and scikit-learn's "balanced".
#include "frontend/example_weights.h"

#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "frontend/own_losses.h"
#include "support/check.h"
#include "support/suggest.h"

#include <algorithm>
#include <charconv>

namespace gradc {
namespace {

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end && number >= 0 ? std::optional(number) : std::nullopt;
}

class WeightsReader {
 public:
  WeightsReader(DiagnosticSink& sink, const Model& model, Training& training)
      : sink_(sink), model_(model), training_(training) {}

  void read(const JsonCursor& at) {
    if (training_.losses.empty()) {
      if (!sink_.has_errors())
        sink_.error(DiagKind::kBadValue, at.place(), "there is no loss that classes weigh in");
      return;
    }
    if (!is_by_output(at.value())) {
      if (num_losses(training_) == 1) return read_output(at, training_.losses.front());
      const std::string& first = output_name(training_.losses.front());
      sink_
          .error(DiagKind::kBadValue, at.place(),
                 "the model has {} losses, so \"class_weight\" must say which output it is for",
                 num_losses(training_))
          .with_help(fmt::format("use \"class_weight\": {{\"{}\": ...}}", first));
      return;
    }
    for (const auto& [name, value] : at.value().items()) {
      const JsonCursor member = at.member(name, value);
      const auto loss = std::ranges::find_if(training_.losses, [&](const OutputLoss& l) {
        return !l.for_target && output_name(l) == name;
      });
      if (loss != training_.losses.end()) {
        read_output(member, *loss);
        continue;
      }
      std::vector<std::string> names;
      for (const OutputLoss& l : training_.losses)
        if (!l.for_target) names.push_back(output_name(l));
      sink_
          .error(DiagKind::kUnknownReference, member.key_place(),
                 "no output with a loss is named \"{}\"", name)
          .with_help(suggestion(name, names));
    }
  }

 private:
  const std::string& output_name(const OutputLoss& loss) const {
    return model_.outputs[loss.output].name;
  }

  /// An object of objects, or of words, has one member for each output.
  static bool is_by_output(const Json& value) {
    return value.is_object() && !value.empty() &&
           std::ranges::any_of(
               value, [](const Json& member) { return member.is_object() || member.is_string(); });
  }

  void read_output(const JsonCursor& at, OutputLoss& loss) {
    const int64_t classes = classes_of(model_, loss);
    if (classes == 0) {
      const Ints& shape = model_.spec(model_.outputs[loss.output].value).shape;
      sink_
          .error(DiagKind::kBadValue, at.place(),
                 "output \"{}\" of shape {} with {} has no class for each position, so classes "
                 "have no weight",
                 output_name(loss), shape_text(shape), loss.loss.def->type)
          .with_help(
              "class weights are for cross-entropies; \"sample_weight\": true takes a "
              "weight for each example from the data");
      return;
    }
    ClassWeights weights;
    if (at.value().is_string() && at.value().get<std::string>() == "balanced") {
      weights.balanced = true;
    } else if (at.value().is_object() && !at.value().empty()) {
      read_given(at, classes, weights);
    } else {
      report_wrong_type(sink_, at, "\"balanced\", or an object with one number per class");
      return;
    }
    loss.class_weights = std::move(weights);
  }

  void read_given(const JsonCursor& at, int64_t classes, ClassWeights& weights) {
    static constexpr OptionDef kWeight = {.name = "weight", .type = OptionType::kFloat, .min = 0};
    for (const auto& [name, value] : at.value().items()) {
      const JsonCursor member = at.member(name, value);
      const auto weight = read_number(sink_, member, kWeight);
      if (!weight) continue;
      const auto number = whole_number(name);
      if (number && *number >= classes) {
        sink_.error(DiagKind::kBadValue, member.key_place(),
                    "class {} has a weight, but classes are numbered 0 to {}", name, classes - 1);
      }
      weights.given.emplace_back(name, *weight);
    }
  }

  DiagnosticSink& sink_;
  const Model& model_;
  Training& training_;
};

}  // namespace

void check_sample_weight(DiagnosticSink& sink, const JsonCursor& training_at, const Model& model,
                         const Training& training) {
  if (!training.sample_weight) return;
  if (training.losses.empty() && !sink.has_errors()) {
    sink.error(DiagKind::kBadValue,
               training_at.member("sample_weight", training_at.value().at("sample_weight")).place(),
               "there is no loss that examples weigh in");
  }
  for (const OutputLoss& loss : training.losses) {
    if (!is_batch_loss(loss.loss)) continue;
    const JsonCursor at =
        training_at.member("sample_weight", training_at.value().at("sample_weight"));
    sink.error(DiagKind::kBadValue, at.place(),
               "the loss {} of output \"{}\" is one number for a batch: examples have no weight "
               "of their own in it",
               loss.loss.def->type, model.outputs[loss.output].name);
  }
}

std::optional<std::vector<double>> ClassWeights::by_number(int64_t classes) const {
  if (balanced) return std::nullopt;
  std::vector<double> weights(static_cast<size_t>(classes), 1.0);
  for (const auto& [name, weight] : given) {
    const auto number = whole_number(name);
    if (!number) return std::nullopt;
    weights[static_cast<size_t>(*number)] = weight;
  }
  return weights;
}

bool is_weighted(const Component& metric) {
  return metric.options.has("weighted") && metric.options.flag("weighted");
}

bool is_weighed(const Training& training, size_t output) {
  return training.sample_weight ||
         std::ranges::any_of(training.losses, [&](const OutputLoss& loss) {
           return loss.output == output && loss.class_weights;
         });
}

int64_t classes_of(const Model& model, const OutputLoss& loss) {
  if (is_whole_loss(loss.loss) || !loss.has_target) return 0;
  const Ints& shape = model.spec(model.outputs[loss.output].value).shape;
  if (loss.values) {  // the weight of a class is that of a position
    const Ints positions = loss_target_shape(loss.loss, shape);
    if (loss.values->size() < positions.size() ||
        !std::equal(positions.begin(), positions.end(), loss.values->begin()))
      return 0;
  }
  switch (loss_domain(loss.loss).classes) {
    case TargetDomain::Classes::kNone:
      return 0;
    case TargetDomain::Classes::kTwo:
      return shape.empty() || shape.back() == 1 ? 2 : 0;
    case TargetDomain::Classes::kLastAxis:
      return shape.empty() ? 0 : shape.back();
  }
  GRADC_UNREACHABLE();
}

void read_example_weights(ObjectReader& reader, const Model& model, Training& training) {
  const auto weights = reader.get("class_weight");
  if (weights) WeightsReader(reader.sink(), model, training).read(*weights);
}

}  // namespace gradc
