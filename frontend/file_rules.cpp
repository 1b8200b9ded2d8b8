// "resize", "series" and "sound" of a data rule: how image files, the rows of a table and
// recordings become examples.
#include "frontend/component_reader.h"
#include "frontend/layer_def.h"
#include "frontend/training_reader.h"

#include <algorithm>
#include <bit>

namespace gradc {
namespace {

constexpr OptionDef kSize = {.name = "size", .type = OptionType::kSizes, .min = 1, .max = 65536};
constexpr OptionDef kFit = {
    .name = "fit", .type = OptionType::kEnum, .choices = "stretch crop pad"};
constexpr OptionDef kFilter = {
    .name = "filter", .type = OptionType::kEnum, .choices = "bilinear nearest"};
constexpr OptionDef kRate = {.name = "rate", .type = OptionType::kInt, .min = 1, .max = 1e6};
constexpr OptionDef kAlign = {
    .name = "align", .type = OptionType::kEnum, .choices = "start middle end"};
constexpr OptionDef kFft = {
    .name = "fft_length", .type = OptionType::kInt, .min = 8, .max = 1 << 20};
constexpr OptionDef kFrame = {
    .name = "sequence_length", .type = OptionType::kInt, .min = 2, .max = 1 << 20};
constexpr OptionDef kHop = {
    .name = "sequence_stride", .type = OptionType::kInt, .min = 1, .max = 1 << 20};
constexpr OptionDef kLow = {.name = "min_freq", .type = OptionType::kFloat, .min = 0};
constexpr OptionDef kHigh = {
    .name = "max_freq", .type = OptionType::kFloat, .min = 0, .above_min = true};
constexpr OptionDef kPower = {
    .name = "min_power", .type = OptionType::kFloat, .min = 0, .above_min = true};
constexpr OptionDef kScale = {
    .name = "mel_scale", .type = OptionType::kEnum, .choices = "htk slaney"};
constexpr OptionDef kRows = {.name = "rows", .type = OptionType::kInt, .min = 1, .max = 1e9};

std::string choice(DiagnosticSink& sink, ObjectReader& reader, const OptionDef& def) {
  const auto at = reader.get(def.name);
  const auto value = at ? read_option(sink, *at, def) : std::nullopt;
  return value ? std::get<std::string>(*value) : std::string();
}

int64_t integer(DiagnosticSink& sink, ObjectReader& reader, const OptionDef& def,
                int64_t otherwise) {
  const auto at = reader.get(def.name);
  return at ? read_integer(sink, *at, def).value_or(otherwise) : otherwise;
}

double number(DiagnosticSink& sink, ObjectReader& reader, const OptionDef& def, double otherwise) {
  const auto at = reader.get(def.name);
  return at ? read_number(sink, *at, def).value_or(otherwise) : otherwise;
}

/// Frames of 25 ms, 10 ms apart, unless the options say otherwise.
void read_log_mel(const JsonCursor& at, DiagnosticSink& sink, SoundRule& sound) {
  ObjectReader reader(sink, at, "\"log_mel\"");
  if (!reader.is_object()) return;
  sound.sequence_length =
      integer(sink, reader, kFrame, std::max<int64_t>((sound.rate * 25 + 500) / 1000, 2));
  sound.sequence_stride =
      integer(sink, reader, kHop, std::max<int64_t>((sound.rate * 10 + 500) / 1000, 1));
  const auto least = static_cast<int64_t>(
      std::bit_ceil(static_cast<uint64_t>(std::max<int64_t>(sound.sequence_length, 8))));
  sound.fft_length = integer(sink, reader, kFft, least);
  const double highest = static_cast<double>(sound.rate) / 2;
  sound.min_freq = number(sink, reader, kLow, 0.0);
  sound.max_freq = number(sink, reader, kHigh, highest);
  sound.min_power = number(sink, reader, kPower, 1e-10);
  if (choice(sink, reader, kScale) == "slaney") sound.mel_scale = SoundRule::Scale::kSlaney;
  reader.finish();
  if (!std::has_single_bit(static_cast<uint64_t>(sound.fft_length)) ||
      sound.fft_length < sound.sequence_length) {
    sink.error(DiagKind::kBadValue, at.place(),
               "\"fft_length\" is {}, a power of two that holds the {} samples of a frame was "
               "expected",
               sound.fft_length, sound.sequence_length)
        .with_help(fmt::format("{} is the least", least));
  }
  if (sound.max_freq > highest || sound.min_freq >= sound.max_freq) {
    sink.error(DiagKind::kBadValue, at.place(),
               "bands from {} to {} Hz, rising and at most half the rate ({} Hz) were expected",
               sound.min_freq, sound.max_freq, highest);
  }
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

void read_sound(const JsonCursor& at, DiagnosticSink& sink, const TensorSpec& spec,
                DataRule& rule) {
  ObjectReader reader(sink, at, "\"sound\"");
  if (!reader.is_object()) return;
  SoundRule& sound = rule.sound;
  const auto rate = reader.require("rate");
  if (rate) sound.rate = read_integer(sink, *rate, kRate).value_or(0);
  const std::string align = choice(sink, reader, kAlign);
  sound.align = align == "middle" ? SoundRule::Align::kMiddle
                : align == "end"  ? SoundRule::Align::kEnd
                                  : SoundRule::Align::kStart;
  const auto log_mel = reader.get("log_mel");
  if (log_mel && sound.rate > 0) read_log_mel(*log_mel, sink, sound);
  reader.finish();
  size_t rank = spec.shape.size();
  if (rank > 1 && spec.shape.back() == 1) --rank;  // a channel
  if (is_float(spec.dtype) && !rule.is_target && rank == (log_mel ? 2U : 1U)) return;
  sink.error(DiagKind::kShapeMismatch, at.key_place(), "{} needs an input {}, but {} \"{}\" is {}",
             log_mel ? "a spectrogram" : "sound without \"log_mel\"",
             log_mel ? "[frames, bands] or [frames, bands, 1]" : "[samples] or [samples, 1]",
             rule.is_target ? "target" : "input", rule.name, to_string(spec));
}

}  // namespace gradc
