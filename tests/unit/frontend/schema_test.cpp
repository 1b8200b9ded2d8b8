// The reader against the schema: on samples made from every table entry, good and with one thing
// wrong, both give the same verdict.
#include "frontend/layer_def.h"
#include "frontend/reference.h"
#include "tests/unit/frontend/model_text.h"
#include "tests/unit/frontend/schema_validator.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace gradc {
namespace {

/// Kinds that a schema can know of; the others (shapes, references, ...) need understanding.
bool is_schema_kind(DiagKind kind) {
  switch (kind) {
    case DiagKind::kBadValue:
    case DiagKind::kMissingOption:
    case DiagKind::kUnknownLayer:
    case DiagKind::kUnknownName:
    case DiagKind::kUnknownOption:
    case DiagKind::kWrongType:
      return true;
    default:
      return false;  // not a switch over a closed enum of ours: everything else is semantics
  }
}

class Agreement : public ::testing::Test {
 protected:
  /// Both must say the same about the model.
  void expect(const Json& model) {
    ++count_;
    const auto result = parse_model(model.dump());
    bool accepted = true;
    if (!result.ok()) {
      for (const Diagnostic& diagnostic : result.diagnostics())
        accepted = accepted && !is_schema_kind(diagnostic.kind);
    }
    const bool valid = validator_.valid(model);
    EXPECT_EQ(accepted, valid) << model.dump() << "\n" << problems_of(model.dump());
    good_ += valid ? 1 : 0;
  }

