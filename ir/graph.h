// The graph IR: a list of nodes in topological order (which is the schedule), values in SSA form,
// static types.
//
// Ids index into the graph's stores and stay valid until the thing is erased; no pointer or
// reference to a Node or Value may be kept across a mutation. Use-lists are kept by the mutators
// only (add_node, insert_node, set_operand, replace_all_uses, erase, set_output).
//
// Semantics: a graph is a function of its inputs. `update %w <- %v` nodes name the next value of a
// parameter or state; every read of %w in the graph sees the old value, whatever the order. See
// docs/ir.md.
#pragma once

#include "ir/attrs.h"
#include "ir/name_table.h"
#include "ir/type.h"
#include "support/ids.h"
#include "support/inline_vector.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gradc {

using NodeId = Id<struct NodeTag>;
using ValueId = Id<struct ValueTag>;
using LocId = Id<struct LocTag>;

enum class Op : uint16_t;

/// Which part of the training step a node belongs to.
enum class Phase : uint8_t { kForward, kBackward, kUpdate };
std::string_view phase_name(Phase phase);

/// input: data given at each call (inputs, targets, tail weights, the seed). param: trained. state:
/// kept across calls but not trained (moving averages, optimizer slots, the iteration). arg: an
/// input of a nested body.
enum class InputKind : uint8_t { kInput, kParam, kState, kArg };
std::string_view input_kind_name(InputKind kind);

/// How a parameter or state starts; executed by the runtime core. `kind` is a Keras initializer's
/// name.
struct InitSpec {
  std::string kind;  ///< "zeros", "ones", "constant", "random_uniform", "variance_scaling", ...;
                     ///< empty: none
  double a = 0.0;    ///< constant: value; uniform: minval; normal: mean; variance_scaling: scale;
                     ///< orthogonal/identity: gain
  double b = 0.0;    ///< uniform: maxval; normal: stddev
  std::string mode;  ///< variance_scaling: fan_in, fan_out, fan_avg
  std::string distribution;  ///< variance_scaling: uniform, truncated_normal, untruncated_normal
  int64_t fan_in = 0;
  int64_t fan_out = 0;
  int64_t stream = 0;     ///< Philox stream, unique per parameter
  bool has_seed = false;  ///< true: `seed` replaces the run's seed for this parameter
  int64_t seed = 0;
  int64_t ones_begin = 0;  ///< elements [ones_begin, ones_end) start at 1, whatever the kind
  int64_t ones_end = 0;
  bool operator==(const InitSpec&) const = default;
  /// All but the kind, for the text form.
  static constexpr auto kFields = std::tuple{field("a", &InitSpec::a),
                                             field("b", &InitSpec::b),
                                             field("mode", &InitSpec::mode),
                                             field("distribution", &InitSpec::distribution),
                                             field("fan_in", &InitSpec::fan_in),
                                             field("fan_out", &InitSpec::fan_out),
                                             field("stream", &InitSpec::stream),
                                             field("has_seed", &InitSpec::has_seed),
                                             field("seed", &InitSpec::seed),
                                             field("ones_begin", &InitSpec::ones_begin),
                                             field("ones_end", &InitSpec::ones_end)};
};

struct Use {
  NodeId node;
  uint32_t operand = 0;
  bool operator==(const Use&) const = default;
};

using UseList = InlineVector<Use, 2>;
/// Operands or results.
using ValueList = InlineVector<ValueId, 4>;

struct Value {
  TensorType type;
  std::string name;    ///< without '%', unique in the graph
  NodeId def;          ///< invalid for graph inputs
  uint32_t index = 0;  ///< which result of def, or which graph input
  UseList uses;
};

class Graph;

struct Node {
  Op op{};
  Phase phase = Phase::kForward;
  AttrRef attrs;
  ValueList operands;
  ValueList results;
  LocId loc;
  std::shared_ptr<Graph> body;  ///< OpDef::body: isolated, one arg for each operand
  NodeId prev, next;
  bool erased = false;
};

struct GraphInput {
  ValueId value;
  InputKind kind = InputKind::kInput;
  std::string name;  ///< the external name: "input/image", "dense/kernel",
                     ///< "optimizer/dense/kernel/m"; empty for kArg
  InitSpec init;
  LocId loc;
};

struct GraphOutput {
  ValueId value;
  std::string name;  ///< "loss", "output/logits", "metric/accuracy", "gradient/dense/kernel"; empty
                     ///< in bodies
};

/// Where a node came from: a JSON pointer, and what was done to it ("gradient of /layers/1").
struct Location {
  std::string text;
};

