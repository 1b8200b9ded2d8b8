// Model files that ask for too much: expansion without end, many problems at once, names that are
// more than names. Each is told at once, in its place.
#include "model_text.h"
#include <gtest/gtest.h>

#include <ctime>
#include <functional>

namespace gradc {
namespace {

double cpu_seconds(const std::function<void()>& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

// ---- expansion ---------------------------------------------------------------------------------

/// Blocks b0 .. b<depth - 1>, each repeating the next, the last with `inner` as its layers.
std::string nested_blocks(int depth, int64_t repeat, const std::string& inner) {
  std::string blocks;
  for (int i = 0; i < depth; ++i) {
    const std::string next =
        fmt::format(R"({{"type": "block", "block": "b{}", "repeat": {}}})", i + 1, repeat);
    blocks += fmt::format(R"({}"b{}": {{"layers": [{}]}})", i == 0 ? "" : ", ", i,
                          i + 1 < depth ? next : inner);
  }
  return fmt::format(R"({{"inputs": [{{"name": "x", "shape": [3]}}],
    "layers": [{{"type": "block", "block": "b0", "repeat": {}}}], "blocks": {{{}}}}})",
                     repeat, blocks);
}

/// Parameters that the next block gets `width` times.
std::string doubled_parameters(int depth, const std::string& use) {
  std::string blocks;
  for (int i = 0; i < depth; ++i) {
    const std::string layer =
        i + 1 < depth
            ? fmt::format(R"({{"type": "block", "block": "b{}", "with": {{"p": {}}}}})", i + 1, use)
            : R"({"type": "dense", "units": 2})";
    blocks += fmt::format(R"({}"b{}": {{"parameters": {{"p": "text"}}, "layers": [{}]}})",
                          i == 0 ? "" : ", ", i, layer);
  }
  return R"({"inputs": [{"name": "x", "shape": [3]}], "layers": [{"type": "block", "block": "b0"}],
    "blocks": {)" +
         blocks + "}}";
}

void expect_told(const std::string& model, const std::string& what) {
  std::string text;
  const double seconds = cpu_seconds([&] { text = problems_of(model); });
  EXPECT_LT(seconds, 20.0) << what;  // with sanitizers; a second without
  EXPECT_NE(text.find("[too-large]"), std::string::npos) << what << ": " << text.substr(0, 2000);
  EXPECT_NE(text.find("block \"b0\" makes more than"), std::string::npos) << what << ": " << text;
  EXPECT_NE(text.find("at /layers/0"), std::string::npos) << what << ": " << text;
}

TEST(HostileModel, ExpansionIsBoundedByWhatItMakes) {
  expect_told(nested_blocks(6, 100000, ""), "repeats of nothing");
  expect_told(nested_blocks(30, 2, ""), "two of two of two of nothing");
  expect_told(nested_blocks(3, 100, R"({"type": "relu"})"), "a million layers");
  expect_told(nested_blocks(2, 1000, R"({"type": "shared", "layer": "x"})"), "shared entries");
  // Few parts with long names, each level's in front of the next's.
  const std::string name(190, 'n');
  std::string model = nested_blocks(25, 3, R"({"type": "relu"})");
  for (size_t at = 0; (at = model.find("\"repeat\"", at)) != std::string::npos; at += 300)
    model.insert(at, "\"name\": \"" + name + "\", ");
  expect_told(model, "long names");
}

TEST(HostileModel, ParametersOfBlocksAreBounded) {
  expect_told(doubled_parameters(30, R"(["$p", "$p"])"), "doubled lists");
  expect_told(doubled_parameters(30, R"({"a": "$p", "b": "$p", "c": "$p"})"), "tripled objects");
  expect_told(doubled_parameters(8, R"(["$p","$p","$p","$p","$p","$p","$p","$p","$p","$p","$p"])"),
              "eleven times, few levels");
  EXPECT_EQ(problems_of(doubled_parameters(30, R"("$p")")), "");
  EXPECT_EQ(problems_of(doubled_parameters(5, R"(["$p", "$p"])")), "");
}

TEST(HostileModel, ValuesThatBlocksNestAreBounded) {
  const std::string deep = std::string(50, '[') + "\"$p\"" + std::string(50, ']');
  expect_told(doubled_parameters(6, deep), "300 levels by way of parameters");
}

