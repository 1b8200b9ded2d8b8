// Random models, 240 in the normal run, the last 40 with recurrent layers. For each: what is
// compiled in this process computes, entry by entry, what the interpreter computes, within the
// bounds of tests/differential; two threads and the compiled library give the same bits as one
// thread. GRADC_SEED=N runs that model alone.
#include "frontend/native_reader.h"
#include "support/diagnostic_render.h"
#include "tests/random_models/model_run.h"
#include "tests/random_models/random_model.h"
#include "tests/unit/driver/command.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace gradc {
namespace {

using testing::Comparison;
using testing::EntryCall;
using testing::NamedBytes;

constexpr uint64_t kModels = 240;
constexpr uint64_t kPerTest = 10;

/// What was checked, printed when the program ends.
struct Totals {
  int models = 0;
  int calls = 0;
  int runaways = 0;  ///< models whose training left the numbers of its types
  Comparison numbers;
  int same_bits = 0;  ///< tensors equal in every engine
  std::set<std::string> layers;
};

class PrintTotals : public ::testing::Environment {
 public:
  static Totals totals;
  void TearDown() override {
    fmt::print(
        "random models: {} with {} kinds of layers, {} calls, {} ran away;\n  equal to the "
        "interpreter in {} "
        "tensors "
        "(largest difference {:.3f} of its bound; {} with a bound over 1 %), the same bits with "
        "two threads and in the compiled library in {} tensors\n",
        totals.models, totals.layers.size(), totals.calls, totals.runaways, totals.numbers.numbers,
        totals.numbers.worst, totals.numbers.loose, totals.same_bits);
  }
};
Totals PrintTotals::totals;
[[maybe_unused]] const auto* const kPrintTotals =
    ::testing::AddGlobalTestEnvironment(new PrintTotals);

/// The first tensor whose bits differ, or nothing.
std::string different_bits(const NamedBytes& actual, const NamedBytes& expected) {
  for (const auto& [name, bytes] : expected) {
    const auto found = actual.find(name);
    if (found == actual.end()) return name + " is missing";
    if (found->second != bytes) return name;
  }
  PrintTotals::totals.same_bits += static_cast<int>(expected.size());
  return {};
}

class RandomModels : public ::testing::TestWithParam<uint64_t> {
 public:
  static void check(uint64_t seed);

 private:
  static void check_compiled(uint64_t seed, CompiledModel& model);
};

void RandomModels::check(uint64_t seed) {
  const std::string json = testing::random_model(seed).dump(1);
  SCOPED_TRACE(fmt::format("GRADC_SEED={}\n{}", seed, json));
  CompileOptions options;
  options.batch_size = 3 + static_cast<int64_t>(seed % 4);
  SourceSet sources;
  auto model = CompiledModel::parse("model.json", json, options, sources);
  ASSERT_TRUE(model.ok()) << render_diagnostics(model.diagnostics(), sources);
  const auto kinds = entries_of((*model)->model());
  const Status compiled = (*model)->compile(kinds);
  ASSERT_TRUE(compiled.ok()) << compiled.message();
  check_compiled(seed, **model);
}

void RandomModels::check_compiled(uint64_t seed, CompiledModel& model) {
  const auto batch = testing::random_batch(model.model(), model.runtime_model(), seed);
  testing::JitRun one(model, batch, 1, seed);
  testing::JitRun two(model, batch, 2, seed);
  const test::Scratch folder;
  const std::vector<NamedBytes> library =
      testing::library_results(model.model(), model.runtime_model(), batch, seed, folder / "");
  size_t position = 0;
  for (const EntryCall& call : testing::entry_calls(model.batch_size())) {
    SCOPED_TRACE(fmt::format("{} of {} rows, call {}", entry_name(call.kind), call.rows, position));
    one.prepare(call);
    const testing::InterpreterRun interpreter(model, call, one, seed);
    one.run(call);
    const bool runaway = interpreter.leaves_its_types();
    if (!runaway) {
      EXPECT_EQ(interpreter.difference(one, &PrintTotals::totals.numbers), "");
    }
    two.prepare(call);
    two.run(call);
    const NamedBytes results = one.results(call);
    EXPECT_EQ(different_bits(two.results(call), results), "") << "with two threads";
    if (call.kind != EntryPoint::kGradients) {
      EXPECT_EQ(different_bits(library[position], results), "") << "in the compiled library";
    }
    ++position;
    ++PrintTotals::totals.calls;
    PrintTotals::totals.runaways += runaway ? 1 : 0;
    if (runaway || HasFailure()) break;
  }
  EXPECT_LE(PrintTotals::totals.runaways, 1 + PrintTotals::totals.models / 20);
  ++PrintTotals::totals.models;
  for (const Layer& layer : model.model().layers)
    PrintTotals::totals.layers.insert(layer.component.written_type);
}

TEST_P(RandomModels, ComputeTheSameByEveryEngine) {
  if (std::getenv("GRADC_SEED") != nullptr) GTEST_SKIP() << "GRADC_SEED is set";
  for (uint64_t seed = GetParam() * kPerTest; seed < (GetParam() + 1) * kPerTest; ++seed)
    check(seed);
}

TEST(RandomModel, OneSeed) {
  const char* text = std::getenv("GRADC_SEED");
  if (text == nullptr) GTEST_SKIP() << "GRADC_SEED is not set";
  RandomModels::check(std::strtoull(text, nullptr, 10));
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomModels, ::testing::Range(uint64_t{0}, kModels / kPerTest));

}  // namespace
}  // namespace gradc
