// in_place - makes every update writable in the memory of its target: where the kernel that
// computes the new value cannot do it, a copy at the end of the step does. What is an operand of
// the caller and changes in the step is copied first where its old value is an output.
#include "passes/in_place.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "passes/fusion_form.h"
#include "passes/passes.h"

#include <algorithm>

namespace gradc {
namespace {

/// By ValueId of a body: whether it is needed at the kernel's own point only. A reduction of a row
/// kernel needs its operand at the points of its own row only, before any of them is written.
std::vector<char> needed_at_own_point(const Graph& body, bool rows) {
  std::vector<char> own(body.value_capacity(), 1);
  for (NodeId id = body.last_node(); id.valid(); id = body.node(id).prev) {
    const Node& node = body.node(id);
    if (rows && is_plain_reduction(node)) continue;
    // Rows that are not put stay where they are.
    if (node.op == Op::kPutRows && own[node.results[0].index] != 0) {
      for (size_t i = 1; i < node.operands.size(); ++i)
        own[node.operands[i].index] = 0;
      continue;
    }
    const bool same_point = def(node.op).lowering == Lowering::kScalar || node.op == Op::kReshape;
    bool result_own = true;
    for (ValueId result : node.results)
      result_own = result_own && own[result.index] != 0;
    if (same_point && result_own) continue;
    for (ValueId operand : node.operands)
      own[operand.index] = 0;
  }
  return own;
}

bool is_row_kernel(const Node& node) {
  return node.op == Op::kKernel && node.attrs.as<KernelAttrs>().kind == KernelKind::kRow;
}

/// A reduction of a row kernel; they are all over the same rows.
const Node* row_reduction(const Graph& body) {
  for (NodeId id = body.first_node(); id.valid(); id = body.node(id).next) {
    if (is_plain_reduction(body.node(id))) return &body.node(id);
  }
  return nullptr;
}

/// Rows too short to be written over: the loads of a row would wait for the stores of the one
/// before it, so that rows follow each other instead of overlapping (a softmax of 32 rows of 10
/// takes twice as long), and what it saves is small.
constexpr int64_t kShortRow = 256;

}  // namespace

int64_t arena_bytes(const TensorType& type) {
  return (type.bytes() + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment;
}

const PointReads::OfBody& PointReads::of_body(const Node& kernel) {
  const auto [it, inserted] = of_body_.try_emplace(kernel.body.get());
  OfBody& found = it->second;
  if (!inserted) return found;
  const Graph& body = *kernel.body;
  const bool rows = is_row_kernel(kernel);
  const std::vector<char> own = needed_at_own_point(body, rows);
  for (const GraphInput& input : body.inputs())
    found.own.push_back(own[input.value.index]);
  if (const Node* reduction = rows ? row_reduction(body) : nullptr; reduction != nullptr) {
    found.points = body.type(reduction->operands[0]).num_elements();
    found.short_rows = found.points < kShortRow * body.type(reduction->results[0]).num_elements();
  }
  return found;
}

/// How many points a node writes its results at: those of a row kernel are the elements that it
/// reduces, and what it gives once per row is written when the row is done.
int64_t PointReads::num_points(const Node& node) {
  if (node.results.empty()) return 0;
  const int64_t of_rows = node.op == Op::kKernel ? of_body(node).points : 0;
  return of_rows > 0 ? of_rows : graph_.type(node.results[0]).num_elements();
}

/// Whether an operand is read at the node's own point and has as many elements as there are points.
bool PointReads::is_own(const Node& node, size_t operand) {
  if (graph_.type(node.operands[operand]).num_elements() != num_points(node)) return false;
  if (node.op != Op::kKernel) return def(node.op).lowering == Lowering::kScalar;
  const std::vector<char>& own = of_body(node).own;
  // The same value may be two operands: both must be.
  for (size_t i = 0; i < own.size(); ++i) {
    if (own[i] == 0 && node.operands[i] == node.operands[operand]) return false;
  }
  return true;
}

bool PointReads::only_at_own_point(NodeId id, ValueId value) {
  const Node& node = graph_.node(id);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    if (node.operands[i] == value) return is_own(node, i);
  }
  return true;
}

std::vector<std::vector<ValueId>> PointReads::overwritable(NodeId id) {
  const Node& node = graph_.node(id);
  std::vector<std::vector<ValueId>> result(node.results.size());
  if (node.op == Op::kScan) {
    for (size_t i = 0; i < static_cast<size_t>(node.attrs.as<ScanAttrs>().carries); ++i) {
      if (is_first_of_carry(node, node.results[i], node.operands[i]))
        result[i].push_back(node.operands[i]);
    }
    return result;
  }
  if (node.op == Op::kKernel && of_body(node).short_rows) return result;
  const int64_t points = num_points(node);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const ValueId operand = node.operands[i];
    if (!is_own(node, i)) continue;
    for (size_t r = 0; r < node.results.size(); ++r) {
      const TensorType& type = graph_.type(node.results[r]);
      if (type.num_elements() != points || type.bytes() != graph_.type(operand).bytes()) continue;
      if (std::find(result[r].begin(), result[r].end(), operand) == result[r].end())
        result[r].push_back(operand);
    }
  }
  return result;
}

std::vector<int64_t> node_positions(const Graph& graph) {
  std::vector<int64_t> positions(graph.node_capacity(), -1);
  int64_t next = 0;
  for (NodeId id : graph.nodes())
    positions[id.index] = next++;
  return positions;
}