  const Json schema_ = model_schema();
  const SchemaValidator validator_{schema_};
  int count_ = 0;
  int good_ = 0;
};

/// A value that an option accepts.
Json good_value(const OptionDef& def);

Json good_component(const ComponentDef& def) {
  Json object = {{"type", def.type}};
  for (const OptionDef& option : def.options) {
    if (option.required()) object[std::string(option.name)] = good_value(option);
  }
  return object;
}

Json good_value(const OptionDef& def) {
  if (!def.required() && !def.nullable()) return Json::parse(def.default_json);
  const double number = def.min == kNoMin ? 1.0 : def.above_min ? def.min + 0.5 : def.min;
  const auto integer = static_cast<int64_t>(std::ceil(number));
  switch (def.type) {
    case OptionType::kBool:
      return true;
    case OptionType::kInt:
      return std::max<int64_t>(integer, 1);
    case OptionType::kFloat:
      return number;
    case OptionType::kString:
    case OptionType::kFile:  // the reader says that there is none, the schema cannot
      return "text";
    case OptionType::kEnum:
      return split_words(def.choices)[0];
    case OptionType::kInts:
      return Json::array({integer, integer});
    case OptionType::kFloats:
    case OptionType::kFloatOrFloats:
      return Json::array({number, number});
    case OptionType::kSizes:
    case OptionType::kPaddings: {
      Json list = Json::array();
      for (int i = 0; i < def.count; ++i)
        list.push_back(integer);
      return def.type == OptionType::kPaddings && def.count == 1 ? Json(integer) : list;
    }
    case OptionType::kIntOrInts:
      return Json::array({integer, integer});
    case OptionType::kLayer:
      return {{"type", "lstm"}, {"units", integer}};
    case OptionType::kLayers:
      return Json::array({{{"type", "lstm_cell"}, {"units", integer}}});
    case OptionType::kComponent:
      return good_component(*family_members(def.family)[0]);
    case OptionType::kNamedInts:
      return {{"N", std::max<int64_t>(integer, 1)}};
  }
  return nullptr;
}

/// Values of all kinds; most of them are wrong for any one option.
std::vector<Json> probes() {
  return {nullptr,
          true,
          -1,
          0,
          1,
          2.5,
          3.0,
          1e300,
          "x",
          "same",
          "relu",
          "zeros",
          Json::array(),
          Json::array({1}),
          Json::array({1, 2}),
          Json::array({1, "a"}),
          Json::array({Json::array({1, 2}), Json::array({0, 1})}),
          Json::object(),
          Json{{"type", "l2"}},
          Json{{"type", "nothing"}},
          Json{{"type", "constant"}, {"valeu", 1}}};
}

/// Puts every probe into every option of `object`, which stands in `model` at `at`.
template <class F>
void vary(const ComponentDef& def, const Json& object, F&& check) {
  check(object);
  Json changed = object;
  changed["no_such_option"] = 1;
  check(changed);
  for (const OptionDef& option : def.options) {
    const std::string name(option.name);
    changed = object;
    changed.erase(name);
    check(changed);
    changed = object;
    changed[name] = good_value(option);
    check(changed);
    for (const Json& probe : probes()) {
      changed[name] = probe;
      check(changed);
    }
  }
}

TEST_F(Agreement, EveryLayerOption) {
  for (const auto& list : {all_layers(), activation_layers()}) {
    for (const LayerDef* def : list) {
      vary(def->base, good_component(def->base), [&](const Json& layer) {
        expect({{"inputs", {{{"name", "x"}, {"shape", {4, 4, 2}}}}}, {"layers", {layer}}});
      });
    }
  }
  EXPECT_GT(count_, 2000);
  EXPECT_GT(good_, 200);
}

TEST_F(Agreement, EveryActivationInitializerRegularizer) {
  const auto in_dense = [&](const char* option, const Json& value) {
    expect({{"inputs", {{{"name", "x"}, {"shape", {4, 4}}}}},
            {"layers", {{{"type", "dense"}, {"units", 4}, {option, value}}}}});
  };
  for (const auto& [family, option] : {std::pair{Family::kActivation, "activation"},
                                       std::pair{Family::kInitializer, "kernel_initializer"},
                                       std::pair{Family::kRegularizer, "bias_regularizer"},
                                       std::pair{Family::kConstraint, "bias_constraint"}}) {
    for (const ComponentDef* def : family_members(family)) {
      in_dense(option, std::string(def->type));
      vary(*def, good_component(*def),
           [&, name = option](const Json& value) { in_dense(name, value); });
    }
  }
  EXPECT_GT(good_, 100);
}

TEST_F(Agreement, TrainingSection) {
  const Json training = {{"loss", "mse"}, {"optimizer", "sgd"}};
  const auto with = [&](const std::string& member, const Json& value) {
    Json section = training;
    section[member] = value;
    expect({{"inputs", {{{"name", "x"}, {"shape", {4}}}}},
            {"layers", {{{"type", "dense"}, {"units", 3}, {"name", "y"}}}},
            {"training", section}});
  };
  for (const ComponentDef* def : family_members(Family::kOptimizer)) {
    vary(*def, good_component(*def), [&](const Json& value) { with("optimizer", value); });
  }
  for (const ComponentDef* def : family_members(Family::kLoss)) {
    const bool has_axes = std::any_of(def->options.begin(), def->options.end(),
                                      [](const OptionDef& o) { return o.name == "axis"; });
    if (has_axes || def->type == "ctc") continue;  // what axes an output has, a schema cannot say
    if (def->type == "formula" || def->type == "gir") continue;  // nor what a text says
    vary(*def, good_component(*def), [&](const Json& value) { with("loss", value); });
  }
  for (const ComponentDef* def : family_members(Family::kMetric)) {
    with("metrics", Json::array({std::string(def->type)}));
    vary(*def, good_component(*def),
         [&](const Json& value) { with("metrics", Json::array({value})); });
  }
  for (const ComponentDef* def : family_members(Family::kSchedule)) {
    if (def->type == "piecewise_constant_decay")
      continue;  // its lists must fit each other, which a schema cannot say
    vary(*def, good_component(*def), [&](const Json& value) {
      with("optimizer", {{"type", "sgd"}, {"learning_rate", value}});
    });
  }
  for (const char* member : {"batch_size", "epochs", "shuffle", "validation_split", "seed",
                             "early_stopping", "loss_weights", "optimiser"}) {
    for (const Json& probe : probes())
      with(member, probe);
  }
  EXPECT_GT(count_, 1500);
}

TEST_F(Agreement, TopLevel) {
  const Json model = {{"inputs", {{{"name", "x"}, {"shape", {4}}}}},
                      {"layers", {{{"type", "dense"}, {"units", 3}, {"name", "y"}}}}};
  for (const char* member :
       {"inputs", "layers", "blocks", "outputs", "training", "data", "name", "nonsense"}) {
    for (const Json& probe : probes()) {
      if (std::string(member) == "inputs" && probe == Json::array())
        continue;  // too few: needs understanding
      if (std::string(member) == "layers" && probe == Json::array()) continue;
      Json changed = model;
      changed[member] = probe;
      const bool names_rules = std::string(member) == "data" && probe.is_object() && !probe.empty();
      if (!names_rules) expect(changed);  // rules of unknown names are not read
    }
  }
  for (const char* member : {"scale", "offset", "standardize", "flatten", "augment", "nonsense"}) {
    for (const Json& probe : probes()) {
      Json changed = model;
      changed["data"] = {{"x", {{member, probe}}}};
      expect(changed);
    }
  }
}

TEST_F(Agreement, WhatAugmentHolds) {
  for (const char* member : {"flip_horizontal", "flip_vertical", "shift", "crop", "noise", "cutout",
                             "mixup", "cutmix"}) {
    std::vector<Json> list = probes();
    list.push_back({{"size", 3}});
    list.push_back({{"size", Json::array({2, 3})}, {"fill", 0.5}});
    list.push_back({{"size", 3}, {"fill", "mean"}});
    list.push_back({{"size", 3}, {"fill", "median"}});
    list.push_back({{"fill", 0.5}});
    for (const Json& probe : list) {
      expect({{"inputs", {{{"name", "x"}, {"shape", {9, 9}}}}},
              {"layers", {{{"type", "flatten"}}, {{"type", "dense"}, {"units", 3}, {"name", "y"}}}},
              {"data", {{"x", {{"standardize", true}, {"augment", {{member, probe}}}}}}}});
    }
  }
}

TEST(Schema, AcceptsTheExamples) {
  const Json schema = model_schema();
  const SchemaValidator validator(schema);
  for (const auto& file : std::filesystem::directory_iterator(GRADC_SOURCE_DIR "/examples")) {
    if (file.path().extension() != ".json") continue;
    const auto source = read_source_file(file.path().string());
    ASSERT_TRUE(source.ok());
    const auto json = parse_json(source.value());
    ASSERT_TRUE(json.ok());
    EXPECT_TRUE(validator.valid(*json.value())) << file.path();
  }
}

TEST(Schema, LayersPageIsUpToDate) {
  const std::string path = GRADC_SOURCE_DIR "/docs/layers.md";
  const std::string text =
      "<!-- generated by `gradc layers`; GRADC_UPDATE=1 of the frontend tests writes it -->\n\n" +
      layer_reference();
  if (std::getenv("GRADC_UPDATE") != nullptr) std::ofstream(path) << text;
  const auto page = read_source_file(path);
  ASSERT_TRUE(page.ok());
  EXPECT_EQ(page.value().text(), text);
}

TEST(Schema, ReferenceNamesEveryLayer) {
  const std::string text = layer_reference();
  for (const LayerDef* def : all_layers())
    EXPECT_NE(text.find(fmt::format("### {}\n", def->base.type)), std::string::npos);
  EXPECT_NE(text.find("| `units` | integer | must be given |"), std::string::npos);
}

}  // namespace
}  // namespace gradc
