// Lowered graphs compiled and run on this machine: random fused graphs and whole training steps
// agree with the graph interpreter, and any number of threads gives the same bits.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_support.h"
#include "tests/unit/codegen/lower_support.h"
#include "tests/unit/passes/training_graphs.h"

#include <gtest/gtest.h>

#include <barrier>
#include <cstring>
#include <thread>

namespace gradc {
namespace {

template <class T>
void put(std::vector<std::byte>& bytes, const Tensor& t) {
  bytes.resize(t.data.size() * sizeof(T));
  for (size_t i = 0; i < t.data.size(); ++i) {
    const T x = static_cast<T>(t.data[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof(T));
  }
}

template <class T>
void get(const std::vector<std::byte>& bytes, Tensor& t) {
  for (size_t i = 0; i < t.data.size(); ++i) {
    T x{};
    std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
    t.data[i] = static_cast<double>(x);
  }
}

std::vector<std::byte> to_bytes(const Tensor& t) {
  std::vector<std::byte> bytes;
  if (t.type.dtype == DType::kF32) put<float>(bytes, t);
  if (t.type.dtype == DType::kF64) put<double>(bytes, t);
  if (t.type.dtype == DType::kI32) put<int32_t>(bytes, t);
  if (t.type.dtype == DType::kI64) put<int64_t>(bytes, t);
  if (t.type.dtype == DType::kU8 || t.type.dtype == DType::kBool) put<uint8_t>(bytes, t);
  EXPECT_FALSE(bytes.empty()) << to_string(t.type);
  return bytes;
}

Tensor from_bytes(const TensorType& type, const std::vector<std::byte>& bytes) {
  Tensor t(type);
  if (type.dtype == DType::kF32) get<float>(bytes, t);
  if (type.dtype == DType::kF64) get<double>(bytes, t);
  if (type.dtype == DType::kI32) get<int32_t>(bytes, t);
  if (type.dtype == DType::kI64) get<int64_t>(bytes, t);
  if (type.dtype == DType::kU8 || type.dtype == DType::kBool) get<uint8_t>(bytes, t);
  return t;
}

/// Runs the first entry with real threads that meet at real barriers.
void run_threads(const JitEntry& entry, std::vector<void*>& slots, int count) {
  const auto arena = test::aligned_bytes(entry.arena_bytes);
  std::memset(arena.get(), 0xff, static_cast<size_t>(entry.arena_bytes));  // NaN
  std::barrier<> meet(count);
  std::vector<std::jthread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      const auto scratch = test::aligned_bytes(entry.scratch_bytes);
      const auto wait = [](void* pool) { static_cast<std::barrier<>*>(pool)->arrive_and_wait(); };
      const test::ThreadView thread{i, count, wait, &meet, scratch.get()};
      entry.function(slots.data(), arena.get(), &thread);
    });
  }
}

using Memory = std::vector<std::vector<std::byte>>;

Memory run_compiled(const JitEntry& entry, const Graph& graph, const std::vector<Tensor>& inputs,
                    int threads) {
  Memory memory;
  for (const Tensor& t : inputs)
    memory.push_back(to_bytes(t));
  for (const GraphOutput& output : graph.outputs())
    memory.push_back(to_bytes(Tensor(graph.type(output.value))));
  std::vector<void*> slots;
  for (std::vector<std::byte>& bytes : memory)
    slots.push_back(bytes.data());
  run_threads(entry, slots, threads);
  return memory;
}

/// Empty when compiled code agrees with the interpreter on `reference`.
std::string compiled_difference(const Graph& reference, const Graph& graph, const MemoryPlan& plan,
                                const std::vector<Tensor>& inputs) {
  const auto expected = interpret(reference, inputs);
  if (!expected.ok()) return expected.message();
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  const TargetInfo target = TargetInfo::host();
  const auto program = kernel::lower("test", std::span(&entry, 1), target);
  if (!program.ok()) return program.message();
  const auto jit = jit_compile(*program, target);
  if (!jit.ok()) return jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const Memory memory = run_compiled(code, graph, inputs, 1);
  if (run_compiled(code, graph, inputs, 3) != memory) return "three threads give other bits";
  const testing::Tolerance tolerance{2e-4, 2e-4};
  for (size_t i = 0; i < graph.outputs().size(); ++i) {
    const Tensor actual =
        from_bytes(graph.type(graph.outputs()[i].value), memory[inputs.size() + i]);
    const std::string d = testing::tensor_difference(actual, expected->outputs[i], tolerance);
    if (!d.empty()) return graph.outputs()[i].name + ": " + d;
  }
  for (const auto& [name, value] : expected->updates) {
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      if (graph.inputs()[i].name != name) continue;
      const std::string d =
          testing::tensor_difference(from_bytes(value.type, memory[i]), value, tolerance);
      if (!d.empty()) return "update of " + name + ": " + d;
    }
  }
  return {};
}

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

std::string planned_difference(const Graph& graph, const std::vector<Tensor>& inputs) {
  const std::shared_ptr<Graph> fused = graph.clone();
  PassContext context;
  const Status status = run_passes(*fused, kPlanned, context);
  if (!status.ok() || !context.plan) return "the pipeline failed: " + status.message();
  std::string difference = compiled_difference(graph, *fused, *context.plan, inputs);
  if (!difference.empty()) difference += "\n" + print_graph(*fused);
  return difference;
}

TEST(LowerJit, RandomGraphsAgree) {
  for (uint64_t seed = 500; seed < 540; ++seed) {
    const auto graph = testing::random_graph(seed);
    ASSERT_EQ(planned_difference(*graph, testing::random_inputs(*graph, seed)), "") << seed;
  }
}

TEST(LowerJit, TrainingStepsAgree) {
  for (const auto& graph : test::all_training_graphs())
    EXPECT_EQ(planned_difference(*graph, test::random_inputs(*graph, 11)), "") << graph->name();
}

TEST(LowerJit, ConvolutionsOfEveryKindAgree) {
  struct Case {
    TensorType x, w;
    ConvAttrs attrs;
  };
  const Case cases[] = {
      {f32({4, 12, 12, 16}), f32({3, 3, 16, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}}},
      {f32({4, 13, 12, 16}), f32({3, 3, 16, 32}), {{2, 2}, {1, 1}, {1, 1}, {}, 1, {}}},
      {f32({3, 9, 9, 8}), f32({5, 5, 8, 24}), {}},
      {f32({4, 10, 10, 16}), f32({3, 3, 8, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 2, {}}},
      {f32({4, 10, 10, 32}), f32({3, 3, 1, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 32, {}}},
      {f32({4, 40, 40, 1}), f32({3, 3, 1, 16}), {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(to_string(c.x) + " * " + to_string(c.w));
    Graph graph("conv");
    Builder b(graph);
    const Val x = b.input(InputKind::kInput, c.x, "x", "x");
    const Val w = b.input(InputKind::kInput, c.w, "w", "w");
    const Val y = b.add(Op::kConv, {x, w}, make_attrs(c.attrs));
    ConvAttrs attrs = c.attrs;
    attrs.shape = c.x.shape.to_vector();
    const Val dx = b.add(Op::kConvInputGrad, {y * 0.01, w}, make_attrs(attrs));
    attrs.shape = c.w.shape.to_vector();
    const Val dw = b.add(Op::kConvFilterGrad, {x, y * 0.01}, make_attrs(attrs));
    graph.add_output("y", y.id());
    graph.add_output("dx", dx.id());
    graph.add_output("dw", dw.id());
    EXPECT_EQ(planned_difference(graph, test::random_inputs(graph, 2)), "");
  }
}

}  // namespace
}  // namespace gradc
