// What an ONNX file says, read back by a reader of protocol buffers of its own. That its numbers
// are right is for ONNX Runtime: scripts/compare_onnx.js.
#include "tests/unit/exchange/read.h"

#include "exchange/write.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace gradc::exchange {
namespace {

/// One field: its number, and its integer or its bytes.
struct Field {
  uint64_t number = 0;
  uint64_t integer = 0;
  std::string bytes;
};

uint64_t varint(const std::string& bytes, size_t& at) {
  uint64_t value = 0;
  for (int shift = 0; at < bytes.size(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes[at++]);
    value |= static_cast<uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

std::vector<Field> fields_of(const std::string& bytes) {
  std::vector<Field> fields;
  for (size_t at = 0; at < bytes.size();) {
    const uint64_t key = varint(bytes, at);
    Field field{key >> 3U, 0, {}};
    if ((key & 7U) == 0) {
      field.integer = varint(bytes, at);
    } else if ((key & 7U) == 5) {
      field.bytes = bytes.substr(at, 4);
      at += 4;
    } else {
      const uint64_t length = varint(bytes, at);
      field.bytes = bytes.substr(at, length);
      at += length;
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

std::vector<std::string> all_of(const std::string& message, uint64_t number) {
  std::vector<std::string> found;
  for (const Field& field : fields_of(message)) {
    if (field.number == number) found.push_back(field.bytes);
  }
  return found;
}

std::string one_of(const std::string& message, uint64_t number) {
  const auto found = all_of(message, number);
  return found.empty() ? std::string() : found.front();
}

uint64_t integer_of(const std::string& message, uint64_t number) {
  for (const Field& field : fields_of(message)) {
    if (field.number == number) return field.integer;
  }
  return 0;
}

struct Onnx {
  std::string file, graph;
  std::map<std::string, int> ops;
  std::vector<Diagnostic> left_out;
};

/// Writes the model with weights that are all 1/2.
void write_and_read(const std::string& text, Onnx& out) {
  SourceSet sources;
  const auto model = read_model_text("native.json", text, sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  rt::SafetensorsFile weights;
  for (const Layer& layer : model->layers) {
    for (const ParameterSpec& spec : layer.parameters) {
      rt::Array array;
      array.name = rt::Str((layer.name + "/" + spec.name).c_str());
      array.dims.append(spec.shape.data(), spec.shape.size());
      array.data.resize(array.count() * sizeof(float));
      for (size_t i = 0; i < array.count(); ++i)
        rt::store_f64(array.data.data(), array.dtype, i, 0.5);
      weights.arrays.push(std::move(array));
    }
  }
  const std::string path = std::string(::testing::TempDir()) + "/onnx_test.onnx";
  Written written;
  const Status status = write_model(format_of_name(path), *model, &weights, path, &written);
  ASSERT_TRUE(status.ok()) << status.message();
  out.left_out = written.left_out;
  std::ifstream stream(path, std::ios::binary);
  std::stringstream bytes;
  bytes << stream.rdbuf();
  out.file = bytes.str();
  out.graph = one_of(out.file, 7);
  for (const std::string& node : all_of(out.graph, 1))
    ++out.ops[one_of(node, 4)];
  std::filesystem::remove(path);
}

constexpr const char* kNetwork = R"({
  "inputs": [{"name": "x", "shape": [6, 6, 2]}],
  "layers": [{"type": "conv2d", "name": "c", "filters": 3, "kernel_size": 3, "activation": "relu"},
             {"type": "max_pooling2d", "name": "p"},
             {"type": "flatten", "name": "f"},
             {"type": "dense", "name": "y", "units": 4, "activation": "softmax"}],
  "data": {"x": {"scale": 0.25}}})";

TEST(Onnx, AFileSaysItsVersionsItsOpsAndItsWeights) {
  Onnx onnx;
  write_and_read(kNetwork, onnx);
  EXPECT_TRUE(onnx.left_out.empty());
  EXPECT_EQ(integer_of(onnx.file, 1), 8U);
  EXPECT_EQ(one_of(onnx.file, 2), "gradc");
  EXPECT_EQ(integer_of(one_of(onnx.file, 8), 2), 17U);
  EXPECT_EQ(onnx.ops["Conv"], 1);
  EXPECT_EQ(onnx.ops["MaxPool"], 1);
  EXPECT_EQ(onnx.ops["MatMul"], 1);
  EXPECT_EQ(onnx.ops["Softmax"], 1);
  EXPECT_EQ(onnx.ops["Mul"], 1);  // the data's scale
  EXPECT_EQ(onnx.ops["Expand"], 0);
  std::map<std::string, size_t> constants;
  for (const std::string& tensor : all_of(onnx.graph, 5))
    constants[one_of(tensor, 8)] = one_of(tensor, 9).size();
  EXPECT_EQ(constants["c/kernel"], size_t{3 * 3 * 2 * 3 * 4});
  EXPECT_EQ(constants["y/kernel"], size_t{12 * 4 * 4});
  EXPECT_EQ(constants["y/bias"], size_t{4 * 4});
}

TEST(Onnx, NoWeightIsThereThatNothingReads) {
  Onnx onnx;
  write_and_read(R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "normalization", "name": "f"}]})",
                 onnx);
  std::map<std::string, int> constants;
  for (const std::string& tensor : all_of(onnx.graph, 5))
    ++constants[one_of(tensor, 8)];
  EXPECT_EQ(constants.count("f/mean"), 1U);
  EXPECT_EQ(constants.count("f/variance"), 1U);
  EXPECT_EQ(constants.count("f/count"), 0U);
}

/// The first extent of an input's or output's shape: a name, or a number.
std::string batch_of(const std::string& value) {
  const std::string shape = one_of(one_of(one_of(value, 2), 1), 2);
  const std::string first = one_of(shape, 1);
  const std::string name = one_of(first, 2);
  return name.empty() ? fmt::format("{}", integer_of(first, 1)) : name;
}

TEST(Onnx, TheBatchIsOpen) {
  Onnx onnx;
  write_and_read(kNetwork, onnx);
  const std::string input = one_of(onnx.graph, 11);
  EXPECT_EQ(one_of(input, 1), "x");
  EXPECT_EQ(batch_of(input), "batch");
  const std::string output = one_of(onnx.graph, 12);
  EXPECT_EQ(one_of(output, 1), "y");
  EXPECT_EQ(batch_of(output), "batch");
}

TEST(Onnx, LoopsAreScans) {
  Onnx onnx;
  write_and_read(R"({"inputs": [{"name": "x", "shape": [5, 2]}],
    "layers": [{"type": "gru", "name": "g", "units": 3}]})",
                 onnx);
  EXPECT_EQ(onnx.ops["Scan"], 1);
  EXPECT_EQ(batch_of(one_of(onnx.graph, 12)), "batch");
}

TEST(Onnx, WhatItDoesNotHaveIsSaidBeforeTraining) {
  SourceSet sources;
  const auto model = read_model_text("native.json", R"({
    "inputs": [{"name": "x", "shape": [4, 2]}],
    "layers": [{"type": "lstm", "name": "keeps", "units": 3, "stateful": true}]})",
                                     sources);
  ASSERT_TRUE(model.ok()) << problems_of(model, sources);
  const Status status = check_writable(FileFormat::kOnnx, *model);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("the op update cannot be written"), std::string::npos)
      << status.message();
}

TEST(Onnx, WithoutWeightsThereIsNone) {
  SourceSet sources;
  const auto model = read_model_text("native.json", kNetwork, sources);
  ASSERT_TRUE(model.ok());
  Written written;
  const Status status = write_model(FileFormat::kOnnx, *model, nullptr, "none.onnx", &written);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.message().find("none are given"), std::string::npos);
}

}  // namespace
}  // namespace gradc::exchange
