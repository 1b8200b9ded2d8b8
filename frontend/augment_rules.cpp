// "augment" of a data rule: what training makes of an example each time it meets it.
#include "frontend/component_reader.h"
#include "frontend/families.h"
#include "frontend/layer_def.h"
#include "frontend/training_reader.h"

#include <algorithm>
#include <limits>

namespace gradc {
namespace {

constexpr OptionDef kShift = {.name = "shift", .type = OptionType::kSizes, .min = 0};
constexpr OptionDef kHole = {.name = "cutout", .type = OptionType::kSizes, .min = 1, .max = 65536};
constexpr OptionDef kFill = {.name = "fill", .type = OptionType::kFloat};
constexpr OptionDef kNotNegative = {.name = "number", .type = OptionType::kFloat, .min = 0};
constexpr OptionDef kAlpha = {
    .name = "alpha", .type = OptionType::kFloat, .min = 0, .max = 1000, .above_min = true};

class AugmentReader {
 public:
  AugmentReader(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec, DataRule& rule)
      : reader_(sink, at, "\"augment\""), sink_(sink), spec_(spec), rule_(rule) {}

  void run() {
    if (const auto flip = image_option("flip_horizontal"))
      rule_.flip_horizontal = read_bool(sink_, *flip).value_or(false);
    if (const auto flip = image_option("flip_vertical"))
      rule_.flip_vertical = read_bool(sink_, *flip).value_or(false);
    if (const auto crop = image_option("crop"))
      rule_.crop = read_bool(sink_, *crop).value_or(false);
    if (const auto shift = image_option("shift")) read_shift(*shift);
    if (const auto noise = reader_.get("noise"))
      rule_.noise_stddev = read_number(sink_, *noise, kNotNegative).value_or(0.0);
    if (const auto cutout = image_option("cutout")) read_cutout(*cutout);
    if (const auto mixup = reader_.get("mixup")) read_mix(*mixup, rule_.mix.mixup);
    if (const auto cutmix = image_option("cutmix")) read_mix(*cutmix, rule_.mix.cutmix);
    reader_.finish();
  }

 private:
  /// An option of images; nothing after a report.
  std::optional<JsonCursor> image_option(const char* name) {
    auto option = reader_.get(name);
    const size_t rank = spec_.shape.size();
    if (!option || (is_float(spec_.dtype) && (rank == 2 || rank == 3))) return option;
    sink_.error(DiagKind::kShapeMismatch, option->key_place(),
                "{} needs an image [height, width] or [height, width, channels], but \"{}\" is {}",
                place_name(option->pointer()), rule_.name, to_string(spec_));
    return std::nullopt;
  }

  void read_shift(const JsonCursor& at) {
    const auto pair = read_option(sink_, at, kShift);
    if (!pair) return;
    rule_.shift_height = std::get<Ints>(*pair)[0];
    rule_.shift_width = std::get<Ints>(*pair)[1];
    if (rule_.shift_height >= spec_.shape[0] || rule_.shift_width >= spec_.shape[1]) {
      sink_.error(DiagKind::kBadValue, at.place(),
                  "a shift by {} moves all of \"{}\" of shape {} away",
                  shape_text(std::get<Ints>(*pair)), rule_.name, shape_text(spec_.shape));
    }
  }

  /// Pixels, or [rows, columns], or an object with these as "size" and what is in the hole.
  void read_cutout(const JsonCursor& at) {
    if (!at.value().is_object()) return read_hole(at);
    ObjectReader reader(sink_, at, "\"cutout\"");
    if (const auto size = reader.require("size")) read_hole(*size);
    if (const auto fill = reader.get("fill")) {
      if (fill->value() != "mean") {
        rule_.cutout.fill = read_number(sink_, *fill, kFill).value_or(0.0);
      } else if (rule_.standardize != DataRule::Standardize::kNone) {
        rule_.cutout.fill = std::numeric_limits<double>::quiet_NaN();
      } else {
        sink_
            .error(DiagKind::kBadValue, fill->place(),
                   "\"fill\" is the mean, but \"{}\" is not standardized", rule_.name)
            .with_help("\"standardize\": true finds it, or a number stands for it");
      }
    }
    reader.finish();
  }

  void read_hole(const JsonCursor& at) {
    const auto pair = read_option(sink_, at, kHole);
    if (!pair) return;
    const Ints& size = std::get<Ints>(*pair);
    rule_.cutout.height = size[0];
    rule_.cutout.width = size[1];
    if (size[0] < spec_.shape[0] || size[1] < spec_.shape[1]) return;
    sink_.error(DiagKind::kBadValue, at.place(),
                "a hole of {} may take all of \"{}\" of shape {} away", shape_text(size),
                rule_.name, shape_text(spec_.shape));
  }

