// pack_captures - lays out in panels, before a loop, the matrices that every step multiplies by.
//
//   matmul(h, U)      of each step   ->   before the loop: P[panel, k, column] = U[k, panel column]
//                                         in each step:    matmul(h, view of P)
//
// A product reads its right operand panel by panel, k after k. Rows of a matrix as it lies are far
// apart, so that each step would copy it first; a loop of T steps copies it once. The numbers, and
// the order in which they are added up, stay the same.
#include "ir/op_attrs.h"
#include "ir/replacement.h"
#include "passes/loops.h"
#include "passes/passes.h"

#include <array>
#include <map>
#include <utility>
#include <vector>

namespace gradc::passes {

namespace {

constexpr int64_t kFewSteps = 4;            // a copy has to pay
constexpr int64_t kThinProduct = 4;         // rows: below, k may be added in lanes
constexpr int64_t kFirstCache = 16 * 1024;  // bytes: a smaller matrix is near as it lies
constexpr int64_t kLanes = 16;

/// Columns of a panel: whole registers, four of the widest if possible; 0 where there is no such
/// number.
int64_t panel_columns(int64_t columns) {
  constexpr std::array<int64_t, 6> kGood = {64, 80, 48, 96, 112, 32};
  for (const int64_t width : kGood) {
    if (columns % width == 0) return width;
  }
  return columns % kLanes == 0 ? kLanes : 0;
}

class Packer {
 public:
  Packer(Graph& graph, NodeId node) : graph_(graph), node_(node), loop_(graph, node) {}

  bool run() {
    if (loop_.attrs().steps < kFewSteps) return false;
    body_ = loop_.body().clone();
    for (const NodeId id : body_->nodes())
      pack(id);
    if (packed_.empty()) return false;
    rebuild();
    return true;
  }

 private:
  /// The layout of one product's right operand.
  struct Layout {
    size_t operand = 0;  ///< of the loop
    bool transposed = false;
    bool operator<(const Layout& other) const {
      return std::pair(operand, transposed) < std::pair(other.operand, other.transposed);
    }
  };

  /// U as [panels, k, columns of a panel].
  static Val panels(Val u, bool transposed, int64_t width) {
    const int64_t rows = u.shape()[0], columns = u.shape()[1];
    if (transposed) return transpose(reshape(u, Shape{rows / width, width, columns}), {0, 2, 1});
    return transpose(reshape(u, Shape{rows, columns / width, width}), {1, 0, 2});
  }

  void pack(NodeId id) {
    const Node node = body_->node(id);
    if (node.op != Op::kMatmul) return;
    auto attrs = node.attrs.as<MatmulAttrs>();
    const TensorType u = body_->type(node.operands[1]);
    const Shape result = body_->type(node.results[0]).shape;
    const size_t index =
        body_->is_input(node.operands[1]) ? body_->value(node.operands[1]).index : SIZE_MAX;
    if (index == SIZE_MAX || !loop_.is_capture(index) || u.rank() != 2) return;
    const int64_t width = panel_columns(result[1]);
    if (width == 0 || result[0] < kThinProduct || u.bytes() < kFirstCache) return;
    if (result[1] == width && !attrs.transpose_b) return;  // one panel, as it lies
    Builder inner(*body_);
    inner.set_insertion_point(id);
    inner.set_location(node.loc);
    const Layout layout{index, attrs.transpose_b};
    auto [it, is_new] = packed_.try_emplace(layout);
    if (is_new) it->second = panels(inner.wrap(node.operands[1]), layout.transposed, width).id();
    const Val view = reshape(transpose(inner.wrap(it->second), {1, 0, 2}),
                             Shape{u.num_elements() / result[1], result[1]});
    attrs.transpose_b = false;
    const Val product =
        inner.add(Op::kMatmul, {inner.wrap(node.operands[0]), view}, make_attrs(attrs));
    body_->replace_all_uses(node.results[0], product.id());
    body_->set_name_hint(product.id(), body_->value(node.results[0]).name);
    body_->erase(id);
    widths_[layout] = width;
  }

  void rebuild() {
    graph_.set_body(node_, body_);
    const LoopView loop(graph_, node_);
    Builder builder(graph_);
    builder.set_insertion_point(node_);
    builder.set_phase(graph_.node(node_).phase);
    builder.set_location(graph_.node(node_).loc);
    Replacement replacement(graph_, node_);
    LoopChange change;
    for (const auto& [layout, value] : packed_) {
      const Val u = builder.wrap(loop.operand(layout.operand));
      change.wholes[value] = panels(u, layout.transposed, widths_.at(layout));
    }
    for (size_t i = 0; i < loop.num_carries(); ++i)
      change.carries.push_back(i);
    for (size_t i = 0; i < loop.num_outputs(); ++i)
      change.outputs.push_back(loop.yielded(i));
    const NewLoop made = rebuild_loop(builder, loop, change);
    for (size_t i = 0; i < loop.num_carries(); ++i)
      replacement.put(loop.last(i), made.carries[i].id());
    for (size_t i = 0; i < loop.num_outputs(); ++i)
      replacement.put(loop.stacked(i), made.outputs[i].id());
    replacement.finish();
  }

  Graph& graph_;
  NodeId node_;
  LoopView loop_;
  std::shared_ptr<Graph> body_;
  std::map<Layout, ValueId> packed_;  ///< values of the body
  std::map<Layout, int64_t> widths_;
};

}  // namespace

Result<bool> pack_captures(Graph& graph, PassContext& context) {
  bool changed = false;
  for (NodeId id : loops_of(graph)) {
    if (!context.may_rewrite()) continue;
    if (!Packer(graph, id).run()) continue;
    context.count("loops with packed matrices");
    changed = true;
  }
  return changed;
}

}  // namespace gradc::passes
