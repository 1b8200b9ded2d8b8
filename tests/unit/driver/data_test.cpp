// Data through the command: what the graph and the loss make of a file's values, and what is warned
// of. The files themselves are tested in tests/unit/runtime.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace gradc::test {
namespace {

std::string model(const std::string& input, const std::string& layers, const std::string& loss,
                  const std::string& more = "") {
  return R"({"inputs": [{"name": "x", )" + input + R"(}], "layers": [)" + layers +
         R"(], "training": {"loss": )" + loss +
         R"(, "optimizer": "sgd", "batch_size": 4, "epochs": 1, "seed": 1})" + more + "}";
}

/// Trains a model on a CSV; the exit code and what was said.
Outcome train(const std::string& json, const std::string& csv, const std::string& more = "") {
  const Scratch scratch;
  write_text_file(scratch / "m.json", json);
  write_text_file(scratch / "d.csv", csv);
  return gradc("train " + (scratch / "m.json") + " --data " + (scratch / "d.csv") + ":target=y " +
               more);
}

void expect_refused(const Outcome& outcome, const std::string& part) {
  EXPECT_EQ(outcome.code, 1) << outcome.output;
  EXPECT_NE(outcome.output.find(part), std::string::npos) << outcome.output;
}

constexpr const char* kDense = R"({"type": "dense", "units": 1, "name": "y"})";

TEST(Data, IndicesAreCheckedWhateverLiesBeforeTheTable) {
  const std::string end = R"(, {"type": "flatten"}, {"type": "dense", "units": 1, "name": "y"})";
  const std::string embedding = R"({"type": "embedding", "input_dim": 5, "output_dim": 2})";
  for (const std::string& before :
       {std::string(), std::string(R"({"type": "reshape", "target_shape": [2, 1]}, )"),
        std::string(R"({"type": "permute", "dims": [1]}, )"),
        std::string(R"({"type": "reshape", "target_shape": [1, 2]}, {"type": "flatten"}, )"),
        std::string(R"({"type": "op.cast", "attributes": {"dtype": "i64"}}, )")}) {
    const std::string json =
        model(R"("shape": [2], "dtype": "int32")", before + embedding + end, R"("mse")");
    const Outcome good = train(json, "a,b,y\n0,4,1\n1,2,0\n");
    EXPECT_EQ(good.code, 0) << before << good.output;
    expect_refused(train(json, "a,b,y\n0,4,1\n1,7,0\n"),
                   "example 1, value 1 is 7, input/x needs values from 0 to 4");
    expect_refused(train(json, "a,b,y\n0,4,1\n-1,2,0\n"), "example 1, value 0 is -1");
  }
}

TEST(Data, TargetsLieWhereTheirLossIsDefined) {
  const std::string binary = model(
      R"("shape": [1])", R"({"type": "dense", "units": 1, "activation": "sigmoid", "name": "y"})",
      R"("binary_crossentropy")");
  EXPECT_EQ(train(binary, "a,y\n1,0\n2,1\n3,0.5\n").code, 0);
  for (const char* label : {"2", "-1", "1.5", "255"}) {
    expect_refused(train(binary, std::string("a,y\n1,0\n2,") + label + "\n"),
                   "the loss of target/y is defined for values from 0 to 1");
  }
  const std::string rows = model(
      R"("shape": [1])", R"({"type": "dense", "units": 3, "activation": "softmax", "name": "y"})",
      R"("categorical_crossentropy")");
  expect_refused(train(rows, "a,y\n1,0\n2,3\n"),
                 "example 1 is 3, target/y needs values from 0 to 2");
  EXPECT_EQ(train(rows, "a,y\n1,0\n2,2\n").code, 0);
}

TEST(Data, AnIgnoredClassNeedBeNone) {
  const std::string json = model(
      R"("shape": [1])", R"({"type": "dense", "units": 3, "activation": "softmax", "name": "y"})",
      R"({"type": "sparse_categorical_crossentropy", "ignore_class": -100})");
  EXPECT_EQ(train(json, "a,y\n1,0\n2,-100\n3,2\n").code, 0);
  expect_refused(train(json, "a,y\n1,0\n2,-1\n"),
                 "example 1 is -1, target/y needs values from 0 to 2, or -100");
}

// The mean over a data set does not depend on how it is cut into batches, nor does the loss of
// several outputs, each of which counts its own positions.
TEST(Data, ScoresAreMeansOverWhatCounts) {
  const Scratch scratch;
  const auto text = [&](int batch) {
    return R"({"inputs": [{"name": "a", "shape": [1], "dtype": "int32"},
                          {"name": "b", "shape": [1], "dtype": "int32"}],
      "layers": [{"type": "embedding", "inputs": "a", "input_dim": 4, "output_dim": 3, "mask_zero": true},
                 {"type": "dense", "units": 3, "name": "y", "kernel_regularizer": {"type": "l2", "l2": 0.1}},
                 {"type": "embedding", "inputs": "b", "input_dim": 4, "output_dim": 2, "mask_zero": true},
                 {"type": "dense", "units": 1, "name": "z"},
                 {"type": "embedding", "inputs": "b", "input_dim": 4, "output_dim": 1},
                 {"type": "flatten", "name": "w"}], "outputs": ["y", "z", "w"],
      "training": {"losses": {"y": {"type": "scce", "from_logits": true, "ignore_class": -1}, "z": "mse", "w": "mae"},
                   "loss_weights": {"z": 0.5}, "metrics": {"y": ["accuracy"], "z": ["mae"]}, "optimizer": "sgd",
                   "batch_size": )" +
           std::to_string(batch) + ", \"epochs\": 1, \"seed\": 3}}";
  };
  write_text_file(
      scratch / "d.csv",
      "a,b,y,z,w\n1,0,0,1,2\n0,0,1,3,1\n2,3,-1,-1,0\n3,1,2,0.5,1\n1,2,-1,1,4\n2,0,1,2,2\n"
      "0,1,2,4,1\n");
  const std::string data = " --data " + (scratch / "d.csv") + ":target=y,z,w";
  std::string expected;
  for (const int batch : {7, 1, 2, 3, 4}) {
    write_text_file(scratch / "m.json", text(batch));
    if (batch == 7) {
      const Outcome trained =
          gradc("train " + (scratch / "m.json") + data + " --out " + (scratch / "w"));
      ASSERT_EQ(trained.code, 0) << trained.output;
    }
    const Outcome outcome =
        gradc("eval " + (scratch / "m.json") + data + " --weights " + (scratch / "w"));
    ASSERT_EQ(outcome.code, 0) << outcome.output;
    if (expected.empty()) expected = outcome.output;
    EXPECT_EQ(outcome.output, expected) << "in batches of " << batch;
  }
}

