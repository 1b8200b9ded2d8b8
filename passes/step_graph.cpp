// Every value of the window's graph is fixed (the same whatever the window holds), stepwise (one of
// its axes is the steps) or now (what the window up to this step comes to: a loop's last carry). A
// rule per op says what one step of a stepwise value follows from; what has no rule is refused.
#include "passes/step_graph.h"

#include "ir/graph_copy.h"
#include "passes/step_values.h"

#include <algorithm>

namespace gradc {
namespace {

using steps::StepValues;
using steps::Val1;

class StepBuilder {
 public:
  explicit StepBuilder(const Graph& window) : window_(window), values_(window) {}

  StepGraph run() {
    StepGraph result;
    if (!begin()) return {nullptr, "its input has no steps", ""};
    std::vector<ValueId> wanted = {window_.outputs().front().value};
    for (const NodeId id : window_.nodes()) {
      const Node& node = window_.node(id);
      if (node.op != Op::kUpdate) continue;
      return {nullptr, "its states go from batch to batch",
              window_.location(window_.input_of(node.operands[0]).loc)};
    }
    for (const NodeId id : nodes_behind(window_, wanted, [](ValueId) { return false; }, {})) {
      if (!values_.moves(id)) continue;
      values_.builder().set_location(window_.location(window_.node(id).loc));
      if (const char* problem = values_.step(id); problem != nullptr) return refused(id, problem);
    }
    const Val1& output = values_.of(wanted.front());
    if (output.kind == Val1::Kind::kFixed || (output.stepwise() && output.axis != 1))
      return {nullptr, "its output has no steps", ""};
    values_.builder().graph().add_output(kStepOutput, output.val.id());
    result.graph = values_.take();
    return result;
  }

 private:
  bool begin() {
    const GraphInput* data = nullptr;
    for (const GraphInput& input : window_.inputs()) {
      if (input.kind != InputKind::kInput) continue;
      if (data != nullptr) return false;
      data = &input;
    }
    if (data == nullptr || window_.outputs().size() != 1) return false;
    const TensorType& type = window_.type(data->value);
    if (type.rank() < 2 || type.shape[0] != 1 || type.shape[1] < 2) return false;
    values_.begin(*data);
    return true;
  }

  StepGraph refused(NodeId id, const char* problem) const {
    const Node& node = window_.node(id);
    return {nullptr, std::string(op_name(node.op)) + ": " + problem, window_.location(node.loc)};
  }

  const Graph& window_;
  StepValues values_;
};

}  // namespace

StepGraph make_step_graph(const Graph& window) {
  return StepBuilder(window).run();
}

}  // namespace gradc
