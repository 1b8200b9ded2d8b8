// The ops of a graph as ONNX's. A graph has fixed extents; what follows the batch shows in two
// graphs of one model for two batches, which are emitted as one.
#pragma once

#include "ir/graph.h"
#include "runtime/safetensors.h"
#include "support/result.h"

#include "exchange/onnx/graph.h"

#include <map>
#include <string>
#include <vector>

namespace gradc::exchange::onnx {

/// One graph made for two batches; the same one twice, for the same batch, fixes the batch.
struct Twin {
  const gradc::Graph& first;
  const gradc::Graph& second;
  int64_t first_batch = 1;
  int64_t second_batch = 1;

  bool symbolic() const { return first_batch != second_batch; }
};

/// Whether the two are one graph but for their extents.
bool are_twins(const gradc::Graph& first, const gradc::Graph& second);
/// Replaces the ops that ONNX does not have by what they are made of.
void expand_for_onnx(gradc::Graph& graph);
/// All ops of an expanded graph, and of the loops in it, that ONNX does not have.
Status check_ops(const gradc::Graph& graph);

class Emitter {
 public:
  /// `batch` is an i64[1] of the outer graph, which is the batch; empty: none is needed.
  Emitter(Graph& out, Twin twin, std::string batch);

  /// A value of the graph has this name already.
  void bind(ValueId value, std::string name) { full_[value.index] = std::move(name); }
  /// All nodes of a graph that check_ops finds nothing in.
  Status run();
  /// The name of a value, whole.
  Result<std::string> name_of(ValueId value) { return full(value); }
  /// Extents of a value; a report where they follow the batch in no way that ONNX can say.
  Result<Extents> extents_of(ValueId value) const;

 private:
  friend struct Rules;

  /// A value that is repeated along some axes: itself, and what it is of.
  struct Thin {
    std::string name;
    ValueId value;
  };

  Status emit(NodeId first, NodeId second);
  Result<std::string> full(ValueId value);
  /// The same, where axes may be missing that the others have.
  Result<std::string> thin_or_full(ValueId value);
  bool is_scalar(ValueId value) const { return shape(value).rank() == 0; }
  bool is_thin(ValueId value) const { return thin_.count(value.index) != 0; }
  void set(ValueId value, std::string name) { full_[value.index] = std::move(name); }
  const std::string& hint(ValueId value) const { return twin_.first.value(value).name; }
  const Shape& shape(ValueId value) const { return twin_.first.type(value).shape; }
  DType dtype(ValueId value) const { return twin_.first.type(value).dtype; }
  Result<Extents> extents(std::span<const int64_t> first, std::span<const int64_t> second) const;
  /// A list of extents as a value; `reshape`: one of them may be -1.
  std::string extents_value(const Extents& extents, bool reshape);
  std::string to_first(const std::string& name, int rank);
  std::string to_last(const std::string& name, int rank, std::string_view hint);

  Graph& out_;
  Twin twin_;
  std::string batch_;
  std::map<uint32_t, std::string> full_;
  std::map<uint32_t, Thin> thin_;
};

}  // namespace gradc::exchange::onnx
