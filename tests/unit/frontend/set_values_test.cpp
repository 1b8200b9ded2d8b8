// Values that are given beside a model's file: --set.
#include "frontend/set_values.h"

#include "frontend/native_reader.h"
#include "support/diagnostic_render.h"

#include <gtest/gtest.h>

#include <fstream>

namespace gradc {
namespace {

constexpr const char* kModel = R"({
  "inputs": [{"name": "x", "shape": [4]}],
  "layers": [{"type": "dense", "name": "hidden", "units": 8}, {"type": "dense", "units": 2}],
  "training": {"loss": "mean_squared_error", "optimizer": "adam", "batch_size": 16}})";

Given given(std::initializer_list<const char*> texts) {
  Given given;
  for (const char* text : texts) {
    std::optional<SetValue> set = parse_set_value(text);
    EXPECT_TRUE(set.has_value()) << text;
    if (set) given.values.push_back(std::move(*set));
  }
  return given;
}

Result<Model> read(std::initializer_list<const char*> texts) {
  SourceSet sources;
  return read_model_text("model.json", kModel, sources, {.given = given(texts)});
}

TEST(SetValues, ReplaceWhatTheFileSays) {
  const auto model = read({"training.batch_size=64", "training.optimizer.learning_rate=0.25",
                           "layers.hidden.units=3", "/layers/1/activation=relu", "name=other"});
  ASSERT_TRUE(model.ok()) << model.message();
  EXPECT_EQ(model->name, "other");
  EXPECT_EQ(model->training->batch_size, 64);
  const Component& optimizer = model->training->optimizer;
  EXPECT_EQ(optimizer.def->type, "adam");
  EXPECT_EQ(optimizer.options.component("learning_rate")->options.number("learning_rate"), 0.25);
  EXPECT_EQ(model->calls[0].output().shape, Ints{3});
  EXPECT_EQ(model->layers[1].component.options.component("activation")->def->type, "relu");
}

TEST(SetValues, WrongPathsAreToldWithTheNearest) {
  const auto problem = [](const char* text, const char* part, const char* help) {
    const auto model = read({text});
    ASSERT_FALSE(model.ok()) << text;
    const Diagnostic& first = model.diagnostics().front();
    EXPECT_NE(first.message.find(part), std::string::npos) << first.message;
    EXPECT_NE(first.help.find(help), std::string::npos) << first.help;
  };
  problem("trainin.batch_size=3", "the model has no \"trainin\"", "\"training\"");
  problem("training.optimiser.momentum=3", "\"training\" has no \"optimiser\"", "\"optimizer\"");
  problem("layers.hiden.units=3", "none is called \"hiden\"", "\"hidden\"");
  problem("layers.2.units=3", "is a list of 2", "");
  problem("training.batch_size.x=3", "is 16, which has no \"x\"", "");
  problem("training.batch_siz=3", "has no option \"batch_siz\"", "\"batch_size\"");
  problem("layers.hidden.units=many", "\"units\" is a string", "");
}

TEST(SetValues, ArePathAndValue) {
  for (const char* wrong : {"", "=", "=3", "a..b=3", "nothing"})
    EXPECT_FALSE(parse_set_value(wrong).has_value()) << wrong;
  EXPECT_EQ(parse_set_value("/a~1b/c.d=1")->steps, (std::vector<std::string>{"a/b", "c.d"}));
  EXPECT_EQ(**parse_set_value("a=[1, 2]")->value, (Json{1, 2}));
  EXPECT_EQ(**parse_set_value("a=b=c")->value, Json("b=c"));
}

TEST(SetValues, GoToTheFileThatHasThem) {
  const std::string path = testing::TempDir() + "set_values_base.json";
  std::ofstream(path) << kModel;
  SourceSet sources;
  const auto model = read_model_text(
      testing::TempDir() + "around.json",
      R"({"model": "set_values_base.json", "training": {"loss": "mean_squared_error", "optimizer": "sgd"}})",
      sources, {.given = given({"training.optimizer.momentum=0.5", "layers.hidden.units=3"})});
  ASSERT_TRUE(model.ok()) << model.message();
  EXPECT_EQ(model->training->optimizer.options.number("momentum"), 0.5);
  EXPECT_EQ(model->calls[0].output().shape, Ints{3});
}

}  // namespace
}  // namespace gradc
