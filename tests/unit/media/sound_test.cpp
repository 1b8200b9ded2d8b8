// Recordings: what of a file is taken, and spectrograms beside numpy's.
#include "exchange/media/sound/sound.h"

#include "tests/support/wav_file.h"
#include "tests/unit/media/log_mel_values.h"

#include "exchange/media/sound/log_mel.h"
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numbers>
#include <random>
#include <sndfile.h>

namespace gradc::exchange {
namespace {

class Sound : public ::testing::Test {
 protected:
  Sound() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradc-test-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~Sound() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  /// By libsndfile.
  std::string encode(const std::string& name, int format, const std::vector<float>& samples) const {
    const std::string path = (folder_ / name).string();
    SF_INFO info = {};
    info.samplerate = 8000;
    info.channels = 1;
    info.format = format;
    SNDFILE* file = sf_open(path.c_str(), SFM_WRITE, &info);
    EXPECT_NE(file, nullptr) << sf_strerror(nullptr);
    if (file == nullptr) return path;
    const auto count = static_cast<sf_count_t>(samples.size());
    EXPECT_EQ(sf_write_float(file, samples.data(), count), count);
    sf_close(file);
    return path;
  }

  std::filesystem::path folder_;
};

TEST_F(Sound, OfAFileThePartThatTheRuleSays) {
  const std::string path = write("a.wav", test::wav_bytes({3277, 6554, 9830, 13107, 16384}, 8000));
  SoundFacts facts;
  ASSERT_EQ(look_at_sound(path.c_str(), &facts), "");
  EXPECT_EQ(facts.rate, 8000);
  EXPECT_EQ(facts.channels, 1);
  EXPECT_EQ(facts.samples, 5);
  const float a = 3277.0F / 32768, b = 6554.0F / 32768, c = 9830.0F / 32768, d = 13107.0F / 32768,
              e = 0.5F;
  std::vector<float> x;
  const auto taken = [&](int64_t align, size_t wanted) {
    EXPECT_EQ(read_sound(path.c_str(), 8000, align, wanted, &x), "");
    return x;
  };
  using Floats = std::vector<float>;
  EXPECT_EQ(taken(GRADC_RT_SOUND_START, 3), (Floats{a, b, c}));
  EXPECT_EQ(taken(GRADC_RT_SOUND_MIDDLE, 3), (Floats{b, c, d}));
  EXPECT_EQ(taken(GRADC_RT_SOUND_END, 3), (Floats{c, d, e}));
  EXPECT_EQ(taken(GRADC_RT_SOUND_START, 8), (Floats{a, b, c, d, e, 0, 0, 0}));
  EXPECT_EQ(taken(GRADC_RT_SOUND_MIDDLE, 8), (Floats{0, a, b, c, d, e, 0, 0}));
  EXPECT_EQ(taken(GRADC_RT_SOUND_END, 8), (Floats{0, 0, 0, a, b, c, d, e}));
  const std::string stereo =
      write("b.wav", test::wav_bytes({16384, -16384, 16384, 0, -32768, -32768}, 8000, 2));
  ASSERT_EQ(read_sound(stereo.c_str(), 8000, GRADC_RT_SOUND_START, 3, &x), "");
  EXPECT_EQ(x, (Floats{0, 0.25F, -1}));
}

TEST_F(Sound, FormatsOfTheLibrary) {
  std::vector<float> wave;
  for (int i = 0; i < 8000; ++i)
    wave.push_back(0.5F * std::sin(static_cast<float>(i) * 0.3F));
  const auto error = [&](const std::string& path) {
    std::vector<float> x;
    EXPECT_EQ(read_sound(path.c_str(), 8000, GRADC_RT_SOUND_START, wave.size(), &x), "");
    double sum = 0;
    for (size_t i = 0; i < x.size(); ++i)
      sum += std::pow(static_cast<double>(x[i]) - static_cast<double>(wave[i]), 2);
    return std::sqrt(sum / static_cast<double>(wave.size()));
  };
  EXPECT_LT(error(encode("a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, wave)), 3e-5);
  EXPECT_LT(error(encode("a.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_24, wave)), 2e-7);
  EXPECT_EQ(error(encode("f.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, wave)), 0.0);
  EXPECT_LT(error(encode("a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, wave)), 0.1);
}

TEST_F(Sound, WhatIsWrongIsTold) {
  const std::string good = test::wav_bytes(std::vector<int16_t>(100, 7), 44100);
  const auto problem = [](const std::string& path) {
    std::vector<float> x;
    return read_sound(path.c_str(), 8000, GRADC_RT_SOUND_MIDDLE, 50, &x);
  };
  EXPECT_EQ(problem(write("rate.wav", good)),
            "has 44100 samples a second, the model takes 8000 (sox FILE -r 8000 OTHER.wav makes "
            "them so)");
  EXPECT_EQ(problem(write("empty.wav", test::wav_bytes({}, 8000))), "has no samples");
  EXPECT_NE(problem(write("none.wav", "no sound")).find("cannot be read: "), std::string::npos);
  EXPECT_NE(problem((folder_ / "missing.wav").string()).find("cannot be read: "),
            std::string::npos);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(problem(encode("nan.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, {0, nan, 1})),
            "has a sample that is no finite number");
  // Any bytes: an error or samples, no crash.
  std::mt19937 random(5);
  const std::string whole = test::wav_bytes(std::vector<int16_t>(300, 99), 8000, 3);
  for (int i = 0; i < 500; ++i) {
    std::string damaged = whole;
    for (int k = 0; k < 3; ++k)
      damaged[random() % 60] ^= static_cast<char>(1 + random() % 255);
    problem(write("damaged.wav", damaged.substr(0, random() % damaged.size())));
  }
}

std::vector<float> two_tones(int64_t rate, size_t count) {
  std::vector<float> x(count);
  for (size_t i = 0; i < count * 4 / 5; ++i) {
    const double t = static_cast<double>(i) / static_cast<double>(rate);
    constexpr double kTurn = 2 * std::numbers::pi;
    x[i] = static_cast<float>(0.5 * std::sin(kTurn * 440 * t) +
                              0.25 * std::sin(kTurn * (300 + 20000 * t) * t));
  }
  return x;
}

TEST(LogMelSpectrogram, IsTheFormulasInDoublePrecision) {
  for (const LogMelCase& one : kLogMelCases) {
    gradc_rt_data rule = {};
    rule.sound_rate = one.rate;
    rule.mel_fft = one.fft;
    rule.mel_frame = one.frame;
    rule.mel_stride = one.stride;
    rule.mel_low = one.low;
    rule.mel_high = one.high;
    rule.mel_least = one.least;
    rule.mel_scale = one.scale;
    const LogMel spectrogram(rule, one.frames, one.bands);
    ASSERT_EQ(spectrogram.problem(), "");
    ASSERT_EQ(one.values.size(), static_cast<size_t>(one.frames * one.bands));
    const std::vector<float> x = two_tones(one.rate, spectrogram.samples());
    std::vector<float> out(one.values.size());
    spectrogram.compute(x.data(), out.data());
    double spread = 0;
    for (size_t i = 0; i < out.size(); ++i) {
      EXPECT_NEAR(static_cast<double>(out[i]), one.values[i],
                  1e-5 * std::max(1.0, std::abs(one.values[i])))
          << i;
      spread = std::max(spread, std::abs(one.values[i] - one.values[0]));
    }
    EXPECT_GT(spread, 3.0);
  }
  gradc_rt_data rule = {};
  rule.sound_rate = 16000;
  rule.mel_fft = rule.mel_frame = 256;
  rule.mel_stride = 100;
  rule.mel_high = 8000;
  EXPECT_EQ(LogMel(rule, 4, 100).problem().substr(0, 14), "band 1 of 100 ");
}

}  // namespace
}  // namespace gradc::exchange