class Graph {
 public:
  explicit Graph(std::string name = "graph") : name_(std::move(name)) {}
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  /// Deep copy; ids are kept.
  std::shared_ptr<Graph> clone() const;

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  // ---- mutators -------------------------------------------------------------------------------
  ValueId add_input(InputKind kind, const TensorType& type, std::string name, std::string_view hint,
                    InitSpec init = {}, LocId loc = {});
  /// Appends a node; result types must be those of the op's inference (the Builder does this).
  NodeId add_node(Op op, ValueList operands, AttrRef attrs,
                  std::span<const TensorType> result_types, Phase phase, LocId loc,
                  std::string_view hint = {}, std::shared_ptr<Graph> body = nullptr);
  /// Like add_node, placed before `before` (at the end when invalid).
  NodeId insert_node(NodeId before, Op op, ValueList operands, AttrRef attrs,
                     std::span<const TensorType> result_types, Phase phase, LocId loc,
                     std::string_view hint = {}, std::shared_ptr<Graph> body = nullptr);
  void set_operand(NodeId node, size_t operand, ValueId value);
  /// One more operand behind those that a node has; the caller's node takes it.
  void append_operand(NodeId node, ValueId value);
  /// One more result behind those that a node has; the caller changes what it computes.
  ValueId append_result(NodeId node, const TensorType& type, std::string_view hint);
  /// Every use of `from` (operands and graph outputs) becomes `to`; types must be equal.
  void replace_all_uses(ValueId from, ValueId to);
  /// The node's results must have no uses left.
  void erase(NodeId node);
  /// Moves a node before another in the order; the caller keeps the order topological.
  void move_before(NodeId node, NodeId before);
  /// Puts the nodes into exactly this order (a permutation of nodes()).
  void set_order(std::span<const NodeId> order);
  void add_output(std::string name, ValueId value);
  void set_output(size_t index, ValueId value);
  void remove_output(size_t index);
  /// The input's value must have no uses; later inputs move down by one.
  void remove_input(size_t index);
  void set_name_hint(ValueId value, std::string_view hint);
  /// Renames many at once, so that names can be exchanged; distinct free names are taken as given.
  void rename_values(std::span<const std::pair<ValueId, std::string>> names);
  void set_phase(NodeId node, Phase phase) { nodes_[node.index].phase = phase; }
  void set_attrs(NodeId node, AttrRef attrs) { nodes_[node.index].attrs = std::move(attrs); }
  void set_body(NodeId node, std::shared_ptr<Graph> body) {
    nodes_[node.index].body = std::move(body);
  }
  LocId add_location(std::string text);
  /// All of another graph's locations, under the ids that they have there. There must be none here;
  /// there are none there afterwards.
  void take_locations(Graph& other);
  /// Becomes another graph, which is empty afterwards; ids are those of the other.
  void become(Graph&& other);

  // ---- queries --------------------------------------------------------------------------------
  const Node& node(NodeId id) const { return nodes_[id.index]; }
  const Value& value(ValueId id) const { return values_[id.index]; }
  const TensorType& type(ValueId id) const { return values_[id.index].type; }
  /// The node that defines a value, or an invalid id for graph inputs.
  NodeId def(ValueId id) const { return values_[id.index].def; }
  bool is_input(ValueId id) const { return !values_[id.index].def.valid(); }
  const std::vector<GraphInput>& inputs() const { return inputs_; }
  const GraphInput& input_of(ValueId id) const { return inputs_[values_[id.index].index]; }
  std::optional<ValueId> find_input(std::string_view name) const;
  const std::vector<GraphOutput>& outputs() const { return outputs_; }
  std::optional<ValueId> find_output(std::string_view name) const;
  bool is_output(ValueId id) const;
  /// Used by a node or returned.
  bool has_uses(ValueId id) const { return !values_[id.index].uses.empty() || is_output(id); }
  const std::string& location(LocId id) const;
  /// Live nodes in order. A snapshot: safe to mutate while walking it.
  std::vector<NodeId> nodes() const;
  NodeId first_node() const { return first_; }
  NodeId last_node() const { return last_; }
  size_t num_nodes() const { return num_live_; }
  /// Size of the id spaces, for side tables indexed by id (erased entries included).
  size_t node_capacity() const { return nodes_.size(); }
  size_t value_capacity() const { return values_.size(); }

 private:
  ValueId new_value(const TensorType& type, std::string_view hint, NodeId def, uint32_t index);
  void link_before(NodeId node, NodeId before);
  void unlink(NodeId node);

  std::string name_;
  std::vector<Node> nodes_;
  std::vector<Value> values_;
  std::vector<GraphInput> inputs_;
  std::vector<GraphOutput> outputs_;
  std::vector<Location> locations_;
  std::unordered_map<std::string, LocId> location_ids_;
  NameTable names_;
  NodeId first_, last_;
  size_t num_live_ = 0;
};

}  // namespace gradc