bool update_can_be_in_place(const Graph& graph, NodeId update,
                            const std::vector<int64_t>* positions, PointReads& reads) {
  const ValueId target = graph.node(update).operands[0];
  const ValueId value = graph.node(update).operands[1];
  const NodeId writer = graph.def(value);
  if (!writer.valid() || graph.node(writer).op == Op::kConstant || graph.is_output(target))
    return false;
  for (const Use& use : graph.value(target).uses) {
    const bool is_update = graph.node(use.node).op == Op::kUpdate;
    if (is_update) {
      if (use.operand == 1) return false;  // some other update takes the old value
      continue;
    }
    if (use.node == writer || positions == nullptr) continue;
    if ((*positions)[use.node.index] > (*positions)[writer.index]) return false;
  }
  return reads.only_at_own_point(writer, target);
}

bool carry_can_be_in_place(const Graph& body, size_t carry, const std::vector<int64_t>& positions) {
  const ValueId next = body.outputs()[carry].value;
  const ValueId arg = body.inputs()[carry].value;
  const NodeId writer = body.def(next);
  const auto yields = [&](ValueId value) {
    return std::count_if(body.outputs().begin(), body.outputs().end(),
                         [&](const GraphOutput& output) { return output.value == value; });
  };
  if (!writer.valid() || body.node(writer).op != Op::kKernel || yields(next) != 1 ||
      yields(arg) != 0)
    return false;
  const UseList& uses = body.value(arg).uses;
  const bool read_before = std::all_of(uses.begin(), uses.end(), [&](const Use& use) {
    return positions[use.node.index] <= positions[writer.index];
  });
  return read_before && PointReads(body).only_at_own_point(writer, arg);
}

bool is_first_of_carry(const Node& loop, ValueId result, ValueId operand) {
  const auto carries = static_cast<std::ptrdiff_t>(loop.attrs.as<ScanAttrs>().carries);
  const auto carried = std::find(loop.results.begin(), loop.results.begin() + carries, result);
  const std::ptrdiff_t index = carried - loop.results.begin();
  return index < carries && loop.operands[static_cast<size_t>(index)] == operand &&
         std::count(loop.operands.begin(), loop.operands.end(), operand) == 1;
}

std::vector<ValueId> in_place_targets(const Graph& graph, const std::vector<int64_t>* positions) {
  std::vector<ValueId> targets(graph.value_capacity());
  PointReads reads(graph);
  for (NodeId id = graph.first_node(); id.valid(); id = graph.node(id).next) {
    const Node& node = graph.node(id);
    if (node.op != Op::kUpdate || targets[node.operands[1].index].valid()) continue;
    if (update_can_be_in_place(graph, id, positions, reads))
      targets[node.operands[1].index] = node.operands[0];
  }
  return targets;
}

namespace passes {
namespace {

class Copier {
 public:
  explicit Copier(Graph& graph) : graph_(graph) {}

  /// A kernel that copies a value, before a node (at the end when invalid).
  ValueId copy(ValueId value, NodeId before, Phase phase) {
    const TensorType type = graph_.type(value);
    auto body = std::make_shared<Graph>("copy");
    const ValueId arg = body->add_input(InputKind::kArg, type, "", graph_.value(value).name);
    const std::vector<TensorType> types = {type};
    const NodeId inner = body->add_node(
        Op::kReshape, {arg}, make_attrs(ReshapeAttrs{type.shape.to_vector()}), types, phase, {});
    body->add_output("", body->node(inner).results[0]);
    KernelAttrs attrs;
    attrs.label = "copy";
    const NodeId kernel =
        graph_.insert_node(before, Op::kKernel, {value}, make_attrs(attrs), types, phase, {},
                           graph_.value(value).name + ".copy", std::move(body));
    return graph_.node(kernel).results[0];
  }

 private:
  Graph& graph_;
};

bool is_updated(const Graph& graph, ValueId input) {
  const UseList& uses = graph.value(input).uses;
  return std::any_of(uses.begin(), uses.end(), [&](const Use& use) {
    return graph.node(use.node).op == Op::kUpdate && use.operand == 0;
  });
}

}  // namespace

Result<bool> in_place(Graph& graph, PassContext& context) {
  Copier copier(graph);
  bool changed = false;
  const std::vector<NodeId> nodes = graph.nodes();
  const NodeId first = nodes.empty() ? NodeId() : nodes.front();
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const ValueId value = graph.outputs()[i].value;
    if (!graph.is_input(value) || !is_updated(graph, value)) continue;
    graph.set_output(i, copier.copy(value, first, Phase::kForward));
    changed = true;
  }
  std::vector<NodeId> updates;
  for (NodeId id : nodes) {
    if (graph.node(id).op == Op::kUpdate) updates.push_back(id);
  }
  // Old values that another update takes are saved before anything is written.
  for (NodeId id : updates) {
    const ValueId value = graph.node(id).operands[1];
    if (!graph.is_input(value) || !is_updated(graph, value)) continue;
    graph.set_operand(id, 1, copier.copy(value, first, Phase::kForward));
    changed = true;
  }
  const std::vector<int64_t> positions = node_positions(graph);
  const std::vector<ValueId> targets = in_place_targets(graph, &positions);
  for (NodeId id : updates) {
    const ValueId target = graph.node(id).operands[0];
    const ValueId value = graph.node(id).operands[1];
    if (targets[value.index] == target) {
      context.count("updates in place");
      continue;
    }
    // The update stands after its copy, which is at the end.
    graph.set_operand(id, 1, copier.copy(value, {}, Phase::kUpdate));
    graph.move_before(id, {});
    context.count("updates by a copy");
    changed = true;
  }
  return changed;
}

}  // namespace passes
}  // namespace gradc