  void read_mix(const JsonCursor& at, double& alpha) {
    alpha = read_number(sink_, at, kAlpha).value_or(0.0);
    rule_.mix.place = at.place();
    if (!rule_.is_target) return;
    sink_
        .error(DiagKind::kBadValue, at.key_place(), "{} is of an input, but \"{}\" is a target",
               place_name(at.pointer()), rule_.name)
        .with_help("targets are mixed along with the inputs");
  }

  ObjectReader reader_;
  DiagnosticSink& sink_;
  const TensorSpec& spec_;
  DataRule& rule_;
};

/// What stands against mixing the examples of a model as an input's rule says.
class MixCheck {
 public:
  MixCheck(DiagnosticSink& sink, const Model& model, const DataRule& rule)
      : sink_(sink), model_(model), rule_(rule) {}

  void run() {
    for (const ModelInput& input : model_.inputs)
      check_input(input);
    for (const Call& call : model_.calls) {
      const bool knows = model_.layers[call.layer].def->masks == MaskRule::kKnows;
      if (!knows || !call.results.front().masked) continue;
      report("layer \"{}\" leaves out steps of one value, which a mixture no longer has",
             call.name);
    }
    for (const OutputLoss& loss : model_.training->losses)
      check_target(loss);
    if (model_.training->sample_weight) {
      report("examples have weights (\"sample_weight\"), and a mixture is of two")
          .with_help("leave one of the two out");
    }
  }

 private:
  template <class... Args>
  Diagnostic& report(fmt::format_string<Args...> format, Args&&... args) {
    return sink_.error(DiagKind::kBadValue, rule_.mix.place, "{} mixes examples, but {}", name(),
                       fmt::format(format, std::forward<Args>(args)...));
  }
  const char* name() const { return rule_.mix.cutmix > 0 ? "\"cutmix\"" : "\"mixup\""; }

  void check_input(const ModelInput& input) {
    const Ints& shape = input.spec.shape;
    if (!is_float(input.spec.dtype)) {
      report("input \"{}\" is {}: integers have no mixture", input.name, to_string(input.spec));
    } else if (input.name != rule_.name && rule_.mix.cutmix > 0 && !same_image(shape)) {
      report("input \"{}\" is {}: no image of the size of \"{}\"", input.name,
             to_string(input.spec), rule_.name)
          .with_help("\"mixup\" mixes inputs of any shape");
    }
  }

  bool same_image(const Ints& shape) const {
    const auto own = std::ranges::find(model_.inputs, rule_.name, &ModelInput::name);
    const Ints& image = own->spec.shape;
    return shape.size() >= 2 && image.size() >= 2 && shape[0] == image[0] && shape[1] == image[1];
  }

  void check_target(const OutputLoss& loss) {
    const std::string& output = model_.outputs[loss.output].name;
    if (loss_target(loss.loss) == TargetKind::kClassIndex) {
      report("the target of \"{}\" is class numbers ({}), which have no mixture", output,
             loss.loss.def->type)
          .with_help(
              "\"categorical_crossentropy\" takes the same data: it makes rows of class numbers, "
              "and rows can be mixed");
    } else if (loss_target(loss.loss) != TargetKind::kSameShape || loss_domain(loss.loss).whole) {
      report("the loss {} of \"{}\" needs targets that no mixture is", loss.loss.def->type, output);
    }
    if (!loss.class_weights) return;
    report("the classes of \"{}\" have weights (\"class_weight\"), and a mixture is of two", output)
        .with_help("leave one of the two out");
  }

  DiagnosticSink& sink_;
  const Model& model_;
  const DataRule& rule_;
};

}  // namespace

void read_augment(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                  DataRule& rule) {
  AugmentReader(at, sink, spec, rule).run();
}

void check_mixing(DiagnosticSink& sink, const Model& model) {
  const DataRule* first = nullptr;
  for (const DataRule& rule : model.data) {
    if (rule.is_target || (rule.mix.mixup == 0 && rule.mix.cutmix == 0)) continue;
    if (first == nullptr) {
      first = &rule;
      continue;
    }
    sink.error(DiagKind::kBadValue, rule.mix.place,
               "how examples are mixed is said at \"{}\" already, for all inputs and targets",
               first->name);
  }
  if (first != nullptr && model.training) MixCheck(sink, model, *first).run();
}

}  // namespace gradc
