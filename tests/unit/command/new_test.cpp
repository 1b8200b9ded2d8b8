// `gradc new`: the model fits the data that were looked at, and trains as the printed line says.
#include "tests/support/png_file.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <regex>

namespace gradc::test {
namespace {

using Json = nlohmann::ordered_json;

/// In a folder of its own.
class New : public ::testing::Test {
 protected:
  Outcome here(const std::string& arguments) const {
    return shell("cd " + (scratch_ / ".") + " && " + tool() + " " + arguments);
  }
  /// Runs `gradc new ARGUMENTS -o m.json` and the line that it prints, with more options.
  Outcome make_and_train(const std::string& arguments, const std::string& more) {
    made_ = here("new " + arguments + " -o m.json");
    EXPECT_EQ(made_.code, 0) << made_.output;
    std::smatch line;
    if (!std::regex_search(made_.output, line, std::regex("train it: gradc ([^\n]*)\n")))
      return made_;
    model_ = Json::parse(read_file(scratch_ / "m.json"));
    return here(line[1].str() + " " + more);
  }
  void expect_told(const std::string& part) const {
    EXPECT_NE(made_.output.find(part), std::string::npos) << part << "\n" << made_.output;
  }
  static double last(const std::string& output, const std::string& name) {
    double value = -100;
    const std::regex number("\\b" + name + " ([-0-9.e]+)");
    for (std::sregex_iterator it(output.begin(), output.end(), number), end; it != end; ++it)
      value = std::atof((*it)[1].str().c_str());
    return value;
  }

