// Lowers graphs with the simplest plan (every value its own place in the arena) and runs the kernel
// program by the kernel interpreter, for comparison with the graph interpreter.
#pragma once

#include "codegen/kernel/kernel_interpreter.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"
#include "codegen/kernel/lower.h"
#include "codegen/kernel/program_text.h"
#include "ir/interpreter.h"
#include "ir/op.h"
#include "tests/support/tensor_near.h"
#include "tests/unit/codegen/kernel_text.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace gradc::test {

/// Every node result in the arena, every graph output copied out, every update written late.
inline MemoryPlan plain_plan(const Graph& graph) {
  MemoryPlan plan;
  plan.storage.resize(graph.value_capacity());
  for (const NodeId id : graph.nodes()) {
    const Node& node = graph.node(id);
    for (const ValueId result : node.results) {
      Storage& storage = plan.storage[result.index];
      const bool dense = node.op == Op::kConstant;
      storage.kind = dense ? StorageKind::kConstant : StorageKind::kArena;
      if (dense) continue;
      storage.offset = plan.arena_bytes;
      plan.arena_bytes += (graph.type(result).bytes() + 63) / 64 * 64;
    }
  }
  for (size_t i = 0; i < graph.outputs().size(); ++i)
    plan.copied_outputs.push_back(i);
  return plan;
}

/// Slots: inputs by position, then outputs by position.
inline kernel::LowerEntry entry_of(const Graph& graph, const MemoryPlan& plan) {
  const auto slot = [&graph](kernel::SlotUse use, std::string_view name) -> int64_t {
    const size_t inputs = graph.inputs().size();
    if (use == kernel::SlotUse::kInput) {
      for (size_t i = 0; i < inputs; ++i) {
        if (graph.inputs()[i].name == name) return static_cast<int64_t>(i);
      }
    } else {
      for (size_t i = 0; i < graph.outputs().size(); ++i) {
        if (graph.outputs()[i].name == name) return static_cast<int64_t>(inputs + i);
      }
    }
    ADD_FAILURE() << "no slot for " << name;
    return 0;
  };
  return {"run", &graph, &plan, slot};
}

struct LoweredRun {
  kernel::Program program;
  std::string text;
  bool ok = false;
};

/// Lowers `graph` by `plan` and compares all outputs and updates with what the graph interpreter
/// says of `reference`, which has the same inputs and outputs.
inline LoweredRun expect_same(const Graph& reference, const Graph& graph, const MemoryPlan& plan,
                              const std::vector<Tensor>& inputs, const TargetInfo& target,
                              const testing::Tolerance& tolerance) {
  LoweredRun run;
  auto expected = interpret(reference, inputs);
  EXPECT_TRUE(expected.ok()) << expected.message();
  const kernel::LowerEntry entry = entry_of(graph, plan);
  auto program = kernel::lower("test", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message()
                            << (program.ok() || program.diagnostics()[0].notes.empty()
                                    ? std::string()
                                    : "\n" + program.diagnostics()[0].notes[0].message);
  if (!expected.ok() || !program.ok()) return run;
  run.program = program.take();
  run.text = kernel::to_string(run.program);
  const std::vector<Diagnostic> errors = kernel::verify(run.program);
  EXPECT_TRUE(errors.empty()) << errors.front().message << "\n" << run.text;
  EXPECT_EQ(testing::reading_back_problem(run.program.kernels), "");
  const auto again = kernel::parse_program(run.text, "printed");
  EXPECT_TRUE(again.ok()) << again.message() << "\n" << run.text;
  if (again.ok()) {
    EXPECT_EQ(kernel::to_string(*again), run.text);
    EXPECT_EQ(again->entries[0].steps, run.program.entries[0].steps);
  }
  std::vector<Tensor> memory = inputs;
  for (const GraphOutput& output : graph.outputs())
    memory.emplace_back(graph.type(output.value));
  std::vector<Tensor*> slots;
  for (Tensor& t : memory)
    slots.push_back(&t);
  kernel::interpret(run.program, run.program.entries[0], slots);
  run.ok = true;
  const auto compare = [&](const Tensor& actual, const Tensor& wanted, const std::string& name) {
    const std::string difference = testing::tensor_difference(actual, wanted, tolerance);
    if (!difference.empty()) run.ok = false;
    EXPECT_EQ(difference, "") << name << "\n" << run.text;
  };
  for (size_t i = 0; i < graph.outputs().size(); ++i)
    compare(memory[inputs.size() + i], expected->outputs[i], graph.outputs()[i].name);
  for (const auto& [name, value] : expected->updates) {
    for (size_t i = 0; i < graph.inputs().size(); ++i) {
      if (graph.inputs()[i].name == name) compare(memory[i], value, "update of " + name);
    }
  }
  return run;
}

/// The same for the graph itself, with the plain plan.
inline LoweredRun expect_same(const Graph& graph, const std::vector<Tensor>& inputs,
                              const TargetInfo& target = TargetInfo::generic_avx512(),
                              const testing::Tolerance& tolerance = {1e-9, 1e-9}) {
  return expect_same(graph, graph, plain_plan(graph), inputs, target, tolerance);
}

inline size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
    ++count;
  return count;
}

}  // namespace gradc::test
