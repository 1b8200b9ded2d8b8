// 300 random graphs and 100 with loops: the bits of every output and update depend on nothing else.
// Each graph is compiled as it is, and with further outputs and consumers of its values; for this
// machine and, if that has more, for AVX2. What both have in common is equal to the bit, with one
// thread or three.
#include "ir/builder.h"
#include "passes/pass_manager.h"
#include "tests/differential/random_entry.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

namespace gradc {
namespace {

using testing::RandomEntry;
using Bits = std::map<std::string, std::vector<std::byte>>;

constexpr uint64_t kBlocks = 15;
constexpr uint64_t kPerBlock = 20;

struct Planned {
  uint64_t seed = 0;
  std::shared_ptr<Graph> graph;
  std::optional<MemoryPlan> plan;
};

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

Planned planned(const RandomEntry& entry, bool more) {
  Planned p{entry.seed, entry.graph->clone(), {}};
  if (more) add_consumers(*p.graph, entry.seed);
  PassContext context(entry.options);
  const Status status = run_passes(*p.graph, pipeline_text(entry.kind), context);
  EXPECT_TRUE(status.ok()) << status.message();
  p.plan = std::move(context.plan);
  return p;
}

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

/// AVX2 where this machine has more.
std::optional<TargetInfo> narrower() {
  const TargetInfo host = TargetInfo::host();
  const TargetInfo avx2 = TargetInfo::generic_avx2();
  if (host.triple.substr(0, 6) != "x86_64" || host.vector_bytes <= avx2.vector_bytes)
    return std::nullopt;
  return avx2;
}

class Bits300 : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Bits300, DependOnNothingElse) {
  const uint64_t first = GetParam() * kPerBlock;
  std::vector<RandomEntry> entries;
  std::vector<Planned> plain, more;
  const char* only = std::getenv("GRADC_SEED");  // for debugging: this one alone
  for (uint64_t seed = first; seed < first + kPerBlock; ++seed) {
    if (only != nullptr && seed != std::strtoull(only, nullptr, 10)) continue;
    entries.push_back(testing::random_entry(seed));
    plain.push_back(planned(entries.back(), false));
    more.push_back(planned(entries.back(), true));
  }
  const std::vector<Bits> wanted = run(plain, TargetInfo::host());
  const std::vector<Bits> with_more = run(more, TargetInfo::host());
  ASSERT_EQ(wanted.size(), with_more.size());
  for (size_t i = 0; i < wanted.size(); ++i)
    expect_equal(wanted[i], with_more[i],
                 fmt::format("seed {}, with further outputs", entries[i].seed));
  const std::optional<TargetInfo> other = narrower();
  if (!other) return;
  const std::vector<Bits> by_other = run(more, *other);
  for (size_t i = 0; i < by_other.size(); ++i)
    expect_equal(with_more[i], by_other[i], fmt::format("seed {}, by AVX2", entries[i].seed));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Bits300, ::testing::Range(uint64_t{0}, kBlocks));
INSTANTIATE_TEST_SUITE_P(Loops, Bits300,
                         ::testing::Range(testing::kFirstLoopSeed / kPerBlock,
                                          testing::kFirstLoopSeed / kPerBlock + 5));

}  // namespace
}  // namespace gradc
