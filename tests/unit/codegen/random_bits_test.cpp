// Random numbers where they are used: in loops of every width, in what contractions read and in
// what stands behind them, at positions that begin a block of random words or do not. Compiled
// code has the bits of ir/philox.h everywhere, by one thread and by three.
#include "ir/parser.h"
#include "ir/philox.h"
#include "passes/pass_manager.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";
constexpr int64_t kSeed = -6'000'000'000'123;  // both halves of the key
constexpr int64_t kIteration = 5'000'000'077;

/// %y is made by `rest` of %u, random numbers of a shape, and of `more` inputs, which are ones.
std::string text_of(const std::string& shape, int64_t stream, const std::string& rest,
                    const std::string& more = {}) {
  std::string elements = shape;
  for (size_t at = 0; (at = elements.find('x', at)) != std::string::npos; at += 2)
    elements.replace(at, 1, ", ");
  return fmt::format(
      "graph @random {{\n  input %seed : i64[]\n  input %iteration : i64[]\n{}forward:\n"
      "  %u = random_uniform %seed, %iteration {{shape=[{}], stream={}}} : f32[{}]\n{}  return "
      "%y\n}}",
      more, elements, stream, shape, rest);
}

std::vector<TargetInfo> targets() {
  std::vector<TargetInfo> all = {TargetInfo::host()};
  const bool is_x86 = all[0].triple.substr(0, 6) == "x86_64";
  if (is_x86 && all[0].has_fma) all.push_back(TargetInfo::generic_avx2());
  if (is_x86) all.push_back(TargetInfo::generic_sse());
  return all;
}

std::vector<Tensor> inputs_of(const Graph& graph) {
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    inputs.emplace_back(graph.type(input.value));
    std::fill(inputs.back().data.begin(), inputs.back().data.end(), 1.0);
  }
  inputs[0].data[0] = static_cast<double>(kSeed);
  inputs[1].data[0] = static_cast<double>(kIteration);
  return inputs;
}

/// The one output, which every target and number of threads must give alike.
Tensor compiled(const std::string& text) {
  SCOPED_TRACE(text);
  auto parsed = parse_graph(text, "random");
  EXPECT_TRUE(parsed.ok()) << parsed.message();
  Graph& graph = **parsed;
  PassContext context;
  const Status status = run_passes(graph, kPlanned, context);
  EXPECT_TRUE(status.ok()) << status.message();
  const std::vector<Tensor> inputs = inputs_of(graph);
  std::vector<std::byte> bytes;
  for (const TargetInfo& target : targets()) {
    const kernel::LowerEntry entry = test::entry_of(graph, *context.plan);
    auto program = kernel::lower("random", std::span(&entry, 1), target);
    EXPECT_TRUE(program.ok()) << program.message();
    const auto jit = jit_compile(*program, target, JitOptions{.threads = 1, .verify = true});
    EXPECT_TRUE(jit.ok()) << jit.message();
    for (const int threads : {1, 3}) {
      const test::Memory memory =
          test::run_compiled((*jit)->entries().front(), graph, inputs, threads);
      if (bytes.empty()) bytes = memory.back();
      EXPECT_TRUE(memory.back() == bytes) << target.cpu << ", " << threads << " threads";
    }
  }
  return test::from_bytes(graph.type(graph.outputs()[0].value), bytes);
}

double drawn(int64_t stream, int64_t element) {
  return random_uniform(random_bits(static_cast<uint64_t>(kSeed), static_cast<uint64_t>(kIteration),
                                    static_cast<uint64_t>(stream), static_cast<uint64_t>(element)));
}

TEST(RandomBits, AreThoseOfThePositionWhereverTheyAreDrawn) {
  const struct {
    std::string shape;
    std::string rest;
  } cases[] = {
      {"1003", "  %y = neg %u : f32[1003]\n"},
      {"4099x3", "  %y = neg %u : f32[4099x3]\n"},
      {"64x36", "  %y = transpose %u {perm=[1, 0]} : f32[36x64]\n"},
      {"33x21x8", "  %y = transpose %u {perm=[2, 1, 0]} : f32[8x21x33]\n"},
      {"5x16", "  %y = pad %u {low=[1, 1], high=[0, 2]} : f32[6x19]\n"},
      {"7x32", "  %y = slice %u {start=[1, 2], limit=[6, 27], stride=[1, 1]} : f32[5x25]\n"},
      {"7x64", "  %y = slice %u {start=[0, 3], limit=[7, 64], stride=[2, 4]} : f32[4x16]\n"},
      {"4x12", "  %y = broadcast %u {dims=[0, 2]} : f32[4x9x12]\n"},
      {"40x100", "  %y = reduce_max %u {axes=[1]} : f32[40]\n"},
      {"100x40", "  %y = reduce_max %u {axes=[0]} : f32[40]\n"},
  };
  for (const auto& c : cases) {
    const std::string text = text_of(c.shape, 405, c.rest);
    const Tensor actual = compiled(text);
    const auto graph = parse_graph(text, "random");
    ASSERT_TRUE(graph.ok());
    const auto expected = interpret(**graph, inputs_of(**graph));
    ASSERT_TRUE(expected.ok()) << expected.message();
    EXPECT_EQ(actual.data, expected->outputs[0].data) << text;
  }
}