TEST(HostileModel, DeepModelsThatAreMeantPass) {
  EXPECT_EQ(problems_of(nested_blocks(2, 50, R"({"type": "relu"}, {"type": "tanh"})")), "");
  std::string text;
  const double seconds = cpu_seconds([&] {
    text = problems_of(nested_blocks(1, 30000, R"({"type": "relu"}, {"type": "tanh"})"));
  });
  EXPECT_EQ(text, "");
  EXPECT_LT(seconds, 60.0);
}

TEST(HostileModel, LongWaysThroughEmptyBlocksAreGoneOnce) {
  std::string layers = R"({"type": "block", "block": "nothing", "repeat": 30000, "name": "far"})";
  for (int i = 0; i < 10000; ++i)
    layers += R"(, {"type": "relu", "inputs": "far"})";
  std::string text;
  const double seconds = cpu_seconds([&] {
    text = problems_of(R"({"inputs": [{"name": "x", "shape": [3]}],
      "blocks": {"nothing": {"layers": []}}, "layers": [)" +
                       layers + "]}");
  });
  EXPECT_NE(text.find("unused-layer"), std::string::npos);
  EXPECT_LT(seconds, 20.0);
}

TEST(HostileModel, CirclesOfBlocksAreTold) {
  const std::string text = problems_of(R"({"inputs": [{"name": "x", "shape": [3]}],
    "blocks": {"nothing": {"layers": []}},
    "layers": [{"type": "block", "block": "nothing", "name": "a", "inputs": "b"},
               {"type": "block", "block": "nothing", "name": "b", "inputs": "a"},
               {"type": "relu"}]})");
  EXPECT_NE(text.find("[cycle]"), std::string::npos) << text;
}

// ---- many problems -----------------------------------------------------------------------------

/// A model with n problems of one kind.
using Problems = std::function<std::string(int)>;

std::string layer_list(int n, const std::function<std::string(int)>& layer) {
  std::string layers;
  for (int i = 0; i < n; ++i)
    layers += (i == 0 ? "" : ", ") + layer(i);
  return with_layers(layers);
}

void expect_linear(const char* what, const char* kind, const Problems& problems) {
  std::string text;
  const double few = cpu_seconds([&] { text = problems_of(problems(1000)); });
  EXPECT_NE(text.find(kind), std::string::npos) << what << ": " << text.substr(0, 600);
  EXPECT_NE(text.find(" more problems are not shown"), std::string::npos)
      << what << ": " << text.substr(0, 600);
  const double many = cpu_seconds([&] { text = problems_of(problems(16000)); });
  // Sixteen times as many may take 16 times as long and a little more, not 256 times.
  EXPECT_LT(many, 60.0 * few + 0.5) << what << ": " << few << " s for 1000, " << many;
  ::testing::Test::RecordProperty(what, fmt::format("{:.3f} s, {:.3f} s", few, many));
  std::printf("%-28s 1000: %.3f s  16000: %.3f s\n", what, few, many);
}