  Scratch scratch_;
  Outcome made_;
  Json model_;
};

/// A bright square in a corner that says the class, on noise; sizes differ if asked for.
void write_images(const std::string& folder, size_t count, size_t spread) {
  constexpr const char* kKinds[] = {"east", "west", "up"};
  for (size_t i = 0; i < count; ++i) {
    const size_t kind = i % 3, height = 40 + i % 5 * spread, width = 44 + i % 7 * spread;
    std::vector<uint8_t> pixels(height * width * 3);
    for (size_t p = 0; p < pixels.size(); ++p)
      pixels[p] = static_cast<uint8_t>((p * 7919 + i * 104729) % 97);
    for (size_t y = 0; y < height / 3; ++y) {
      for (size_t x = 0; x < width / 3; ++x) {
        const size_t column = kind == 0 ? width - 1 - x : x;
        const size_t row = kind == 2 ? y : height - 1 - y;
        pixels[(row * width + column) * 3 + kind] = 250;
      }
    }
    const std::string place = folder + "/" + kKinds[kind];
    std::filesystem::create_directories(place);
    write_text_file(
        place + "/" + std::to_string(1000 + i) + ".png",
        png_bytes(pixels.data(), static_cast<uint32_t>(height), static_cast<uint32_t>(width), 3));
  }
}

TEST_F(New, ImagesOfSeveralSizes) {
  write_images(scratch_ / "photos", 150, 3);
  const Outcome trained = make_and_train("images photos", "--epochs 6 --seed 1");
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_told("150 files of 3 classes: \"east\" (50), \"up\" (50), \"west\" (50)");
  expect_told("coloured images of 40 to 52 x 44 to 62 pixels become 40 x 40");
  EXPECT_EQ(model_["inputs"][0]["shape"], Json({40, 40, 3}));
  EXPECT_EQ(model_["layers"].size(), 6U);  // 40, 20, 10 and the head
  EXPECT_GT(last(trained.output, "val_accuracy"), 0.8) << trained.output;
}

TEST_F(New, ImagesInParts) {
  write_images(scratch_ / "set/train", 60, 0);
  write_images(scratch_ / "set/validation", 15, 0);
  std::filesystem::remove_all(scratch_ / "set/train/up");
  std::filesystem::remove_all(scratch_ / "set/validation/up");
  for (int i = 0; i < 18; ++i)  // few are left of one class
    std::filesystem::remove(scratch_ / ("set/train/west/" + std::to_string(1001 + 3 * i) + ".png"));
  const Outcome trained = make_and_train("images set", "--epochs 1");
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_told("22 files of 2 classes");
  expect_told("coloured images of 40 x 44 pixels\n");
  expect_told("classes weigh alike");
  EXPECT_EQ(model_["training"]["class_weight"], "balanced");
  EXPECT_FALSE(model_["training"].contains("validation_split"));
  EXPECT_FALSE(model_["data"]["image"].contains("resize"));
}

TEST_F(New, ImagesThatAreNone) {
  std::filesystem::create_directories(scratch_ / "empty");
  const Outcome empty = here("new images empty");
  EXPECT_EQ(empty.code, 1);
  EXPECT_NE(empty.output.find("at least two classes was expected"), std::string::npos)
      << empty.output;
  write_images(scratch_ / "bad", 6, 0);
  write_text_file(scratch_ / "bad/up/1002.png", "no image");
  EXPECT_NE(here("new images bad").output.find("1002.png: "), std::string::npos);
}

std::string rhyme(size_t times) {
  std::string text;
  for (size_t i = 0; i < times; ++i)
    text += "the cat sat on the mat and the dog ate the hat. ";
  return text;
}

TEST_F(New, TextOfCharacters) {
  write_text_file(scratch_ / "rhyme.txt", rhyme(100));
  const Outcome trained = make_and_train("text rhyme.txt:chars", "--epochs 8 --seed 2");
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_told("4800 chars, of which the model tells 13 apart, in windows of 32");
  EXPECT_GT(last(trained.output, "val_accuracy"), 0.8) << trained.output;
  const Outcome written = here(
      "generate m.json --weights weights.safetensors --prompt 'the cat sat on the mat and' "
      "--length 20 --temperature 0");
  EXPECT_EQ(written.code, 0);
  EXPECT_NE(written.output.find("the "), std::string::npos) << written.output;
}

TEST_F(New, TextOfWordsAndLongTexts) {
  write_text_file(scratch_ / "rhyme.txt", rhyme(200));
  const Outcome trained = make_and_train("text rhyme.txt:words", "--epochs 2");
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_told("2400 words, of which the model tells 11 apart");
  write_text_file(scratch_ / "long.txt", rhyme(5000));
  EXPECT_EQ(here("new text long.txt:bytes -o long.json").code, 0);
  EXPECT_EQ(Json::parse(read_file(scratch_ / "long.json"))["layers"][1]["repeat"], 4);
  EXPECT_EQ(here("inspect long.json --stage graph").code, 0);
  for (const auto& [spec, problem] : std::vector<std::pair<std::string, std::string>>{
           {"rhyme.txt", "\"rhyme.txt\" is no text: rhyme.txt:chars"},
           {"none.txt:chars", "none.txt"},
           {"m.json:words", "words, at least 1000 were expected"}}) {
    const Outcome refused = here("new text " + spec);
    EXPECT_EQ(refused.code, 1) << spec;
    EXPECT_NE(refused.output.find(problem), std::string::npos) << refused.output;
  }
}

TEST_F(New, TextsOfATable) {
  std::string table = "id,message,kind\n";
  for (int i = 0; i < 300; ++i) {
    const bool good = i % 2 == 0;
    table += std::to_string(i) + ",\"a " + (good ? "fine day, number " : "bad night, number ") +
             std::to_string(i * 7919 % 311) + " of them\"," + (good ? "praise" : "blame") + "\n";
  }
  write_text_file(scratch_ / "mails.csv", table);
  const Outcome trained = make_and_train("text mails.csv:target=kind", "--epochs 8 --seed 3");
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_told("column \"message\" is read as texts: the first 8 words of each");
  expect_told("column \"id\" is left out");
  expect_told("target \"kind\" is 2 classes: \"blame\" (150), \"praise\" (150)");
  EXPECT_GT(last(trained.output, "accuracy"), 0.9) << trained.output;
}

TEST_F(New, Series) {
  std::string table = "day,date,riders,weather\n";
  for (int i = 0; i < 700; ++i) {
    const double week = std::sin(i * 2 * 3.14159265 / 7);
    const bool rain = i * 7919 % 5 == 0;
    table += std::to_string(i) + ",d" + std::to_string(i) + "," +
             std::to_string(1000 + static_cast<int>(400 * week) - (rain ? 100 : 0)) + "," +
             (rain ? "rain" : "sun") + "\n";
  }
  write_text_file(scratch_ / "riders.csv", table);
  const Outcome trained = make_and_train("series riders.csv:target=riders", "--seed 4");
  ASSERT_EQ(trained.code, 0) << trained.output;
  expect_told("column \"day\" is left out: it counts the rows");
  expect_told("column \"date\" is left out");
  expect_told("700 rows: windows of 35 say what column \"riders\" is in the next one");
  expect_told("--data riders.csv:target=riders:validation=0.1:test=0.1");
  EXPECT_EQ(model_["inputs"][0]["shape"], Json({35, 3}));
  // In deviations; today's value would be 0.9 off.
  const double mae = last(trained.output, "mae");
  EXPECT_GT(mae, 0) << trained.output;
  EXPECT_LT(mae, 0.4) << trained.output;
  write_text_file(scratch_ / "few.csv", "riders\n1\n2\n");
  EXPECT_NE(here("new series few.csv:target=riders").output.find("2 rows, at least 100"),
            std::string::npos);
}

}  // namespace
}  // namespace gradc::test
