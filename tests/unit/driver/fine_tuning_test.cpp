// Fine-tuning: the commands of docs/data.md, "My own from a trained one", and what is taken, listed
// and refused.
#include "runtime/dtype.h"
#include "runtime/safetensors.h"
#include "tests/unit/driver/page.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace gradc::test {
namespace {

/// A table of three numbers and a name of these, which follow from the numbers.
std::string table(const std::vector<std::string>& kinds, double shift) {
  std::string text = "a,b,c,kind\n";
  for (int row = 0; row < 120; ++row) {
    const double a = std::sin(row * 1.7 + shift), b = std::cos(row * 0.9), c = std::sin(row * 0.3);
    const auto kind = static_cast<size_t>((std::atan2(b + 0.3 * c, a) + 3.1416) / 6.2833 *
                                          static_cast<double>(kinds.size()));
    char line[96];
    std::snprintf(line, sizeof line, "%.5f,%.5f,%.5f,%s\n", a, b, c,
                  kinds[std::min(kind, kinds.size() - 1)].c_str());
    text += line;
  }
  return text;
}

std::string model(const std::string& below, int classes, const std::string& rate) {
  return R"({"inputs": [{"name": "x", "shape": [3]}], "layers": [
    {"type": "dense", "units": 16, "activation": "tanh", "name": "low")" +
         below + R"(},
    {"type": "dense", "units": 16, "activation": "tanh", "name": "high")" +
         below + R"(},
    {"type": "dense", "units": )" +
         std::to_string(classes) + R"(, "activation": "softmax", "name": "kind"}],
    "training": {"loss": "scce", "metrics": ["accuracy"], "epochs": 60, "batch_size": 16,
                 "seed": 4, "optimizer": {"type": "adam", "learning_rate": )" +
         rate + R"(}}, "data": {"x": {"standardize": true}}})";
}

std::vector<double> numbers(const std::string& path, const char* name) {
  rt::SafetensorsFile file;
  EXPECT_TRUE(rt::read_safetensors(path.c_str(), &file).ok());
  const rt::Array* array = file.find(name);
  std::vector<double> result(array == nullptr ? 0 : array->count());
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = rt::load_f64(array->data.data(), array->dtype, i);
  return result;
}

class FineTuning : public ::testing::Test {
 protected:
  FineTuning() {
    write_text_file(scratch_ / "flowers.csv", table({"rose", "tulip", "lily", "aster"}, 0));
    write_text_file(scratch_ / "iris.csv", table({"setosa", "versicolor", "virginica"}, 0.2));
    write_text_file(scratch_ / "base.json", model("", 4, "0.01"));
    write_text_file(scratch_ / "head.json", model(R"(, "trainable": false)", 3, "0.01"));
    write_text_file(scratch_ / "tuned.json",
                    model(R"(, "learning_rate_multiplier": 0.1)", 3, "0.01"));
  }
  /// A command of the page, in the folder of its files.
  Outcome run(const std::string& line) const {
    EXPECT_TRUE(line.starts_with("gradc ")) << line;
    return shell("cd " + (scratch_ / "") + " && " + tool() + line.substr(5));
  }
  Scratch scratch_;
};

TEST_F(FineTuning, ThePageSaysWhatIsDone) {
  const std::vector<std::string> lines = page_commands("My own from a trained one");
  ASSERT_EQ(lines.size(), 4U);
  std::vector<Outcome> outcomes;
  for (const std::string& line : lines) {
    outcomes.push_back(run(line));
    ASSERT_EQ(outcomes.back().code, 0) << line << "\n" << outcomes.back().output;
  }
  const std::string page = read_file(source("docs/data.md"));
  const size_t shown = page.find("    base.safetensors: 4 of");
  std::string wanted = page.substr(shown, page.find("\n\n", shown) - shown + 1);
  for (size_t at = 0; (at = wanted.find("    ", at)) != std::string::npos; ++at)
    if (at == 0 || wanted[at - 1] == '\n') wanted.erase(at, 4);
  EXPECT_NE(outcomes[1].output.find(wanted), std::string::npos) << wanted << "---\n"
                                                                << outcomes[1].output;
  // The layers below are those of the base, and so are the statistics of what they see.
  for (const char* name : {"low/kernel", "high/bias", "data/x/mean", "data/x/std"}) {
    EXPECT_EQ(numbers(scratch_ / "base.safetensors", name),
              numbers(scratch_ / "head.safetensors", name))
        << name;
    EXPECT_FALSE(numbers(scratch_ / "base.safetensors", name).empty()) << name;
  }
  EXPECT_NE(numbers(scratch_ / "head.safetensors", "low/kernel"),
            numbers(scratch_ / "tuned.safetensors", "low/kernel"));
  const std::string told = read_file(scratch_ / "tuned.safetensors");
  EXPECT_NE(told.find("virginica"), std::string::npos);
  EXPECT_EQ(told.find("tulip"), std::string::npos);
  const size_t at = outcomes[3].output.find("accuracy ");
  ASSERT_NE(at, std::string::npos) << outcomes[3].output;
  EXPECT_GT(std::atof(outcomes[3].output.c_str() + at + 9), 0.9) << outcomes[3].output;
}

TEST_F(FineTuning, NothingIsLeftOutSilently) {
  const std::string data = " --data iris.csv:target=kind --epochs 1 ";
  ASSERT_EQ(run("gradc train base.json --data flowers.csv:target=kind --epochs 1 --out "
                "base.safetensors")
                .code,
            0);
  const Outcome strict = run("gradc train head.json" + data + "--weights base.safetensors");
  EXPECT_EQ(strict.code, 1) << strict.output;
  const Outcome alone = run("gradc train head.json" + data + "--what-fits");
  EXPECT_EQ(alone.code, 2) << alone.output;
  EXPECT_NE(alone.output.find("--what-fits needs --weights FILE"), std::string::npos);
  std::string other = model("", 3, "0.01");
  for (const char* name : {"\"low\"", "\"high\""})
    other.replace(other.find(name), std::string(name).size(), "\"new_" + std::string(name + 1));
  write_text_file(scratch_ / "other.json", other);
  const Outcome nothing =
      run("gradc train other.json" + data + "--weights base.safetensors --what-fits");
  EXPECT_EQ(nothing.code, 1) << nothing.output;
  EXPECT_NE(nothing.output.find("nothing of it fits model"), std::string::npos) << nothing.output;
  other.replace(other.find("\"new_low"), 9, "\"low\"");
  write_text_file(scratch_ / "other.json", other);
  const Outcome some =
      run("gradc train other.json" + data + "--weights base.safetensors --what-fits");
  EXPECT_EQ(some.code, 0) << some.output;
  for (const char* line : {"2 of the model's 6 tensors are taken",
                           "\"new_high/bias\" f32[16] starts anew: it is not there",
                           "\"high/kernel\" f32[16, 16] is not in the model"})
    EXPECT_NE(some.output.find(line), std::string::npos) << line << "\n" << some.output;
  ASSERT_EQ(run("gradc compile head.json -o native").code, 0);
  const Outcome native = shell("cd " + (scratch_ / "") + " && ./native train" + data +
                               "--weights base.safetensors --what-fits --out n.safetensors");
  ASSERT_EQ(native.code, 0) << native.output;
  ASSERT_EQ(run("gradc train head.json" + data +
                "--weights base.safetensors --what-fits --out j.safetensors")
                .code,
            0);
  EXPECT_EQ(read_file(scratch_ / "n.safetensors"), read_file(scratch_ / "j.safetensors"));
}

}  // namespace
}  // namespace gradc::test
