// Doors to graphs: .gir text, and pipelines of passes over them; and to the text of kernels.
#include "codegen/kernel/kernel_parser.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"
#include "codegen/kernel/program_text.h"
#include "ir/interpreter.h"
#include "ir/op.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "ir/verifier.h"
#include "passes/offset_planner_csv.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "support/diagnostic_render.h"
#include "tests/fuzz/door.h"

namespace gradc::fuzz {

namespace {

constexpr int64_t kMaxNodes = 200;      // run, those of a loop's body once for each step
constexpr int64_t kMaxElements = 4096;  // of a tensor; the interpreter's ops cost up to n^2

/// Small enough that every pass and the interpreter take no time.
bool is_small(const Graph& graph, int64_t& nodes_left) {
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    if (--nodes_left < 0) return false;
    for (const ValueId result : node.results)
      if (graph.type(result).num_elements() > kMaxElements) return false;
    const int64_t runs = node.body ? def(node.op).body->runs(node.attrs) : 0;
    for (int64_t run = 0; run < runs; ++run)
      if (--nodes_left < 0 || !is_small(*node.body, nodes_left)) return false;
  }
  for (const GraphInput& input : graph.inputs())
    if (graph.type(input.value).num_elements() > kMaxElements) return false;
  return true;
}

bool is_small(const Graph& graph) {
  int64_t nodes = kMaxNodes;
  return is_small(graph, nodes);
}

/// Renders as the command would: places that lie outside the text would show here.
void render(const std::vector<Diagnostic>& diagnostics, std::string_view text) {
  SourceSet sources;
  sources.add(SourceFile("input", std::string(text)));
  require(!render_diagnostics(diagnostics, sources).empty(), "a failure says nothing");
}

void run(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    Tensor tensor(graph.type(input.value));
    for (int64_t i = 0; i < tensor.size(); ++i)
      tensor[i] = static_cast<double>(i % 3);
    inputs.push_back(std::move(tensor));
  }
  (void)interpret(graph, inputs);
}

}  // namespace

void graph_door(std::string_view bytes) {
  auto graphs = parse_graphs(bytes, "input");
  if (!graphs.ok()) return render(graphs.diagnostics(), bytes);
  for (const auto& graph : *graphs) {
    require(verify(*graph).empty(), "what was read verifies");
    const std::string text = print_graph(*graph);
    const auto again = parse_graph(text, "printed");
    require(again.ok(), "what was printed can be read", again.message() + "\n" + text);
    require(print_graph(**again) == text, "what was printed prints the same", text);
    if (is_small(*graph)) run(*graph);
  }
}

void passes_door(std::string_view bytes) {
  const size_t end = std::min(bytes.find('\n'), bytes.size());
  const std::string pipeline(bytes.substr(0, end));
  (void)parse_debug_counter(pipeline);
  const auto steps = parse_pipeline(pipeline);
  if (!steps.ok()) return render(steps.diagnostics(), pipeline);
  std::string_view text = bytes.substr(std::min(end + 1, bytes.size()));
  if (text.empty())
    text =
        "graph @g {\n  param %w : f32[3]\n  input %x : f32[3]\n  %0 = mul %x, %w : f32[3]\n"
        "  %1 = reduce_sum %0 {axes=[0]} : f32[]\n  return loss=%1\n}\n";
  const auto graph = parse_graph(text, "input");
  if (!graph.ok() || !is_small(**graph)) return;
  PassContext context;
  PassManager manager(*steps);
  const Status status = manager.run(**graph, context);
  if (!status.ok()) return render(status.diagnostics(), text);
  if (is_small(**graph)) run(**graph);
}

void kernel_door(std::string_view bytes) {
  const auto kernels = kernel::parse_kernels(bytes, "input");
  if (!kernels.ok()) return render(kernels.diagnostics(), bytes);
  for (const kernel::Kernel& one : *kernels) {
    const std::string text = kernel::to_string(one);
    const auto again = kernel::parse_kernel(text, "printed");
    require(again.ok(), "what was printed can be read", again.message() + "\n" + text);
    require(kernel::to_string(*again) == text, "what was printed prints the same", text);
    require(kernel::canonical_text(*again) == kernel::canonical_text(one),
            "what was printed is the same kernel", text);
    (void)kernel::verify(one);
  }
}

void program_door(std::string_view bytes) {
  const auto program = kernel::parse_program(bytes, "input");
  if (!program.ok()) return render(program.diagnostics(), bytes);
  (void)kernel::verify(*program);
  const std::string text = kernel::to_string(*program);
  const auto again = kernel::parse_program(text, "printed");
  require(again.ok(), "what was printed can be read", again.message() + "\n" + text);
  require(kernel::to_string(*again) == text, "what was printed prints the same", text);
}

void planner_door(std::string_view bytes) {
  const auto buffers = parse_buffers_csv(bytes, "input");
  if (!buffers.ok()) return render(buffers.diagnostics(), bytes);
  if (buffers->size() > 200) return;
  const auto plan = plan_offsets(*buffers);
  if (!plan.ok()) return render(plan.diagnostics(), bytes);
  const std::string wrong = verify_offsets(*buffers, plan->offsets, plan->bytes);
  require(wrong.empty(), "the plan is legal", wrong);
  require(plan->bytes >= plan->lower_bound, "the block is not below its lower bound");
  const std::string text = print_buffers_csv(*buffers, plan->offsets);
  const auto again = parse_buffers_csv(text, "printed");
  require(again.ok() && again->size() == buffers->size(), "what was printed can be read", text);
}

}  // namespace gradc::fuzz
