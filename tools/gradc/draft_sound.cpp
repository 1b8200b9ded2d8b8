// gradc new sound: convolutions over a log-mel spectrogram of as many frames as most recordings
// have.
#include "support/utf8.h"
#include "tools/gradc/class_files.h"

#include "exchange/media/sound/sound.h"
#include <fmt/format.h>

#include <algorithm>

namespace gradc::tool {
namespace {

constexpr size_t kMostLookedAt = 500;
constexpr double kWhole = 0.9;  ///< so many of the recordings are taken whole
constexpr double kMostSeconds = 10;
constexpr int64_t kLeastFrames = 16;
constexpr int64_t kBands = 40;

struct Lengths {
  int64_t rate = 0;
  std::vector<int64_t> samples;  ///< rising
  bool channels = false;         ///< more than one
};

Result<Lengths> look_at(const ClassFiles& files) {
  Lengths found;
  for (const ClassFile* file : files.some(kMostLookedAt)) {
    exchange::SoundFacts facts;
    const std::string name = printable(file->path.string(), 200);
    const std::string problem = exchange::look_at_sound(file->path.c_str(), &facts);
    if (!problem.empty()) return make_error(DiagKind::kInvalidData, {}, "{}: {}", name, problem);
    if (found.rate == 0) found.rate = facts.rate;
    if (facts.rate != found.rate) {
      return make_error(DiagKind::kInvalidData, {},
                        "{}: has {} samples a second, {} has {}: all alike were expected", name,
                        facts.rate, printable(files.training.front().path.string(), 200),
                        found.rate)
          .with_help(fmt::format("sox FILE -r {} OTHER.wav makes them so",
                                 std::min(facts.rate, found.rate)));
    }
    found.samples.push_back(facts.samples);
    found.channels = found.channels || facts.channels > 1;
  }
  std::ranges::sort(found.samples);
  return found;
}

Json convolution(int64_t filters) {
  return {{"type", "block"}, {"block", "stage"}, {"with", {{"filters", filters}}}};
}

Json stage_block() {
  return {{"parameters", {{"filters", 64}}},
          {"layers", Json::array({{{"type", "conv1d"},
                                   {"filters", "$filters"},
                                   {"kernel_size", 5},
                                   {"padding", "same"},
                                   {"use_bias", false}},
                                  {{"type", "batch_norm"}},
                                  {{"type", "relu"}},
                                  {{"type", "max_pooling1d"}},
                                  {{"type", "dropout"}, {"rate", 0.3}}})}};
}

}  // namespace

Result<Draft> draft_sound(const std::string& folder) {
  GRADC_TRY(const ClassFiles files,
            find_class_files(folder, exchange::Media::kSound, "WAV, FLAC, Ogg, MP3 or AIFF"));
  GRADC_TRY(const Lengths found, look_at(files));
  const auto rate = static_cast<double>(found.rate);
  const auto place = static_cast<double>(found.samples.size() - 1) * kWhole;
  const double seconds =
      std::min(static_cast<double>(found.samples[static_cast<size_t>(place)]) / rate, kMostSeconds);
  const int64_t frame = (found.rate * 25 + 500) / 1000;
  const int64_t stride = std::max<int64_t>((found.rate * 10 + 500) / 1000, 1);
  const auto wanted = static_cast<int64_t>(seconds * rate);
  const int64_t frames =
      std::max(kLeastFrames, std::max<int64_t>(wanted - frame, 0) / stride / 8 * 8 + 8);

  Draft draft;
  Json& model = draft.model;
  model["name"] = "sound";
  model["inputs"] = Json::array({{{"name", "sound"}, {"shape", {frames, kBands}}}});
  model["blocks"]["stage"] = stage_block();
  model["layers"] = Json::array({convolution(64), convolution(96), convolution(128)});
  model["layers"].push_back({{"type", "global_average_pooling1d"}});
  model["layers"].push_back({{"type", "dense"}, {"units", files.counts.size()}, {"name", "class"}});
  add_class_training(folder, files, 60, draft);
  Json& rule = model["data"]["sound"];
  rule["sound"] = {{"rate", found.rate}, {"log_mel", {{"min_freq", 20.0}, {"min_power", 1e-6}}}};
  rule["standardize"] = true;
  rule["augment"] = {{"shift", {std::max<int64_t>(frames / 8, 1), 2}}, {"noise", 0.2}};

  const auto in_seconds = [&](int64_t samples) { return static_cast<double>(samples) / rate; };
  draft.notes.push_back(fmt::format(
      "{:.2f} to {:.2f} s of {} samples a second{}; {} frames of {} bands, the first {:.2f} s, are "
      "taken of each",
      in_seconds(found.samples.front()), in_seconds(found.samples.back()), found.rate,
      found.channels ? " (channels are averaged)" : "", frames, kBands,
      in_seconds((frames - 1) * stride + frame)));
  return draft;
}

}  // namespace gradc::tool
