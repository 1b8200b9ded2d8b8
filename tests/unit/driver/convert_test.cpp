// gradc convert: inputs stay as they are, and what belongs together appears together.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

namespace gradc::test {
namespace {

const std::string kDense = R"({"inputs": [{"name": "x", "shape": [4]}],
  "layers": [{"type": "dense", "units": 2, "name": "d"}],
  "training": {"loss": "mean_squared_error", "optimizer": "sgd"}})";

class Convert : public ::testing::Test {
 protected:
  Convert() {
    write_text_file(in("net.json"), kDense);
    EXPECT_EQ(gradc("convert " + source("tests/exchange/whole.h5") + " -o " + in("tf/")).code, 0);
  }
  std::string in(const std::string& name) const { return scratch_ / name; }

  const Scratch scratch_;
};

TEST_F(Convert, NoInputIsOverwritten) {
  const std::string native = in("one.json");
  ASSERT_EQ(gradc("convert " + in("tf/") + " -o " + native).code, 0);
  const std::string weights = read_file(in("one.safetensors"));
  for (const std::string& line :
       {native + " --weights " + in("one.safetensors") + " -o " + in("one.json"),
        in("tf/") + " --weights " + in("one.safetensors") + " -o " + in("one.json"),
        in("tf") + " -o " + in("tf/model.json"), in("tf/") + " -o " + in("tf/"),
        in("tf/model.json") + " -o " + in("tf"),
        native + " --weights " + in("tf/model.json") + " -o " + in("tf/")}) {
    const Outcome outcome = gradc("convert " + line);
    EXPECT_EQ(outcome.code, 1) << line << "\n" << outcome.output;
    EXPECT_NE(outcome.output.find("is the input itself"), std::string::npos) << outcome.output;
  }
  EXPECT_EQ(read_file(in("one.safetensors")), weights);
}

TEST_F(Convert, StandardOutputIsNoFolder) {
  const Outcome outcome = shell("cd " + in(".") + " && " + tool() + " convert net.json -o -");
  EXPECT_NE(outcome.output.find("none to standard output"), std::string::npos) << outcome.output;
  EXPECT_FALSE(std::filesystem::exists(in("-")));
}

TEST_F(Convert, FilesThatBelongTogetherAppearTogether) {
  std::filesystem::create_directories(in("new/model.json"));
  EXPECT_EQ(gradc("convert " + in("tf/") + " -o " + in("new/")).code, 1);
  EXPECT_FALSE(std::filesystem::exists(in("new/group1-shard1of1.bin")));
  std::filesystem::create_directories(in("two.safetensors"));
  EXPECT_EQ(gradc("convert " + in("tf/") + " -o " + in("two.json")).code, 1);
  EXPECT_FALSE(std::filesystem::exists(in("two.json")));
}

TEST_F(Convert, PathsInADescriptionStayTrue) {
  write_text_file(in("f.gir"),
                  "graph @f {\n  input %x : f32[BxN]\n  %y = add %x, %x\n  return y=%y\n}\n");
  write_text_file(in("gir.json"), R"({"inputs": [{"name": "x", "shape": [4]}],
    "layers": [{"type": "gir", "file": "f.gir", "name": "g"}]})");
  std::filesystem::create_directories(in("sub"));
  const Outcome outcome = gradc("convert " + in("gir.json") + " -o " + in("sub/gir.json"));
  EXPECT_EQ(outcome.code, 0) << outcome.output;
  EXPECT_NE(read_file(in("sub/gir.json")).find("../f.gir"), std::string::npos);
}

TEST_F(Convert, AMapIsOfPyTorchsNamesAlone) {
  const Outcome outcome = gradc("convert " + in("tf/") + " --weights " + in("tf/") +
                                " --map none.json -o " + in("o.h5"));
  EXPECT_NE(outcome.code, 0);
  EXPECT_NE(outcome.output.find("--map is of weights"), std::string::npos) << outcome.output;
}

TEST_F(Convert, StatisticsOfTheDataAreWrittenAfterTraining) {
  write_text_file(in("table.csv"), "a,b,c,d,y\n1,2,3,4,1\n2,3,4,9,0\n3,9,5,1,1\n5,1,2,7,0\n");
  write_text_file(in("std.json"), R"({"inputs": [{"name": "x", "shape": [4]}],
    "layers": [{"type": "dense", "units": 1, "name": "d"}],
    "training": {"loss": "mean_squared_error", "optimizer": "sgd", "batch_size": 2},
    "data": {"x": {"standardize": true}}})");
  for (const char* name : {"o.onnx", "o.keras"}) {
    const Outcome outcome = gradc("train " + in("std.json") + " --data " + in("table.csv") +
                                  ":target=y --out " + in(name));
    EXPECT_EQ(outcome.code, 0) << outcome.output;
    EXPECT_TRUE(std::filesystem::exists(in(name))) << name;
  }
}

TEST_F(Convert, ValuesAreSetForARun) {
  const std::string set = " --set layers.d.units=3 --set training.optimizer.learning_rate=0.5";
  Outcome outcome = gradc("convert " + in("net.json") + set + " -o " + in("set.json"));
  ASSERT_EQ(outcome.code, 0) << outcome.output;
  const std::string text = read_file(in("set.json"));
  EXPECT_NE(text.find("\"units\": 3"), std::string::npos) << text;
  EXPECT_NE(text.find("\"learning_rate\": 0.5"), std::string::npos) << text;
  outcome = gradc("check " + in("net.json") + " --set layers.d.unitz=3");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("did you mean \"units\""), std::string::npos) << outcome.output;
  outcome = gradc("plan " + in("net.json") + " --set layer.d.units=3");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("did you mean \"layers\""), std::string::npos) << outcome.output;
  EXPECT_EQ(gradc("plan " + in("net.json") + " --set units").code, 2);
  write_text_file(in("around.json"), R"({"model": "net.json"})");
  outcome = gradc("convert " + in("around.json") + set + " -o " + in("no.json"));
  EXPECT_EQ(outcome.code, 1);
  EXPECT_NE(outcome.output.find("stays as it is"), std::string::npos) << outcome.output;
}

}  // namespace
}  // namespace gradc::test
