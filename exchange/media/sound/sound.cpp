// Recordings by libsndfile. It is opened when the first is read: it and the seven libraries that it
// needs would cost every start of the command.
#include "exchange/media/sound/sound.h"

#include "exchange/media/each_file.h"
#include "exchange/media/sound/log_mel.h"
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <dlfcn.h>
#include <memory>
#include <sndfile.h>

namespace gradc::exchange {
namespace {

constexpr size_t kBlock = 4096;                   // samples of a channel
constexpr size_t kMostSamples = size_t{1} << 27;  // of one file
constexpr int kMostChannels = 256;

struct Library {
  decltype(&sf_open) open = nullptr;
  decltype(&sf_close) close = nullptr;
  decltype(&sf_readf_float) read = nullptr;
  decltype(&sf_strerror) error = nullptr;

  bool whole() const {
    return open != nullptr && close != nullptr && read != nullptr && error != nullptr;
  }
};

template <class Function>
void find(void* library, const char* name, Function* out) {
  *out = reinterpret_cast<Function>(dlsym(library, name));
}

const Library& sndfile() {
  static const Library library = [] {
    Library found;
    void* handle = dlopen("libsndfile.so.1", RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return found;
    find(handle, "sf_open", &found.open);
    find(handle, "sf_close", &found.close);
    find(handle, "sf_readf_float", &found.read);
    find(handle, "sf_strerror", &found.error);
    return found;
  }();
  return library;
}

class SoundFile {
 public:
  explicit SoundFile(const char* path) {
    if (!sndfile().whole()) {
      problem_ = "recordings are read by libsndfile, which is not installed (Debian: libsndfile1)";
      return;
    }
    file_ = sndfile().open(path, SFM_READ, &info_);
    if (file_ == nullptr) {
      problem_ = fmt::format("cannot be read: {}", without_end(sndfile().error(nullptr)));
    } else if (info_.channels < 1 || info_.channels > kMostChannels || info_.samplerate < 1) {
      problem_ =
          fmt::format("has {} channels of {} samples a second", info_.channels, info_.samplerate);
    }
  }
  ~SoundFile() {
    if (file_ != nullptr) sndfile().close(file_);
  }
  SoundFile(const SoundFile&) = delete;
  SoundFile& operator=(const SoundFile&) = delete;

  const std::string& problem() const { return problem_; }
  const SF_INFO& info() const { return info_; }

  /// The mean of the channels, up to `most` samples; false: one is no finite number.
  bool read(size_t most, std::vector<float>* out) {
    const auto channels = static_cast<size_t>(info_.channels);
    std::vector<float> block(kBlock * channels);
    while (out->size() < most) {
      const size_t want = std::min(kBlock, most - out->size());
      const sf_count_t got = sndfile().read(file_, block.data(), static_cast<sf_count_t>(want));
      if (got <= 0) break;
      for (size_t i = 0; i < static_cast<size_t>(got); ++i) {
        double sum = 0.0;
        for (size_t c = 0; c < channels; ++c)
          sum += static_cast<double>(block[i * channels + c]);
        const auto mean = static_cast<float>(sum / static_cast<double>(channels));
        if (!std::isfinite(mean)) return false;
        out->push_back(mean);
      }
    }
    return true;
  }

 private:
  static std::string without_end(std::string text) {
    while (!text.empty() && (text.back() == '.' || text.back() == '\n'))
      text.pop_back();
    return text;
  }

  SNDFILE* file_ = nullptr;
  SF_INFO info_ = {};
  std::string problem_;
};

}  // namespace

std::string look_at_sound(const char* path, SoundFacts* out) {
  const SoundFile file(path);
  *out = {file.info().samplerate, file.info().channels, file.info().frames};
  return file.problem();
}

std::string read_sound(const char* path, int64_t rate, int64_t align, size_t wanted,
                       std::vector<float>* out) {
  SoundFile file(path);
  if (!file.problem().empty()) return file.problem();
  if (file.info().samplerate != rate) {
    return fmt::format(
        "has {0} samples a second, the model takes {1} (sox FILE -r {1} OTHER.wav makes them so)",
        file.info().samplerate, rate);
  }
  out->clear();
  // Of the beginning no more is read than is taken.
  const size_t most = align == GRADC_RT_SOUND_START ? wanted : kMostSamples;
  if (!file.read(most, out)) return "has a sample that is no finite number";
  if (out->empty()) return "has no samples";
  if (align != GRADC_RT_SOUND_START && out->size() >= kMostSamples)
    return fmt::format("is longer than {} samples", kMostSamples);
  const bool longer = out->size() > wanted;
  const size_t beside = longer ? out->size() - wanted : wanted - out->size();
  const size_t before = align == GRADC_RT_SOUND_START    ? 0
                        : align == GRADC_RT_SOUND_MIDDLE ? beside / 2
                                                         : beside;
  if (longer) {
    out->erase(out->begin(), out->begin() + static_cast<std::ptrdiff_t>(before));
  } else {
    out->insert(out->begin(), before, 0.0F);
  }
  out->resize(wanted);
  return {};
}

rt::Status read_sounds(const gradc_rt_tensor& input, rt::Span<const rt::Str> paths,
                       rt::Array* out) {
  const gradc_rt_data& rule = *input.data;
  const bool mel = rule.mel_fft > 0;
  out->dtype = rt::Dtype::kF32;
  out->dims.push(static_cast<int64_t>(paths.size()));
  size_t elements = 1;
  for (int64_t d = 1; d < input.rank; ++d) {
    out->dims.push(input.dims[d]);
    elements *= static_cast<size_t>(input.dims[d]);
  }
  std::unique_ptr<const LogMel> spectrogram;
  size_t wanted = elements;
  if (mel) {
    spectrogram = std::make_unique<LogMel>(rule, input.dims[1], input.dims[2]);
    const std::string problem = spectrogram->problem();
    if (!problem.empty()) return rt::error("%s: %s", input.name, problem.c_str());
    wanted = spectrogram->samples();
  }
  out->data.resize(paths.size() * elements * sizeof(float));
  auto* values = reinterpret_cast<float*>(out->data.data());
  return each_file(paths, [&](size_t i) {
    std::vector<float> samples;
    std::string problem =
        read_sound(paths[i].c_str(), rule.sound_rate, rule.sound_align, wanted, &samples);
    if (!problem.empty()) return problem;
    float* example = values + i * elements;
    if (mel) {
      spectrogram->compute(samples.data(), example);
    } else {
      std::copy(samples.begin(), samples.end(), example);
    }
    return problem;
  });
}

}  // namespace gradc::exchange
