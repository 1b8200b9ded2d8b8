#include "exchange/onnx/emit.h"

#include "ir/expand.h"
#include "ir/op.h"

#include "exchange/onnx/rules.h"

#include <algorithm>

namespace gradc::exchange::onnx {
namespace {

Diagnostic no_batch() {
  return make_error(DiagKind::kUnsupported, {}, "an extent does not follow the batch");
}

void collect_problems(const gradc::Graph& graph, std::vector<Diagnostic>& problems) {
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (node.body != nullptr) collect_problems(*node.body, problems);
    if (find_rule(node.op) != nullptr) continue;
    const std::string& where = graph.location(node.loc);
    problems.push_back(make_error(DiagKind::kUnsupported, {}, "the op {} cannot be written{}{}",
                                  def(node.op).name, where.empty() ? "" : ": ", where));
  }
}

}  // namespace

Status check_ops(const gradc::Graph& graph) {
  std::vector<Diagnostic> problems;
  collect_problems(graph, problems);
  if (!problems.empty()) return Failure(std::move(problems));
  return Ok{};
}

bool are_twins(const gradc::Graph& first, const gradc::Graph& second) {
  const std::vector<NodeId> one = first.nodes();
  const std::vector<NodeId> other = second.nodes();
  if (one.size() != other.size() || first.inputs().size() != second.inputs().size()) return false;
  for (size_t i = 0; i < one.size(); ++i) {
    const Node& a = first.node(one[i]);
    const Node& b = second.node(other[i]);
    if (a.op != b.op || a.operands != b.operands || a.results != b.results) return false;
    if ((a.body == nullptr) != (b.body == nullptr)) return false;
    if (a.body != nullptr && !are_twins(*a.body, *b.body)) return false;
  }
  return true;
}

void expand_for_onnx(gradc::Graph& graph) {
  for (bool changed = true; changed;) {
    changed = false;
    for (const NodeId id : graph.nodes()) {
      const Node& node = graph.node(id);
      if (node.body != nullptr) expand_for_onnx(*node.body);
      if (find_rule(node.op) != nullptr || !has_expansion(graph, id)) continue;
      expand_node(graph, id);
      changed = true;
    }
  }
}

Emitter::Emitter(Graph& out, Twin twin, std::string batch)
    : out_(out), twin_(twin), batch_(std::move(batch)) {}

Status Emitter::run() {
  const std::vector<NodeId> first = twin_.first.nodes();
  const std::vector<NodeId> second = twin_.second.nodes();
  for (size_t i = 0; i < first.size(); ++i)
    GRADC_TRY_STATUS(emit(first[i], second[i]));
  return Ok{};
}

Status Emitter::emit(NodeId first, NodeId second) {
  const Node& node = twin_.first.node(first);
  return find_rule(node.op)->emit(*this, node, twin_.second.node(second));
}

Result<Extents> Emitter::extents(std::span<const int64_t> first,
                                 std::span<const int64_t> second) const {
  if (first.size() != second.size()) return no_batch();
  Extents all;
  for (size_t i = 0; i < first.size(); ++i) {
    if (first[i] == second[i]) {
      all.push_back({first[i], false});
    } else if (first[i] % twin_.first_batch == 0 &&
               first[i] / twin_.first_batch * twin_.second_batch == second[i]) {
      all.push_back({first[i] / twin_.first_batch, true});
    } else {
      return no_batch();
    }
  }
  return all;
}

Result<Extents> Emitter::extents_of(ValueId value) const {
  return extents(twin_.first.type(value).shape.dims(), twin_.second.type(value).shape.dims());
}

std::string Emitter::extents_value(const Extents& extents, bool reshape) {
  const auto follows =
      std::count_if(extents.begin(), extents.end(), [](const Extent& e) { return e.per_batch; });
  const bool has_none =
      std::any_of(extents.begin(), extents.end(), [](const Extent& e) { return e.value == 0; });
  if (follows == 0 || (follows == 1 && reshape && !has_none)) {
    Ints values;
    for (const Extent& extent : extents)
      values.push_back(extent.per_batch ? -1 : extent.value);
    return out_.ints(values);
  }
  Names parts;
  for (const Extent& extent : extents) {
    if (!extent.per_batch) {
      parts.push_back(out_.ints({extent.value}));
    } else if (extent.value == 1) {
      parts.push_back(batch_);
    } else {
      parts.push_back(out_.add("Mul", {batch_, out_.ints({extent.value})}));
    }
  }
  return out_.add("Concat", parts, {{"axis", int64_t{0}}}, "shape");
}

Result<std::string> Emitter::full(ValueId value) {
  const auto found = full_.find(value.index);
  if (found != full_.end()) return found->second;
  const auto thin = thin_.find(value.index);
  if (thin == thin_.end())
    return make_error(DiagKind::kUnsupported, {}, "the value {} has no name", hint(value));
  GRADC_TRY(const Extents wanted, extents_of(value));
  std::string name = thin->second.name;
  if (!wanted.empty())
    name = out_.add("Expand", {name, extents_value(wanted, false)}, {}, hint(value));
  set(value, name);
  return name;
}

Result<std::string> Emitter::thin_or_full(ValueId value) {
  const auto thin = thin_.find(value.index);
  if (thin != thin_.end()) return thin->second.name;
  return full(value);
}

std::string Emitter::to_first(const std::string& name, int rank) {
  Ints perm = {0, rank - 1};
  for (int64_t axis = 1; axis + 1 < rank; ++axis)
    perm.push_back(axis);
  return out_.add("Transpose", {name}, {{"perm", perm}});
}

std::string Emitter::to_last(const std::string& name, int rank, std::string_view hint) {
  Ints perm = {0};
  for (int64_t axis = 2; axis < rank; ++axis)
    perm.push_back(axis);
  perm.push_back(1);
  return out_.add("Transpose", {name}, {{"perm", perm}}, hint);
}

}  // namespace gradc::exchange::onnx