TEST(ManyProblems, CostNoMoreThanTheirNumber) {
  expect_linear("unknown references", "unknown-reference", [](int n) {
    return layer_list(n, [](int i) {
      return fmt::format(R"({{"type": "relu", "name": "layer_number_{0}_of_many",
        "inputs": "leyer_number_{0}x"}})",
                         i);
    });
  });
  expect_linear("unknown types", "unknown-layer", [](int n) {
    return layer_list(n, [](int i) { return fmt::format(R"({{"type": "dence{}"}})", i); });
  });
  expect_linear("unknown options", "unknown-option", [](int n) {
    return layer_list(n, [](int) { return R"({"type": "dense", "units": 2, "unitz": 3})"; });
  });
  expect_linear("unknown options of one", "unknown-option", [](int n) {
    std::string options;
    for (int i = 0; i < n; ++i)
      options += fmt::format(R"(, "unit_{}": 1)", i);
    return with_layers(R"({"type": "dense", "units": 2)" + options + "}");
  });
  expect_linear("wrong types", "wrong-type", [](int n) {
    return layer_list(n, [](int) { return R"({"type": "dense", "units": "2"})"; });
  });
  expect_linear("missing options", "missing-option",
                [](int n) { return layer_list(n, [](int) { return R"({"type": "dense"})"; }); });
  expect_linear("duplicate names", "duplicate-name", [](int n) {
    return layer_list(n, [](int) { return R"({"type": "relu", "name": "same"})"; });
  });
  expect_linear("unused layers", "unused-layer", [](int n) {
    return layer_list(n, [](int) { return R"({"type": "relu", "inputs": "x"})"; });
  });
  expect_linear("duplicate members", "json-duplicate-key", [](int n) {
    std::string members = R"("a": 0)";
    for (int i = 0; i < n; ++i)
      members += R"(, "a": 1)";
    return "{" + members + "}";
  });
  expect_linear("large integers", "number-out-of-range", [](int n) {
    std::string numbers = "1";
    for (int i = 0; i < n; ++i)
      numbers += ", 99999999999999999999";
    return R"({"inputs": [{"name": "x", "shape": [)" + numbers + "]}]}";
  });
  expect_linear("unknown outputs", "unknown-reference", [](int n) {
    std::string names = R"("y")";
    for (int i = 0; i < n; ++i)
      names += fmt::format(R"(, "z{}")", i);
    return R"({"inputs": [{"name": "x", "shape": [3]}], "layers": [{"type": "relu", "name": "y"}],
      "outputs": [)" +
           names + "]}";
  });
  expect_linear("unknown blocks", "unknown-reference", [](int n) {
    std::string blocks;
    for (int i = 0; i < n; ++i)
      blocks +=
          fmt::format(R"({}"block_{}": {{"layers": [{{"type": "relu"}}]}})", i == 0 ? "" : ", ", i);
    std::string model = layer_list(
        n, [](int i) { return fmt::format(R"({{"type": "block", "block": "blok_{}"}})", i); });
    return model.insert(1, R"("blocks": {)" + blocks + "}, ");
  });
  expect_linear("data rules of nothing", "unknown-reference", [](int n) {
    std::string rules;
    for (int i = 0; i < n; ++i)
      rules += fmt::format(R"({}"input_{}": {{"scale": 2}})", i == 0 ? "" : ", ", i);
    return with_layers(R"({"type": "relu"})").insert(1, R"("data": {)" + rules + "}, ");
  });
}

TEST(ManyProblems, OfOneLongLineAreShownInTheirPlaces) {
  const std::string text =
      problems_of(layer_list(4000, [](int) { return R"({"type": "dense"})"; }));
  EXPECT_LT(text.size(), 100000U);
  EXPECT_EQ(text.rfind("model.json:1:54: error: ", 0), 0U) << text.substr(0, 400);
  EXPECT_NE(text.find("3900 more problems are not shown"), std::string::npos);
}

// ---- names -------------------------------------------------------------------------------------

TEST(HostileName, NothingThatATerminalActsOnIsPrinted) {
  for (const char* escape : {"\\u001b[31m", "\\u0007", "\\r", "\\u0000", "\\u007f", "\\u009b31m",
                             "\\u202e", "\\u2066", "\\u2028", "\\ufeff", "\\n"}) {
    const std::string name = fmt::format("a{}b", escape);
    const std::string texts[] = {
        problems_of(with_layers(fmt::format(R"({{"type": "relu", "name": "{}"}})", name))),
        problems_of(with_layers(fmt::format(R"({{"type": "{}"}})", name))),
        problems_of(with_layers(fmt::format(R"({{"type": "relu", "inputs": "{}"}})", name))),
        problems_of(with_layers(fmt::format(R"({{"type": "relu", "{}": 1}})", name))),
        problems_of(fmt::format(R"({{"name": "{}", "inputs": [{{"name": "x", "shape": [1]}}],
          "layers": [{{"type": "relu"}}]}})",
                                name)),
        problems_of(with_training(R"({"type": "dense", "units": 1})",
                                  fmt::format(R"({{"loss": "mse", "optimizer": "sgd", "metrics":
              [{{"type": "mae", "name": "{}"}}]}})",
                                              name))),
    };
    for (const std::string& text : texts) {
      EXPECT_NE(text.find("error: "), std::string::npos) << escape << ": " << text;
      for (const char* raw : {"\x1b", "\x07", "\r", "\x7f", "\xc2\x9b", "\xe2\x80\xae",
                              "\xe2\x81\xa6", "\xe2\x80\xa8", "\xef\xbb\xbf"})
        EXPECT_EQ(text.find(raw), std::string::npos) << escape << ": " << text;
      EXPECT_EQ(text.find('\0'), std::string::npos) << escape;
    }
  }
}

