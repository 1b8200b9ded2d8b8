// Random graphs, 2,900 in the normal run, 400 with loops, 300 with products of bf16, f16 and f64,
// 200 with attention. For each: every pass alone and every pass of the entry's standard pipeline,
// one after the other, leaves the interpreter's numbers as they are; compiled code computes them
// within bounds of fp32, and three threads the same bits as one; every fifth graph on every
// instruction set of this machine: SSE within the same bounds, AVX2 with the bits of AVX-512. A
// failure prints the smallest graph found on which it still happens.
//
// Bounds. Let `noise` be the largest move of an element of that tensor when every rounding op of
// the unoptimised graph, loops written out, is off by up to 5e-7 (relative), and M its largest
// magnitude.
//   passes:   1e-10 M + 1e-6 noise  (doubles; constant_fold 1.2e-7 M + noise: constants are
//   rounded) compiled: 2e-6 M + 4 noise      (fp32: rounding 6e-8, vector math up to 4 ULP)
// What is rounded to bf16 moves by up to 2^-7, 4 times what one rounding takes (f16: 2^-10).
#include "ir/contraction_types.h"
#include "ir/op.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/differential/random_entry.h"
#include "tests/support/noise.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace gradc {
namespace {

using testing::Bound;
using testing::NamedNumbers;
using testing::RandomEntry;

constexpr uint64_t kBlocks = 58;
constexpr uint64_t kPerBlock = 50;    // 2,900 graphs in all
constexpr uint64_t kPerProgram = 10;  // compiled together
constexpr double kNoise = 5e-7;

/// What was checked, printed when the program ends.
struct Totals {
  int graphs = 0;
  int nodes = 0;
  int passes = 0;  ///< runs of a pass that changed a graph
  int numbers = 0;
  int loops = 0;
  int products = 0;  ///< contractions that multiply in another type than f32
  int loose = 0;     ///< tensors where the noise is over 1 % of the magnitude
  double worst = 0.0;
  std::map<std::string, int> sets;  ///< graphs by instruction set
  std::map<std::string, int> kinds;
  std::set<Op> ops;
};

class PrintTotals : public ::testing::Environment {
 public:
  static Totals totals;
  void TearDown() override {
    fmt::print(
        "random graphs: {} ({} forward, {} gradients, {} training steps, {} second derivatives), "
        "{} "
        "nodes of {} ops ({} loops) before compilation;\n  each unchanged by every pass ({} "
        "changes checked) "
        "and "
        "equal to compiled code in {} tensors (largest difference {:.3f} of its bound; {} tensors "
        "with a bound over 1 %); on AVX2 with the same bits {}, on AVX-512 without dot "
        "instructions {}, on SSE within the "
        "bounds {}; {} products of other types\n",
        totals.graphs, totals.kinds["forward"], totals.kinds["gradients"], totals.kinds["step"],
        totals.kinds["second"], totals.nodes, totals.ops.size(), totals.loops, totals.passes,
        totals.numbers, totals.worst, totals.loose, totals.sets["AVX2"], totals.sets["AVX-512"],
        totals.sets["SSE"], totals.products);
  }
};
Totals PrintTotals::totals;
[[maybe_unused]] const auto* const kPrintTotals =
    ::testing::AddGlobalTestEnvironment(new PrintTotals);

/// The numbers of a graph, or the interpreter's complaint under an empty name.
NamedNumbers numbers_of(const Graph& graph, uint64_t seed) {
  auto result = interpret(graph, testing::entry_inputs(graph, seed));
  EXPECT_TRUE(result.ok()) << result.message();
  return result.ok() ? testing::named_numbers(graph, result.take()) : NamedNumbers();
}

/// An entry with what it must compute.
struct Expected {
  std::shared_ptr<Graph> primitives;  ///< as differentiated, and only expanded
  NamedNumbers numbers;
  std::map<std::string, Bound> bounds;
  std::string problem;
};

Expected expected_of(const RandomEntry& entry) {
  Expected expected;
  expected.primitives = entry.graph->clone();
  std::string pipeline = "expand_composites";
  if (entry.kind == PipelineKind::kGradients) pipeline = "differentiate," + pipeline;
  if (entry.kind == PipelineKind::kTrainStep)
    pipeline = "differentiate,apply_optimizer," + pipeline;
  PassContext context(entry.options);
  const Status status = run_passes(*expected.primitives, pipeline, context);
  if (!status.ok()) {
    expected.problem = "primitives: " + status.message();
    return expected;
  }
  expected.numbers = numbers_of(*expected.primitives, entry.seed);
  expected.bounds = testing::bounds_of(*expected.primitives,
                                       testing::entry_inputs(*expected.primitives, entry.seed),
                                       expected.numbers, kNoise, entry.seed);
  return expected;
}

/// Constants that casts of f64 and short floats become are rounded once, as compiled code does.
std::string pass_difference(std::string_view pass, const NamedNumbers& after,
                            const NamedNumbers& before,
                            const std::map<std::string, Bound>& bounds) {
  const bool rounds = pass == "constant_fold";
  return testing::difference_beyond(after, before, bounds, rounds ? 1.2e-7 : 1e-10,
                                    rounds ? 1.0 : 1e-6);
}

/// Runs a pipeline, compares after each pass with before; what goes wrong first, or nothing.
std::string pipeline_problem(const RandomEntry& entry, const Expected& expected,
                             const std::string& pipeline, Graph& graph, PassContext& context) {
  std::string problem;
  NamedNumbers before = numbers_of(graph, entry.seed);
  PassManagerOptions options;
  options.observe = [&](std::string_view pass, const Graph&, const Graph& after) {
    if (!problem.empty()) return;
    NamedNumbers now = numbers_of(after, entry.seed);
    problem = pass_difference(pass, now, before, expected.bounds);
    if (!problem.empty()) problem = fmt::format("{} in {}: {}", pass, pipeline, problem);
    before = std::move(now);
    ++PrintTotals::totals.passes;
  };
  const Status status = run_passes(graph, pipeline, context, std::move(options));
  if (!status.ok()) return pipeline + ": " + status.message();
  return problem;
}

/// Every pass alone; those that work on primitives or kernels after what makes them.
std::string single_passes_problem(const RandomEntry& entry, const Expected& expected) {
  for (const PassInfo& pass : all_passes()) {
    std::string pipeline(pass.name);
    if (pass.name == "plan_memory" || pass.name == "apply_optimizer")
      continue;  // standard pipeline
    if (pass.name == "fuse") pipeline = "expand_composites,fuse";
    const auto graph = entry.graph->clone();
    PassContext context(entry.options);
    const std::string problem = pipeline_problem(entry, expected, pipeline, *graph, context);
    if (!problem.empty()) return problem;
  }
  return {};
}

struct Planned {
  RandomEntry entry;
  Expected expected;
  std::shared_ptr<Graph> graph;
  std::optional<MemoryPlan> plan;
};

/// All passes; what goes wrong, or nothing.
std::string plan(Planned& p) {
  p.expected = expected_of(p.entry);
  if (!p.expected.problem.empty()) return p.expected.problem;
  std::string problem = single_passes_problem(p.entry, p.expected);
  if (!problem.empty()) return problem;
  p.graph = p.entry.graph->clone();
  PassContext context(p.entry.options);
  problem = pipeline_problem(p.entry, p.expected, pipeline_text(p.entry.kind), *p.graph, context);
  p.plan = std::move(context.plan);
  return problem;
}

void count_differences(const Expected& expected, const NamedNumbers& actual) {
  Totals& totals = PrintTotals::totals;
  for (const auto& [name, value] : expected.numbers) {
    const Bound& b = expected.bounds.at(name);
    const double allowed = 2e-6 * b.magnitude + 4 * b.noise + 1e-30;
    if (allowed > 0.01 * b.magnitude && b.magnitude > 0.0) ++totals.loose;
    ++totals.numbers;
    for (int64_t i = 0; i < value.size(); ++i) {
      const double d = std::abs(actual.at(name)[i] - value[i]);
      if (std::isfinite(d)) totals.worst = std::max(totals.worst, d / allowed);
    }
  }
}

/// What code is compiled for.
struct InstructionSet {
  std::string name;
  TargetInfo target = TargetInfo::host();
  bool same_bits = false;  ///< as this machine's best
};

/// This machine's best, then the lesser ones that it has; those without dot instructions of bf16
/// where there are products of it.
std::vector<InstructionSet> instruction_sets(bool products) {
  std::vector<InstructionSet> sets(1);
  const TargetInfo host = sets[0].target;
  if (host.triple.substr(0, 6) != "x86_64") return sets;
  if (products && host.has_bf16_dot)
    sets.push_back({"AVX-512", TargetInfo::generic_avx512(), true});
  if (host.vector_bytes > 32) sets.push_back({"AVX2", TargetInfo::generic_avx2(), true});
  if (host.vector_bytes > 16) sets.push_back({"SSE", TargetInfo::generic_sse()});
  return sets;
}

/// Runs compiled code; what differs from the interpreter, or nothing. `memory` gets what it leaves.
std::string compiled_problem(const Planned& p, const JitEntry& code, test::Memory& memory) {
  const std::vector<Tensor> inputs = testing::entry_inputs(*p.graph, p.entry.seed);
  memory = test::run_compiled(code, *p.graph, inputs, 1);
  if (test::run_compiled(code, *p.graph, inputs, 3) != memory)
    return "three threads give other bits";
  InterpretResult result;
  for (size_t i = 0; i < p.graph->outputs().size(); ++i) {
    const TensorType& type = p.graph->type(p.graph->outputs()[i].value);
    result.outputs.push_back(test::from_bytes(type, memory[inputs.size() + i]));
  }
  for (const NodeId id : p.graph->nodes()) {
    const Node& node = p.graph->node(id);
    if (node.op != Op::kUpdate) continue;
    const size_t slot = p.graph->value(node.operands[0]).index;
    result.updates.emplace_back(p.graph->inputs()[slot].name,
                                test::from_bytes(inputs[slot].type, memory[slot]));
  }
  const NamedNumbers actual = testing::named_numbers(*p.graph, std::move(result));
  std::string problem =
      testing::difference_beyond(actual, p.expected.numbers, p.expected.bounds, 2e-6, 4.0);
  if (problem.empty()) count_differences(p.expected, actual);
  return problem;
}

/// Compiles all into one program and runs each; what goes wrong by position, or one line when they
/// cannot be compiled.
std::vector<std::string> compile_and_run(const std::vector<Planned>& batch,
                                         const TargetInfo& target,
                                         std::vector<test::Memory>& memories) {
  std::vector<std::string> problems(batch.size());
  memories.resize(batch.size());
  std::vector<kernel::LowerEntry> entries;
  for (const Planned& p : batch) {
    entries.push_back(test::entry_of(*p.graph, *p.plan));
    entries.back().name = fmt::format("run_{}", p.entry.seed);
  }
  const auto program = kernel::lower("random", entries, target);
  if (!program.ok()) return {"lower: " + program.message()};
  if (const std::string problem = testing::reading_back_problem(program->kernels); !problem.empty())
    return {"kernel text: " + problem};
  JitOptions options;
  options.threads = 1;
  options.verify = true;
  const auto jit = jit_compile(*program, target, options);
  if (!jit.ok()) return {"compile: " + jit.message()};
  for (size_t i = 0; i < batch.size(); ++i)
    problems[i] = compiled_problem(batch[i], (*jit)->entries()[i], memories[i]);
  return problems;
}

/// The same on some instruction sets, one after the other.
std::vector<std::string> compile_and_run(const std::vector<Planned>& batch,
                                         std::span<const InstructionSet> sets) {
  std::vector<test::Memory> best;
  std::vector<std::string> problems = compile_and_run(batch, sets[0].target, best);
  for (const InstructionSet& set : sets.subspan(1)) {
    std::vector<test::Memory> memories;
    std::vector<std::string> more = compile_and_run(batch, set.target, memories);
    if (more.size() != batch.size()) return {set.name + ": " + more[0]};
    for (size_t i = 0; i < std::min(batch.size(), problems.size()); ++i) {
      if (more[i].empty() && set.same_bits && memories[i] != best[i]) more[i] = "other bits";
      if (problems[i].empty() && !more[i].empty()) problems[i] = set.name + ": " + more[i];
      ++PrintTotals::totals.sets[set.name];
    }
  }
  return problems;
}

std::string problem_of(const RandomEntry& entry, std::span<const InstructionSet> sets) {
  std::vector<Planned> one(1);
  one[0].entry = entry;
  const std::string problem = plan(one[0]);
  return problem.empty() ? compile_and_run(one, sets)[0] : problem;
}

void fail(const RandomEntry& entry, const std::string& problem,
          std::span<const InstructionSet> sets) {
  const auto with = [&](const Graph& graph) {
    RandomEntry candidate = entry;
    candidate.graph = graph.clone();
    return candidate;
  };
  const std::string what = problem.substr(0, problem.find(':'));  // the stage or tensor
  const auto small = testing::shrink_graph(*entry.graph, [&](const Graph& candidate) {
    const std::string other = problem_of(with(candidate), sets);
    return !other.empty() && other.substr(0, other.find(':')) == what;
  });
  ADD_FAILURE() << "seed " << entry.seed << ": " << problem << "\nshrunk:\n"
                << print_graph(*small) << problem_of(with(*small), sets);
}

bool multiplies_in_other_type(const Graph& graph, const Node& node) {
  const Lowering lowering = def(node.op).lowering;
  if (lowering != Lowering::kMatmul && lowering != Lowering::kConv) return false;
  return contraction_types(graph, node).multiply != DType::kF32;
}

void count(const RandomEntry& entry) {
  static constexpr const char* kKinds[] = {"forward", "gradients", "step", "second"};
  Totals& totals = PrintTotals::totals;
  ++totals.graphs;
  ++totals.kinds[kKinds[entry.seed % 4]];
  for (const NodeId id : entry.graph->nodes()) {
    ++totals.nodes;
    totals.loops += entry.graph->node(id).op == Op::kScan ? 1 : 0;
    totals.products += multiplies_in_other_type(*entry.graph, entry.graph->node(id)) ? 1 : 0;
    totals.ops.insert(entry.graph->node(id).op);
  }
}

class RandomGraphs : public ::testing::TestWithParam<uint64_t> {};

TEST_P(RandomGraphs, PassesAndCompiledCodeKeepTheNumbers) {
  const uint64_t first = GetParam() * kPerBlock;
  const std::vector<InstructionSet> all =
      instruction_sets(first >= testing::kFirstProductSeed && first < testing::kFirstAttentionSeed);
  for (uint64_t seed = first; seed < first + kPerBlock; seed += kPerProgram) {
    const std::span sets = std::span(all).first(seed == first ? all.size() : 1);
    std::vector<Planned> batch(kPerProgram);
    for (uint64_t i = 0; i < kPerProgram; ++i) {
      batch[i].entry = testing::random_entry(seed + i);
      const std::string problem = plan(batch[i]);
      if (!problem.empty()) fail(batch[i].entry, problem, sets.first(1));
    }
    if (HasFailure()) return;  // some have no plan
    std::vector<std::string> problems = compile_and_run(batch, sets);
    if (problems.size() != batch.size()) {  // not compiled: each alone, to find the one
      problems.assign(batch.size(), {});
      for (size_t i = 0; i < batch.size(); ++i)
        problems[i] = problem_of(batch[i].entry, sets);
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      count(batch[i].entry);
      if (!problems[i].empty()) fail(batch[i].entry, problems[i], sets);
    }
  }
}

/// One seed alone, for debugging: GRADC_SEED=123 gradc_differential_tests --gtest_filter=*One*.
TEST(RandomGraph, OneSeed) {
  const char* text = std::getenv("GRADC_SEED");
  if (text == nullptr) GTEST_SKIP() << "GRADC_SEED is not set";
  const RandomEntry entry = testing::random_entry(std::strtoull(text, nullptr, 10));
  std::vector<Planned> one(1);
  one[0].entry = entry;
  ASSERT_EQ(plan(one[0]), "");
  fmt::print("{}\n", print_graph(*one[0].graph));
  std::fflush(stdout);
  EXPECT_EQ(compile_and_run(one, instruction_sets(true))[0], "");
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGraphs, ::testing::Range(uint64_t{0}, kBlocks));

}  // namespace
}  // namespace gradc
