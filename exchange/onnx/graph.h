// An ONNX graph under construction: nodes, constants, inputs and outputs by name.
#pragma once

#include "ir/type.h"
#include "support/no_value.h"

#include "exchange/onnx/wire.h"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace gradc::exchange::onnx {

using Ints = std::vector<int64_t>;
using Names = std::vector<std::string>;

/// ONNX's number of an element type; bf16 is written as f32.
int64_t type_number(DType dtype);

/// An extent that is fixed, or so many times the batch.
struct Extent {
  int64_t value = 0;
  bool per_batch = false;
  bool operator==(const Extent&) const = default;
};
using Extents = std::vector<Extent>;

class Graph;
using Attribute = std::variant<int64_t, double, std::string, Ints, std::shared_ptr<Graph>>;
using Attributes = std::vector<std::pair<std::string_view, Attribute>>;

class Graph {
 public:
  /// A graph inside of another sees the other's values and takes no name of them.
  explicit Graph(Graph* outer = nullptr) : outer_(outer) {}

  /// A name that nothing has yet.
  std::string fresh(std::string_view hint);
  /// A node with one result, which is given its name.
  std::string add(std::string_view op, const Names& inputs, Attributes attributes = {},
                  std::string_view hint = {});
  void add(std::string_view op, const Names& inputs, const Names& outputs,
           const Attributes& attributes);
  /// A constant by its bytes.
  std::string constant(std::string_view hint, DType dtype, const Ints& shape,
                       std::string_view bytes);
  /// A list of integers; equal ones are one constant.
  std::string ints(const Ints& values);
  /// One number, without dimensions.
  std::string scalar(DType dtype, double value);
  void input(const std::string& name, DType dtype, const Extents& shape);
  void output(const std::string& name, DType dtype, const Extents& shape);

  /// The GraphProto.
  Message message(std::string_view name) const;
  /// Bytes so far.
  size_t size() const { return bytes_; }

 private:
  Graph& root() { return outer_ == nullptr ? *this : outer_->root(); }

  Graph* outer_;
  std::set<std::string> names_;  ///< the root's are all
  std::map<Ints, std::string> ints_;
  std::vector<Message> nodes_, constants_, inputs_, outputs_;
  size_t bytes_ = 0;
};

}  // namespace gradc::exchange::onnx