TEST(HostileName, LongOnesAreShortened) {
  const std::string name(1000000, 'n');
  for (const std::string& model :
       {with_layers(R"({"type": "relu", "name": ")" + name + "\"}"),
        with_layers(R"({"type": ")" + name + "\"}"),
        with_layers(R"({"type": "relu", "inputs": ")" + name + "\"}"),
        with_layers(R"({"type": "dense", "units": ")" + name + "\"}"),
        with_layers(R"({"type": "dense", "units": 2, ")" + name + "\": 1}")}) {
    const std::string text = problems_of(model);
    EXPECT_NE(text.find("error: "), std::string::npos);
    EXPECT_LT(text.size(), 12000U);
  }
}

TEST(HostileName, TwoTensorsOfOneNameAreTold) {
  const auto collision = [](const std::string& model, const std::string& name) {
    const std::string text = problems_of(model);
    EXPECT_NE(text.find("are named \"" + name + "\""), std::string::npos) << name << ": " << text;
    EXPECT_NE(text.find("note: the first is here"), std::string::npos) << text;
  };
  // A layer named "input" beside an input named as its parameter.
  collision(R"({"inputs": [{"name": "kernel", "shape": [3]}],
    "layers": [{"type": "dense", "units": 2, "name": "input"}]})",
            "input/kernel");
  collision(R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dense", "units": 2, "name": "target"},
               {"type": "dense", "units": 1, "name": "bias"}],
    "training": {"loss": "mse", "optimizer": "sgd"}})",
            "target/bias");
  collision(
      with_training(
          R"({"type": "dense", "units": 1})",
          R"({"loss": "mse", "optimizer": "sgd", "metrics": [{"type": "mae", "name": "loss"}]})"),
      "loss");
  collision(
      with_training(
          R"({"type": "dense", "units": 1})",
          R"({"loss": "mse", "optimizer": "sgd", "metrics": ["mae", {"type": "mse", "name": "val_mae"}]})"),
      "val_mae");
  // The same words where nothing collides are names like any other.
  for (const char* name :
       {"optimizer", "data", "input", "target", "best", "loss", "seed", "output"})
    EXPECT_EQ(problems_of(with_training(
                  fmt::format(R"({{"type": "dense", "units": 1, "name": "{}"}})", name),
                  R"({"loss": "mse", "optimizer": "sgd", "early_stopping": {}})")),
              "")
        << name;
}

// ---- numbers -----------------------------------------------------------------------------------

TEST(HostileNumber, IsRefusedBeforeItIsConverted) {
  const auto refused = [](const std::string& member) {
    const std::string text =
        problems_of(with_training(R"({"type": "dense", "units": 1})",
                                  R"({"loss": "mse", "optimizer": "sgd", )" + member + "}"));
    EXPECT_NE(text.find("error: "), std::string::npos) << member << ": " << text;
    EXPECT_LT(text.size(), 1000U) << member;
  };
  for (const char* member :
       {R"("batch_size": 1e300)", R"("batch_size": 0)", R"("batch_size": 2.5)",
        R"("batch_size": 4294967297)", R"("epochs": 9223372036854775808)", R"("epochs": 1e18)",
        R"("epochs": -1e999999999)", R"("seed": -1)", R"("validation_split": 1.0)",
        R"("validation_split": 1e-9999999999999999999e)", R"("validation_split": -0.1)",
        R"("early_stopping": {"patience": 1e19})", R"("early_stopping": {"min_delta": 1e39})"})
    refused(member);
  refused(R"("seed": )" + std::string(1000000, '9'));
  EXPECT_EQ(
      problems_of(with_training(
          R"({"type": "dense", "units": 1.0})",
          R"({"loss": "mse", "optimizer": {"type": "sgd", "learning_rate": 1e-3}, "batch_size": 3.0,
          "validation_split": 1e-999999999999})")),
      "");
}

}  // namespace
}  // namespace gradc