TEST(RandomBits, BehindAContractionAreThoseOfItsResult) {
  for (const int64_t columns : {64, 52, 50, 131}) {
    const std::string shape = fmt::format("37x{}", columns);
    const std::string ones =
        fmt::format("  input %a : f32[37x24]\n  input %b : f32[24x{}]\n", columns);
    const Tensor actual =
        compiled(text_of(shape, 7,
                         fmt::format("  %s = matmul %a, %b : f32[{0}]\n  %n = neg %s : f32[{0}]\n"
                                     "  %y = max %n, %u : f32[{0}]\n",
                                     shape),
                         ones));
    for (int64_t i = 0; i < actual.size(); ++i)
      ASSERT_EQ(actual.data[static_cast<size_t>(i)], drawn(7, i)) << columns << ", " << i;
  }
}

TEST(RandomBits, ReadByAContractionAreThoseOfTheOperand) {
  // Rows of random numbers that are 1 or 0, and sums of them.
  const std::string coins =
      "  %half = constant {value=0.5} : f32[]\n  %h = broadcast %half {dims=[]} : f32[96x44]\n"
      "  %l = less %u, %h : bool[96x44]\n  %c = cast %l : f32[96x44]\n";
  const Tensor rows = compiled(text_of("96x44", 9, coins + "  %y = matmul %c, %b : f32[96x80]\n",
                                       "  input %b : f32[44x80]\n"));
  const Tensor columns = compiled(text_of("96x44", 9, coins + "  %y = matmul %b, %c : f32[80x44]\n",
                                          "  input %b : f32[80x96]\n"));
  const auto coin = [](int64_t i, int64_t j) { return drawn(9, i * 44 + j) < 0.5 ? 1.0 : 0.0; };
  for (int64_t i = 0; i < 96; ++i) {
    double sum = 0.0;
    for (int64_t j = 0; j < 44; ++j)
      sum += coin(i, j);
    ASSERT_EQ(rows.data[static_cast<size_t>(i * 80 + i % 80)], sum);
  }
  for (int64_t j = 0; j < 44; ++j) {
    double sum = 0.0;
    for (int64_t i = 0; i < 96; ++i)
      sum += coin(i, j);
    ASSERT_EQ(columns.data[static_cast<size_t>(j * 44 + j)], sum);
  }
}

TEST(RandomBits, LayersThatDifferInTheirStreamsShareTheirKernels) {
  std::string text =
      "graph @layers {\n  input %seed : i64[]\n  input %iteration : i64[]\n"
      "  input %h0 : f32[24x40]\n  input %w : f32[40x40]\nforward:\n";
  constexpr int kLayers = 3;
  for (int i = 0; i < kLayers; ++i) {
    text += fmt::format(
        "  %s{0} = matmul %h{0}, %w : f32[24x40]\n"
        "  %u{0} = random_uniform %seed, %iteration {{shape=[24, 40], stream={2}}} : f32[24x40]\n"
        "  %m{0} = mul %s{0}, %u{0} : f32[24x40]\n  %h{1} = tanh %m{0} : f32[24x40]\n",
        i, i + 1, 5 + i);
  }
  text += fmt::format("  return y=%h{}\n}}", kLayers);
  const auto reference = parse_graph(text, "layers");
  const auto graph = parse_graph(text, "layers");
  ASSERT_TRUE(graph.ok()) << graph.message();
  PassContext context;
  ASSERT_TRUE(run_passes(**graph, kPlanned, context).ok());
  const test::LoweredRun run =
      test::expect_same(**reference, **graph, *context.plan, inputs_of(**graph),
                        TargetInfo::generic_avx512(), {1e-9, 1e-9});
  EXPECT_EQ(run.program.kernels.size(), 1U) << run.text;
  EXPECT_EQ(run.program.entries[0].steps.size(), size_t{kLayers});
  ASSERT_EQ(run.program.constants.size(), size_t{kLayers});
  for (size_t i = 0; i < kLayers; ++i)
    EXPECT_EQ(run.program.constants[i].elements, std::vector<double>{5.0 + static_cast<double>(i)});
}

TEST(RandomBits, OfElementsBeyond32BitsUseTheWholeIndex) {
  constexpr int64_t kWidth = int64_t{1} << 36;
  for (const int64_t first : {kWidth / 2 - 8, kWidth / 2 - 7, kWidth - 40}) {
    const Tensor actual = compiled(
        text_of(std::to_string(kWidth), 3,
                fmt::format("  %y = slice %u {{start=[{}], limit=[{}], stride=[1]}} : f32[40]\n",
                            first, first + 40)));
    for (int64_t i = 0; i < 40; ++i)
      ASSERT_EQ(actual.data[static_cast<size_t>(i)], drawn(3, first + i)) << first << " + " << i;
  }
}

}  // namespace
}  // namespace gradc
