#include "exchange/onnx/graph.h"

#include "support/check.h"

#include <fmt/format.h>

#include <cstring>

namespace gradc::exchange::onnx {
namespace {

// Fields of onnx.proto.
constexpr uint32_t kNodeInput = 1, kNodeOutput = 2, kNodeName = 3, kNodeOp = 4, kNodeAttribute = 5;
constexpr uint32_t kAttrName = 1, kAttrFloat = 2, kAttrInt = 3, kAttrString = 4, kAttrGraph = 6,
                   kAttrInts = 8, kAttrType = 20;
constexpr uint32_t kTensorDims = 1, kTensorType = 2, kTensorName = 8, kTensorBytes = 9;
constexpr uint32_t kGraphNode = 1, kGraphName = 2, kGraphConstant = 5, kGraphInput = 11,
                   kGraphOutput = 12;

Message attribute_message(std::string_view name, const Attribute& value) {
  constexpr int64_t kFloat = 1, kInt = 2, kString = 3, kGraph = 5, kInts = 7;
  Message out;
  out.text(kAttrName, name);
  if (const auto* integer = std::get_if<int64_t>(&value)) {
    out.integer(kAttrInt, *integer);
    out.integer(kAttrType, kInt);
  } else if (const auto* number = std::get_if<double>(&value)) {
    out.number(kAttrFloat, static_cast<float>(*number));
    out.integer(kAttrType, kFloat);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    out.text(kAttrString, *text);
    out.integer(kAttrType, kString);
  } else if (const auto* list = std::get_if<Ints>(&value)) {
    for (const int64_t element : *list)
      out.integer(kAttrInts, element);
    out.integer(kAttrType, kInts);
  } else if (const auto* graph = std::get_if<std::shared_ptr<Graph>>(&value)) {
    out.message(kAttrGraph, (*graph)->message(name));
    out.integer(kAttrType, kGraph);
  }
  return out;
}

Message value_message(const std::string& name, DType dtype, const Extents& shape) {
  Message dims;
  for (const Extent& extent : shape) {
    Message dim;
    if (extent.per_batch) {
      dim.text(2, extent.value == 1 ? "batch" : fmt::format("{} batch", extent.value));
    } else {
      dim.integer(1, extent.value);
    }
    dims.message(1, dim);
  }
  Message tensor;
  tensor.integer(1, type_number(dtype));
  tensor.message(2, dims);
  Message type;
  type.message(1, tensor);
  Message out;
  out.text(1, name);
  out.message(2, type);
  return out;
}

}  // namespace

int64_t type_number(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kBF16:
      return 1;
    case DType::kU8:
      return 2;
    case DType::kI32:
      return 6;
    case DType::kI64:
      return 7;
    case DType::kBool:
      return 9;
    case DType::kF16:
      return 10;
    case DType::kF64:
      return 11;
  }
  GRADC_UNREACHABLE();
}

std::string Graph::fresh(std::string_view hint) {
  std::set<std::string>& names = root().names_;
  std::string name(hint.empty() ? "value" : hint);
  for (int i = 1; !names.insert(name).second; ++i)
    name = fmt::format("{}_{}", hint.empty() ? "value" : hint, i);
  return name;
}

std::string Graph::add(std::string_view op, const Names& inputs, Attributes attributes,
                       std::string_view hint) {
  std::string name = fresh(hint.empty() ? op : hint);
  add(op, inputs, Names{name}, attributes);
  return name;
}

void Graph::add(std::string_view op, const Names& inputs, const Names& outputs,
                const Attributes& attributes) {
  Message node;
  for (const std::string& input : inputs)
    node.text(kNodeInput, input);
  for (const std::string& output : outputs)
    node.text(kNodeOutput, output);
  node.text(kNodeName, outputs.front());
  node.text(kNodeOp, op);
  for (const auto& [name, value] : attributes)
    node.message(kNodeAttribute, attribute_message(name, value));
  bytes_ += node.bytes().size();
  nodes_.push_back(std::move(node));
}

std::string Graph::constant(std::string_view hint, DType dtype, const Ints& shape,
                            std::string_view bytes) {
  std::string name = fresh(hint);
  Message tensor;
  for (const int64_t extent : shape)
    tensor.integer(kTensorDims, extent);
  tensor.integer(kTensorType, type_number(dtype));
  tensor.text(kTensorName, name);
  tensor.text(kTensorBytes, bytes);
  bytes_ += tensor.bytes().size();
  constants_.push_back(std::move(tensor));
  return name;
}

std::string Graph::ints(const Ints& values) {
  std::string& name = ints_[values];
  if (name.empty())
    name =
        constant("ints", DType::kI64, {static_cast<int64_t>(values.size())},
                 {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(int64_t)});
  return name;
}

std::string Graph::scalar(DType dtype, double value) {
  std::string bytes;
  const auto put = [&](auto typed) {
    bytes.assign(sizeof typed, '\0');
    std::memcpy(bytes.data(), &typed, sizeof typed);
  };
  switch (dtype) {
    case DType::kF32:
    case DType::kBF16:
    case DType::kF16:
      put(static_cast<float>(value));
      dtype = DType::kF32;
      break;
    case DType::kF64:
      put(value);
      break;
    case DType::kI32:
      put(static_cast<int32_t>(value));
      break;
    case DType::kI64:
      put(static_cast<int64_t>(value));
      break;
    case DType::kU8:
    case DType::kBool:
      put(static_cast<uint8_t>(value));
      break;
  }
  return constant("number", dtype, {}, bytes);
}

void Graph::input(const std::string& name, DType dtype, const Extents& shape) {
  inputs_.push_back(value_message(name, dtype, shape));
}

void Graph::output(const std::string& name, DType dtype, const Extents& shape) {
  outputs_.push_back(value_message(name, dtype, shape));
}

Message Graph::message(std::string_view name) const {
  Message out;
  for (const Message& node : nodes_)
    out.message(kGraphNode, node);
  out.text(kGraphName, name);
  for (const Message& constant : constants_)
    out.message(kGraphConstant, constant);
  for (const Message& input : inputs_)
    out.message(kGraphInput, input);
  for (const Message& output : outputs_)
    out.message(kGraphOutput, output);
  return out;
}

}  // namespace gradc::exchange::onnx
