// The checker of fused graphs. Deliberately by the same rules as fuse (fusion_form), on what came
// out rather than on what was meant.
#include "ir/op.h"
#include "passes/fusion_cost.h"
#include "passes/fusion_form.h"

namespace gradc {
namespace {

class FusedVerifier {
 public:
  explicit FusedVerifier(const Graph& graph) : graph_(graph) {}

  std::vector<std::string> run() {
    for (NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      if (node.op == Op::kKernel) {
        check_kernel(node);
      } else if (node.op == Op::kConstant) {
        if (is_splat_constant(node)) wrong(node, "a splat constant outside kernels");
      } else if (def(node.op).has_open_body()) {
        for (std::string& error : FusedVerifier(*node.body).run())
          errors_.push_back(fmt::format("in {}: {}", op_name(node.op), error));
      } else if (node.op != Op::kUpdate) {
        wrong(node, "is in no kernel");
      }
    }
    return std::move(errors_);
  }

 private:
  void wrong(const Node& node, std::string_view what) {
    std::string name(op_name(node.op));
    if (node.op == Op::kKernel) name += " @" + node.attrs.as<KernelAttrs>().label;
    errors_.push_back(fmt::format("{}: {}", name, what));
  }

  void check_kernel(const Node& node) {
    const Graph& body = *node.body;
    std::vector<ValueId> outputs;
    for (const GraphOutput& output : body.outputs())
      outputs.push_back(output.value);
    if (body.is_input(outputs.front())) wrong(node, "an output that is an argument");
    const std::vector<NodeId> nodes = body.nodes();
    FormFinder forms(body);
    const std::optional<KernelForm> form = forms.find(nodes, outputs);
    if (!form) return wrong(node, forms.reason());
    if (form->kind != node.attrs.as<KernelAttrs>().kind)
      wrong(node,
            fmt::format("is of kind {}", enum_names(form->kind)[static_cast<size_t>(form->kind)]));
    check_shapes(node, nodes, outputs, *form, forms);
    for (NodeId id : nodes) {
      const Node& inner = body.node(id);
      bool used = false;
      for (ValueId result : inner.results)
        used = used || body.has_uses(result);
      if (!used) wrong(node, fmt::format("its {} is not used", op_name(inner.op)));
    }
  }

  /// Values at the kernel's points have the points' shape, except for a last reshape, and for what
  /// an anchor gives beside its first result.
  void check_shapes(const Node& node, const std::vector<NodeId>& nodes,
                    const std::vector<ValueId>& outputs, const KernelForm& form,
                    const FormFinder& forms) {
    const Graph& body = *node.body;
    for (NodeId id : nodes) {
      for (ValueId result : body.node(id).results) {
        if (id == form.anchor && form.kind == KernelKind::kOpaque) continue;
        const PointClass point_class = forms.point_class(result);
        if (point_class == PointClass::kFree) continue;
        const Shape& expected = point_class == PointClass::kFull ? form.full() : form.per_row();
        if (body.type(result).shape == expected) continue;
        const bool last = body.node(id).op == Op::kReshape && body.value(result).uses.empty() &&
                          std::find(outputs.begin(), outputs.end(), result) != outputs.end();
        if (!last)
          wrong(node, fmt::format("%{} has not the points' shape", body.value(result).name));
      }
    }
  }

  const Graph& graph_;
  std::vector<std::string> errors_;
};

}  // namespace

std::vector<std::string> verify_fused(const Graph& graph) {
  return FusedVerifier(graph).run();
}

}  // namespace gradc