TEST(Data, NamesOfClassesForEveryLoss) {
  const auto classifier = [](const char* units, const char* activation, const char* loss) {
    return model(R"("shape": [1])",
                 std::string(R"({"type": "dense", "units": )") + units + R"(, "activation": ")" +
                     activation + R"(", "name": "y"})",
                 std::string("\"") + loss + "\"");
  };
  const std::string binary = classifier("1", "sigmoid", "binary_crossentropy");
  const std::string two = "a,y\n1,yes\n-1,no\n1,yes\n";
  const std::string three = "a,y\n1,red\n-1,green\n0,blue\n";
  EXPECT_EQ(train(binary, two).code, 0);
  expect_refused(train(binary, three), "has 3 classes (\"blue\", \"green\", \"red\")");
  for (const char* loss : {"categorical_crossentropy", "sparse_categorical_crossentropy"}) {
    EXPECT_EQ(train(classifier("3", "softmax", loss), three).code, 0) << loss;
    expect_refused(train(classifier("2", "softmax", loss), three), "has 3 classes");
  }
  // Names and numbers are the same training.
  const std::string rows = classifier("3", "softmax", "categorical_crossentropy");
  const auto loss = [&](const std::string& csv) {
    const std::string output = train(rows, csv).output;
    const size_t begin = output.find("loss ");
    return begin == std::string::npos ? output
                                      : output.substr(begin, output.find("  ", begin) - begin);
  };
  EXPECT_EQ(loss(three).substr(0, 7), "loss 1.") << loss(three);
  EXPECT_EQ(loss(three), loss("a,y\n1,2\n-1,1\n0,0\n"));
}

TEST(Data, LegalDataThatCostsHoursIsWarnedOf) {
  const std::string mse = model(R"("shape": [2])", kDense, R"("mse")");
  const auto rows = [](const char* a, const char* b, const char* y) {
    std::string text = "a,b,y\n";
    for (int i = 0; i < 20; ++i)
      text += std::string(a) + "," + b + "," + y + "\n";
    return text;
  };
  const std::string large = train(mse, rows("1", "300", "1")).output;
  EXPECT_NE(large.find("input \"x\" has values of about 300 in column \"b\""), std::string::npos)
      << large;
  EXPECT_NE(large.find("[input-scale]"), std::string::npos);
  EXPECT_NE(train(mse, rows("0.0001", "0.0001", "1")).output.find("[input-scale]"),
            std::string::npos);
  EXPECT_NE(train(mse, rows("1", "1", "250000")).output.find("[target-scale]"), std::string::npos);
  EXPECT_EQ(train(mse, rows("1", "1", "1")).output.find("warning"), std::string::npos);
  EXPECT_EQ(train(mse, rows("1", "300", "1"), "--no-warn input-scale").output.find("warning"),
            std::string::npos);
  for (const std::string& json :
       {model(R"("shape": [2])", kDense, R"("mse")", R"(, "data": {"x": {"standardize": true}})"),
        model(R"("shape": [2])", kDense, R"("mse")", R"(, "data": {"x": {"scale": 0.01}})"),
        model(R"("shape": [2])", std::string(R"({"type": "batch_normalization"}, )") + kDense,
              R"("mse")")}) {
    EXPECT_EQ(train(json, rows("1", "300", "1")).output.find("input-scale"), std::string::npos);
  }
}

