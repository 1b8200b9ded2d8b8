// Lowered programs through the JIT against the graph interpreter, and bit for bit against
// themselves with other numbers of threads: every primitive's samples, and whole training steps
// through the planned pipeline.
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/support/op_samples.h"
#include "tests/unit/codegen/jit_support.h"
#include "tests/unit/codegen/lower_support.h"
#include "tests/unit/passes/training_graphs.h"

#include <barrier>
#include <cstring>
#include <thread>

namespace gradc {
namespace {

/// Elements as memory holds them, and back.
std::vector<std::byte> to_bytes(const Tensor& tensor) {
  std::vector<std::byte> bytes(static_cast<size_t>(tensor.type.bytes()) + 64);
  const auto put = [&]<class T>(T) {
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      const T value = static_cast<T>(tensor.data[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
  };
  switch (tensor.type.dtype) {
    case DType::kF32:
      put(float{});
      break;
    case DType::kF64:
      put(double{});
      break;
    case DType::kI32:
      put(int32_t{});
      break;
    case DType::kI64:
      put(int64_t{});
      break;
    case DType::kU8:
    case DType::kBool:
      put(uint8_t{});
      break;
    case DType::kBF16:
    case DType::kF16:
      ADD_FAILURE() << "no half-width tensors here";
      break;
  }
  return bytes;
}

void from_bytes(const std::vector<std::byte>& bytes, Tensor& tensor) {
  const auto get = [&]<class T>(T value) {
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
      tensor.data[i] = static_cast<double>(value);
    }
  };
  switch (tensor.type.dtype) {
    case DType::kF32:
      get(float{});
      break;
    case DType::kF64:
      get(double{});
      break;
    case DType::kI32:
      get(int32_t{});
      break;
    case DType::kI64:
      get(int64_t{});
      break;
    case DType::kU8:
    case DType::kBool:
      get(uint8_t{});
      break;
    case DType::kBF16:
    case DType::kF16:
      break;
  }
}

/// Runs the entry on all threads of a small pool; arena and scratch hold NaNs before.
std::vector<Tensor> run_threads(const JitEntry& entry, const std::vector<Tensor>& memory,
                                int threads) {
  std::vector<std::vector<std::byte>> bytes;
  std::vector<void*> slots;
  for (const Tensor& tensor : memory)
    bytes.push_back(to_bytes(tensor));
  for (auto& b : bytes)
    slots.push_back(b.data());
  const auto arena = test::aligned_bytes(entry.table.arena_bytes + 64);
  std::memset(arena.get(), 0xFF, static_cast<size_t>(entry.table.arena_bytes));
  std::barrier<> meeting(threads);
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      const auto scratch = test::aligned_bytes(entry.table.scratch_bytes + 64);
      std::memset(scratch.get(), 0xFF, static_cast<size_t>(entry.table.scratch_bytes));
      const auto wait = [](void* p) { static_cast<std::barrier<>*>(p)->arrive_and_wait(); };
      test::run_entry(entry, slots.data(), arena.get(),
                      {t, threads, wait, &meeting, scratch.get()});
    });
  }
  for (std::thread& thread : pool)
    thread.join();
  std::vector<Tensor> result = memory;
  for (size_t i = 0; i < result.size(); ++i)
    from_bytes(bytes[i], result[i]);
  return result;
}

Tensor rounded_to_memory(const Tensor& tensor) {
  Tensor copy = tensor;
  from_bytes(to_bytes(tensor), copy);
  return copy;
}

/// Lowers and compiles `graph`; compares outputs and updates with the interpreter on `reference`.
bool expect_compiled(const Graph& reference, const Graph& graph, const MemoryPlan& plan,
                     std::vector<Tensor> inputs, const testing::Tolerance& tolerance) {
  const TargetInfo target = TargetInfo::host();
  for (Tensor& input : inputs)
    input = rounded_to_memory(input);
  auto expected = interpret(reference, inputs);
  const kernel::LowerEntry entry = test::entry_of(graph, plan);
  auto program = kernel::lower("test", std::span(&entry, 1), target);
  EXPECT_TRUE(expected.ok() && program.ok()) << program.message();
  if (!expected.ok() || !program.ok()) return false;
  EXPECT_EQ(testing::reading_back_problem(program->kernels), "");
  JitOptions options;
  options.threads = 1;
  auto compiled = jit_compile(*program, target, options);
  EXPECT_TRUE(compiled.ok()) << compiled.message();
  if (!compiled.ok()) return false;
  std::vector<Tensor> memory = inputs;
  for (const GraphOutput& output : graph.outputs())
    memory.emplace_back(graph.type(output.value));
  const JitEntry& compiled_entry = (*compiled)->entries().front();
  const std::vector<Tensor> one = run_threads(compiled_entry, memory, 1);
  const std::vector<Tensor> three = run_threads(compiled_entry, memory, 3);
  bool same = true;
  const auto compare = [&](size_t slot, const Tensor& wanted, const std::string& name) {
    const std::string difference = testing::tensor_difference(one[slot], wanted, tolerance);
    EXPECT_EQ(difference, "") << name << "\n" << kernel::to_string(*program);
    const std::string threads = testing::tensor_difference(three[slot], one[slot], {0, 0});
    EXPECT_EQ(threads, "") << name << " with three threads\n" << kernel::to_string(*program);
    same = same && difference.empty() && threads.empty();
  };
  for (size_t i = 0; i < graph.outputs().size(); ++i)
    compare(inputs.size() + i, expected->outputs[i], graph.outputs()[i].name);
  for (const auto& [name, value] : expected->updates) {
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      if (graph.inputs()[i].name == name) compare(i, value, "update of " + name);
    }
  }
  return same;
}

bool has_half_width(const Graph& graph) {
  const auto half = [](DType d) { return d == DType::kBF16 || d == DType::kF16; };
  for (const NodeId id : graph.nodes()) {
    for (const ValueId v : graph.node(id).results) {
      if (half(graph.type(v).dtype)) return true;
    }
  }
  return false;
}

TEST(JitPrograms, EveryPrimitiveAgreesWithTheInterpreter) {
  int failures = 0;
  for (const OpDef* op : all_ops()) {
    if (op->lowering == Lowering::kComposite || op->lowering == Lowering::kStructure) continue;
    const std::vector<Sample> samples = op->samples();
    for (size_t i = 0; i < samples.size() && failures < 5; ++i) {
      SCOPED_TRACE(test::sample_name(*op, i));
      test::SampleGraph sample(samples[i]);
      const std::vector<Val> results =
          sample.builder.add_multi(op->op, sample.operands, test::sample_attrs(*op, samples[i]));
      for (const Val& v : results)
        sample.graph->add_output("out" + std::to_string(v.id().index), v.id());
      if (has_half_width(*sample.graph)) continue;
      const Graph& graph = *sample.graph;
      if (!expect_compiled(graph, graph, test::plain_plan(graph),
                           test::draw_operands(samples[i], 7), {2e-5, 2e-5}))
        ++failures;
    }
  }
}

TEST(JitPrograms, TrainingStepsAgreeWithTheInterpreter) {
  constexpr const char* kPipeline =
      "(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";
  for (const auto& graph : test::all_training_graphs()) {
    SCOPED_TRACE(graph->name());
    const auto fused = graph->clone();
    PassContext context;
    const Status status = run_passes(*fused, kPipeline, context);
    ASSERT_TRUE(status.ok()) << status.message();
    expect_compiled(*graph, *fused, *context.plan, test::random_inputs(*graph, 11), {2e-4, 2e-5});
  }
}

}  // namespace
}  // namespace gradc
