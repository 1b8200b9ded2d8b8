#include "tests/bits/graph_bits.h"

#include "ir/builder.h"
#include "passes/pass_manager.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace gradc::bits {

using testing::RandomEntry;

namespace {

/// Some values become outputs, and the sum of the squares of others.
void add_consumers(Graph& graph, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::vector<ValueId> values;
  for (const NodeId id : graph.nodes()) {
    for (const ValueId result : graph.node(id).results) {
      if (graph.type(result).dtype == DType::kF32) values.push_back(result);
    }
  }
  if (values.empty()) return;
  for (int i = 0; i < 4; ++i) {
    const ValueId value = values[engine() % values.size()];
    Builder builder(graph);
    builder.set_phase(graph.def(value).valid() ? graph.node(graph.def(value)).phase
                                               : Phase::kForward);
    ValueId output = value;
    if (i % 2 == 1) {
      std::vector<int64_t> axes(static_cast<size_t>(graph.type(value).rank()));
      std::iota(axes.begin(), axes.end(), 0);
      const Val x = builder.wrap(value);
      output = reduce_sum(x * x, axes).id();
    }
    graph.add_output(fmt::format("further{}", i), output);
  }
}

}  // namespace

Planned planned(const RandomEntry& entry, bool more) {
  Planned p{entry.seed, entry.graph->clone(), {}};
  if (more) add_consumers(*p.graph, entry.seed);
  PassContext context(entry.options);
  const Status status = run_passes(*p.graph, pipeline_text(entry.kind), context);
  EXPECT_TRUE(status.ok()) << status.message();
  p.plan = std::move(context.plan);
  return p;
}

namespace {

Bits bits_of(const Planned& p, const JitEntry& code) {
  const std::vector<Tensor> inputs = testing::entry_inputs(*p.graph, p.seed);
  const test::Memory memory = test::run_compiled(code, *p.graph, inputs, 1);
  EXPECT_TRUE(test::run_compiled(code, *p.graph, inputs, 3) == memory)
      << "seed " << p.seed << ": three threads give other bits";
  Bits bits;
  for (size_t i = 0; i < p.graph->outputs().size(); ++i)
    bits[p.graph->outputs()[i].name] = memory[inputs.size() + i];
  for (const NodeId id : p.graph->nodes()) {
    const Node& node = p.graph->node(id);
    if (node.op != Op::kUpdate) continue;
    const size_t slot = p.graph->value(node.operands[0]).index;
    bits["update of " + p.graph->inputs()[slot].name] = memory[slot];
  }
  return bits;
}

}  // namespace

std::vector<Bits> run(const std::vector<Planned>& batch, const TargetInfo& target) {
  std::vector<kernel::LowerEntry> entries;
  for (const Planned& p : batch) {
    entries.push_back(test::entry_of(*p.graph, *p.plan));
    entries.back().name = fmt::format("run_{}", entries.size());
  }
  const auto program = kernel::lower("bits", entries, target);
  EXPECT_TRUE(program.ok()) << program.message();
  if (!program.ok()) return {};
  JitOptions options;
  options.threads = 1;
  options.verify = true;
  const auto jit = jit_compile(*program, target, options);
  EXPECT_TRUE(jit.ok()) << jit.message();
  if (!jit.ok()) return {};
  std::vector<Bits> all;
  for (size_t i = 0; i < batch.size(); ++i)
    all.push_back(bits_of(batch[i], (*jit)->entries()[i]));
  return all;
}

void expect_equal(const Bits& wanted, const Bits& actual, const std::string& what) {
  for (const auto& [name, bytes] : wanted) {
    const auto found = actual.find(name);
    ASSERT_TRUE(found != actual.end()) << what << ": " << name << " is missing";
    EXPECT_TRUE(found->second == bytes) << what << ": " << name << " has other bits";
  }
}

}  // namespace gradc::bits
