// "resize" and "series" of a data rule: how image files and the rows of a table become examples.
#include "frontend/component_reader.h"
#include "frontend/layer_def.h"
#include "frontend/training_reader.h"

namespace gradc {
namespace {

constexpr OptionDef kSize = {.name = "size", .type = OptionType::kSizes, .min = 1, .max = 65536};
constexpr OptionDef kFit = {
    .name = "fit", .type = OptionType::kEnum, .choices = "stretch crop pad"};
constexpr OptionDef kFilter = {
    .name = "filter", .type = OptionType::kEnum, .choices = "bilinear nearest"};
constexpr OptionDef kRows = {.name = "rows", .type = OptionType::kInt, .min = 1, .max = 1e9};

std::string choice(DiagnosticSink& sink, ObjectReader& reader, const OptionDef& def) {
  const auto at = reader.get(def.name);
  const auto value = at ? read_option(sink, *at, def) : std::nullopt;
  return value ? std::get<std::string>(*value) : std::string();
}

}  // namespace

void read_resize(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                 DataRule& rule) {
  ObjectReader reader(sink, at, "\"resize\"");
  if (!reader.is_object()) return;
  const bool image =
      is_float(spec.dtype) && (spec.shape.size() == 2 || spec.shape.size() == 3) && !rule.is_target;
  if (!image) {
    sink.error(DiagKind::kShapeMismatch, at.key_place(),
               "resize needs an input [height, width] or [height, width, channels], but \"{}\" is "
               "{}",
               rule.name, to_string(spec));
    return;
  }
  ResizeRule& resize = rule.resize;
  resize.height = spec.shape[0];
  resize.width = spec.shape[1];
  if (const auto size = reader.get("size")) {
    if (const auto pair = read_option(sink, *size, kSize)) {
      resize.height = std::get<Ints>(*pair)[0];
      resize.width = std::get<Ints>(*pair)[1];
    }
    const bool same = resize.height == spec.shape[0] && resize.width == spec.shape[1];
    const bool larger = resize.height >= spec.shape[0] && resize.width >= spec.shape[1];
    if (!same && !(rule.crop && larger)) {
      sink.error(DiagKind::kShapeMismatch, size->place(), "images become {}x{}, but \"{}\" is {}",
                 resize.height, resize.width, rule.name, to_string(spec))
          .with_help(larger ? "\"crop\": true in \"augment\" takes a part of each" : "");
    }
  }
  const std::string fit = choice(sink, reader, kFit);
  resize.fit = fit == "crop"  ? ResizeRule::Fit::kCrop
               : fit == "pad" ? ResizeRule::Fit::kPad
                              : ResizeRule::Fit::kStretch;
  if (choice(sink, reader, kFilter) == "nearest") resize.filter = ResizeRule::Filter::kNearest;
  reader.finish();
}

void read_series(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                 DataRule& rule) {
  ObjectReader reader(sink, at, "\"series\"");
  if (!reader.is_object()) return;
  const bool windows = (spec.shape.size() == 1 || spec.shape.size() == 2) && !rule.is_target;
  if (!windows || rule.text.split != TextRule::Split::kNone) {
    sink.error(DiagKind::kShapeMismatch, at.key_place(),
               "series needs an input [steps, columns] or [steps], but {} \"{}\" is {}",
               rule.is_target ? "target"
               : windows      ? "text"
                              : "input",
               rule.name, to_string(spec));
    return;
  }
  rule.series.stride = 1;
  if (const auto stride = reader.get("stride"))
    rule.series.stride = read_integer(sink, *stride, kRows).value_or(1);
  if (const auto horizon = reader.get("horizon"))
    rule.series.horizon = read_integer(sink, *horizon, kRows).value_or(1);
  reader.finish();
}

}  // namespace gradc
