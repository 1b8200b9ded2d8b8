// Replays stored results of PyTorch's autograd on recurrences built from raw ops
// (scripts/compare_torch_loops.py --store tests/peer_loops): loss and gradients.
#include "ir/interpreter.h"
#include "ir/parser.h"
#include "passes/pass_manager.h"
#include "passes/pipeline.h"
#include "runtime/dtype.h"
#include "runtime/safetensors.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace gradc::test {
namespace {

// Of the largest element.
constexpr double kBound = 1e-9;          // in double
constexpr double kCompiledBound = 2e-6;  // in f32

std::vector<std::string> stored_loops() {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator(source("tests/peer_loops"))) {
    if (entry.path().extension() == ".gir") result.push_back(entry.path().stem().string());
  }
  std::sort(result.begin(), result.end());
  return result;
}

Tensor tensor_of(const rt::SafetensorsFile& file, const std::string& name, const TensorType& type) {
  Tensor tensor(type);
  const rt::Array* array = file.find(name.c_str());
  EXPECT_TRUE(array != nullptr && static_cast<int64_t>(array->count()) == tensor.size()) << name;
  if (array == nullptr) return tensor;
  for (size_t i = 0; i < tensor.data.size(); ++i)
    tensor.data[i] = rt::load_f64(array->data.data(), array->dtype, i);
  return tensor;
}

double largest_difference(const Tensor& actual, const Tensor& expected) {
  double scale = 1e-12, difference = 0.0;
  for (int64_t i = 0; i < expected.size(); ++i) {
    scale = std::max(scale, std::abs(expected[i]));
    difference = std::max(difference, std::abs(actual[i] - expected[i]));
  }
  return difference / scale;
}

class PeerLoops : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string base = source("tests/peer_loops/" + GetParam());
    auto graph = parse_graph(read_file(base + ".gir"), base + ".gir");
    ASSERT_TRUE(graph.ok()) << graph.message();
    graph_ = graph.take();
    ASSERT_TRUE(rt::read_safetensors((base + ".safetensors").c_str(), &stored_).ok());
    for (const GraphInput& input : graph_->inputs())
      inputs_.push_back(tensor_of(stored_, input.name, graph_->type(input.value)));
  }

  void expect_results(const Graph& graph, const std::vector<Tensor>& outputs, double bound) {
    ASSERT_EQ(outputs.size(), graph.outputs().size());
    EXPECT_GE(outputs.size(), 6U);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::string& name = graph.outputs()[i].name;
      const Tensor expected = tensor_of(stored_, "expected/" + name, outputs[i].type);
      EXPECT_LE(largest_difference(outputs[i], expected), bound) << name;
    }
  }

  std::shared_ptr<Graph> graph_;
  rt::SafetensorsFile stored_;
  std::vector<Tensor> inputs_;
};

TEST_P(PeerLoops, InterpreterAgreesBeforeAndAfterThePasses) {
  for (const std::string& pipeline :
       {std::string("differentiate"), pipeline_text(PipelineKind::kGradients)}) {
    SCOPED_TRACE(pipeline);
    const auto graph = graph_->clone();
    PassContext context;
    const Status status = run_passes(*graph, pipeline, context);
    ASSERT_TRUE(status.ok()) << status.message();
    const auto result = interpret(*graph, inputs_);
    ASSERT_TRUE(result.ok()) << result.message();
    expect_results(*graph, result->outputs, kBound);
  }
}

TEST_P(PeerLoops, CompiledCodeAgrees) {
  PassContext context;
  const Status status = run_passes(*graph_, pipeline_text(PipelineKind::kGradients), context);
  ASSERT_TRUE(status.ok()) << status.message();
  const kernel::LowerEntry entry = entry_of(*graph_, *context.plan);
  const TargetInfo target = TargetInfo::host();
  const auto program = kernel::lower("loops", std::span(&entry, 1), target);
  ASSERT_TRUE(program.ok()) << program.message();
  const auto jit = jit_compile(*program, target, {});
  ASSERT_TRUE(jit.ok()) << jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const Memory memory = run_compiled(code, *graph_, inputs_, 1);
  for (const int threads : {2, 3})
    EXPECT_EQ(run_compiled(code, *graph_, inputs_, threads), memory) << threads << " threads";
  std::vector<Tensor> outputs;
  for (size_t i = 0; i < graph_->outputs().size(); ++i)
    outputs.push_back(
        from_bytes(graph_->type(graph_->outputs()[i].value), memory[inputs_.size() + i]));
  expect_results(*graph_, outputs, kCompiledBound);
}

INSTANTIATE_TEST_SUITE_P(Stored, PeerLoops, ::testing::ValuesIn(stored_loops()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace gradc::test