TEST(Data, AClassThatValidationLacksIsWarnedOf) {
  const std::string json = model(
      R"("shape": [1])", R"({"type": "dense", "units": 3, "activation": "softmax", "name": "y"})",
      R"("sparse_categorical_crossentropy")");
  std::string sorted = "a,y\n";
  std::string mixed = "a,y\n";
  for (int i = 0; i < 90; ++i) {
    sorted += "1,class" + std::to_string(i / 30) + "\n";
    mixed += "1,class" + std::to_string(i % 3) + "\n";
  }
  const std::string told = train(json, sorted, "--validation-split 0.3").output;
  EXPECT_NE(
      told.find("\"class0\", \"class1\" is in the training examples and not in the validation"),
      std::string::npos)
      << told;
  EXPECT_NE(train(json, sorted, "--validation-split 0.34").output.find("[missing-class]"),
            std::string::npos);
  EXPECT_EQ(train(json, mixed, "--validation-split 0.3").output.find("missing-class"),
            std::string::npos);
}

// ---- the exact door

std::string safetensors(const std::string& header, const std::string& data) {
  const uint64_t size = header.size();
  return std::string{reinterpret_cast<const char*>(&size), 8} + header + data;
}

TEST(Data, RunChecksWhatItIsGiven) {
  const Scratch scratch;
  write_text_file(
      scratch / "m.json",
      model(R"("shape": [1], "dtype": "int32")",
            R"({"type": "embedding", "input_dim": 10, "output_dim": 2}, {"type": "flatten"},
               {"type": "dense", "units": 3, "activation": "softmax", "name": "y"})",
            R"("sparse_categorical_crossentropy")"));
  const auto run = [&](int64_t index, int64_t label) {
    const std::vector<int64_t> values = {1, index, 2, label};
    write_text_file(scratch / "in.safetensors",
                    safetensors(R"({"input/x":{"dtype":"I64","shape":[2,1],"data_offsets":[0,16]},)"
                                R"("target/y":{"dtype":"I64","shape":[2],"data_offsets":[16,32]}})",
                                {reinterpret_cast<const char*>(values.data()), 32}));
    return gradc("run " + (scratch / "m.json") + " --entry loss --in " +
                 (scratch / "in.safetensors") + " --out " + (scratch / "out.safetensors"));
  };
  EXPECT_EQ(run(9, 2).code, 0);
  expect_refused(run(50, 2), "input/x: example 1 is 50, input/x needs values from 0 to 9");
  expect_refused(run(9, 9), "target/y: example 1 is 9, target/y needs values from 0 to 2");
  for (const int64_t wide : {int64_t{4294967299}, int64_t{-4294967293}, INT64_MAX, INT64_MIN}) {
    expect_refused(run(wide, 2), "input/x: example 1 is " + std::to_string(wide));
    expect_refused(run(9, wide), "target/y: example 1 is " + std::to_string(wide));
  }
}

TEST(Data, WhatATableLacksOrHasTooMuchIsToldWithTheOption) {
  const Scratch scratch;
  write_text_file(scratch / "m.json", model(R"("shape": [2])", kDense, R"("mse")"));
  write_text_file(scratch / "t.csv", "a,b,kind\n1,2,red\n3,4,blue\n");
  const std::string train = "train " + (scratch / "m.json") + " --data " + (scratch / "t.csv");
  // Without target= no column is one.
  expect_refused(gradc(train),
                 "t.csv:2: column \"kind\" holds \"red\", a number was expected (:target=COLUMN "
                 "names the target, :drop= leaves a column out)");
  write_text_file(scratch / "t.csv", "a,b,y\n1,2,3\n3,4,5\n");
  expect_refused(gradc(train), "(:target=COLUMN names a column)");
  const std::string weights = scratch / "w.safetensors";
  ASSERT_EQ(gradc(train + ":target=y --out " + weights).code, 0);
  write_text_file(scratch / "t.csv", "a,b,y,extra\n1,2,3,0\n3,4,5,0\n");
  const std::string eval = "eval " + (scratch / "m.json") + " --weights " + weights + " --data " +
                           (scratch / "t.csv") + ":target=y";
  expect_refused(gradc(eval),
                 "has \"extra\", which the model was not trained with (:drop= leaves "
                 "a column out)");
  EXPECT_EQ(gradc(eval + ":drop=extra").code, 0);
}

}  // namespace
}  // namespace gradc::test
