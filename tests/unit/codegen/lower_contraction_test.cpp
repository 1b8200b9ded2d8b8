// Contractions large enough for the engine: matmul with batches and transposes, convolutions and
// their gradients at many settings, prologues and epilogues, splits over k.
#include "ir/builder.h"
#include "ir/conv_geometry.h"
#include "ir/op_attrs.h"
#include "tests/support/op_samples.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

struct Made {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>("made");
  Builder b{*graph};
  Val input(const TensorType& type) {
    const std::string name = "x" + std::to_string(graph->inputs().size());
    return b.input(InputKind::kInput, type, name, name);
  }
  void output(Val v) { graph->add_output("y" + std::to_string(graph->outputs().size()), v.id()); }
  test::LoweredRun run() { return test::expect_same(*graph, testing::random_inputs(*graph, 5)); }
  std::string lowered() {
    const MemoryPlan plan = test::plain_plan(*graph);
    const kernel::LowerEntry entry = test::entry_of(*graph, plan);
    const auto program = kernel::lower("test", std::span(&entry, 1), TargetInfo::generic_avx512());
    EXPECT_TRUE(program.ok()) << program.message();
    return program.ok() ? kernel::to_string(*program) : "";
  }
};

TEST(LowerContraction, MatmulWithEveryTranspose) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      for (const int64_t batch : {1, 3}) {
        SCOPED_TRACE(::testing::Message() << ta << tb << batch);
        Made made;
        const auto shape = [&](int64_t r, int64_t c) {
          return batch == 1 ? f32({r, c}) : f32({batch, r, c});
        };
        const Val a = made.input(ta ? shape(20, 17) : shape(17, 20));
        const Val b = made.input(tb ? shape(33, 20) : shape(20, 33));
        made.output(matmul(a, b, ta, tb));
        const test::LoweredRun run = made.run();
        EXPECT_EQ(test::count_of(run.text, "  contract "), 1U) << run.text;
      }
    }
  }
}

TEST(LowerContraction, ThinMatmulsAreLoops) {
  for (const auto& [m, n, k] : {std::array<int64_t, 3>{64, 1, 40}, {40, 64, 1}, {1, 2, 999}}) {
    Made made;
    made.output(matmul(made.input(f32({m, k})), made.input(f32({k, n}))));
    const test::LoweredRun run = made.run();
    EXPECT_EQ(test::count_of(run.text, "contract"), 0U) << run.text;
  }
}

TEST(LowerContraction, OneRowStaysAContraction) {
  Made made;
  made.output(matmul(made.input(f32({1, 100})), made.input(f32({100, 64}))));
  const test::LoweredRun run = made.run();
  EXPECT_NE(run.text.find("m=(one:1) n=(j:64) k=(p:100)"), std::string::npos) << run.text;
}

struct ConvCase {
  TensorType x, w;
  ConvAttrs attrs;
};

std::vector<ConvCase> conv_cases() {
  return {
      {f32({2, 9, 9, 4}), f32({3, 3, 4, 8}), {}},
      {f32({2, 9, 8, 4}), f32({3, 3, 4, 8}), {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}}},
      {f32({2, 9, 10, 4}), f32({3, 3, 4, 8}), {{2, 2}, {1, 0}, {1, 1}, {}, 1, {}}},
      {f32({2, 11, 9, 4}), f32({2, 3, 4, 6}), {{1, 1}, {2, 2}, {0, 1}, {3, 2}, 1, {}}},
      {f32({2, 11, 12, 4}), f32({3, 2, 4, 6}), {{3, 2}, {1, 1}, {1, 1}, {2, 3}, 1, {}}},
      {f32({2, 8, 8, 8}), f32({3, 3, 4, 8}), {{1, 1}, {1, 1}, {1, 1}, {}, 2, {}}},
      {f32({2, 8, 8, 8}), f32({3, 3, 1, 8}), {{1, 1}, {1, 1}, {1, 1}, {}, 8, {}}},
      {f32({2, 9, 9, 4}), f32({1, 1, 4, 8}), {{3, 3}, {}, {}, {}, 1, {}}},
      {f32({3, 40, 4}), f32({5, 4, 8}), {{2}, {2}, {2}, {}, 1, {}}},
      {f32({1, 5, 6, 5, 4}), f32({3, 2, 3, 4, 8}), {{1, 2, 1}, {1, 0, 1}, {1, 1, 0}, {}, 1, {}}},
      // A single window, along one axis or both, also one that sees padding.
      {f32({3, 4, 4, 8}), f32({4, 4, 8, 16}), {}},
      {f32({3, 3, 9, 8}), f32({3, 3, 8, 16}), {{1, 1}, {0, 1}, {0, 1}, {}, 1, {}}},
      {f32({2, 2, 2, 8}), f32({4, 3, 8, 16}), {{1, 1}, {1, 1}, {1, 0}, {}, 1, {}}},
      // Depthwise, with many taps that read a padded copy.
      {f32({2, 8, 8, 16}), f32({5, 5, 1, 16}), {{1, 1}, {2, 2}, {2, 2}, {}, 16, {}}},
      // With sums over images and rows, or over images, that are made in pieces.
      {f32({2, 24, 24, 32}), f32({3, 3, 1, 32}), {{1, 1}, {1, 1}, {1, 1}, {}, 32, {}}},
      {f32({4, 12, 12, 64}), f32({3, 3, 1, 64}), {{1, 1}, {1, 1}, {1, 1}, {}, 64, {}}},
      // Rows of blocks: added up in pieces of 12 rows, with blocks of 6; of 7 rows that nothing
      // cuts, with blocks of 5 of which the last is not full, 17 channels, two steps; of a single
      // image.
      {f32({4, 24, 30, 16}), f32({3, 3, 1, 16}), {{1, 1}, {1, 1}, {1, 1}, {}, 16, {}}},
      {f32({8, 14, 39, 17}), f32({3, 3, 1, 17}), {{2, 2}, {1, 1}, {1, 0}, {}, 17, {}}},
      {f32({1, 34, 37, 32}), f32({3, 3, 1, 32}), {{1, 1}, {2, 2}, {2, 2}, {2, 2}, 32, {}}},
      {f32({1, 19, 19, 96}), f32({3, 3, 1, 96}), {{1, 1}, {1, 1}, {1, 1}, {}, 96, {}}},
      {f32({2, 2, 6, 57, 16}),
       f32({2, 3, 3, 1, 16}),
       {{1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {}, 16, {}}},
      {f32({2, 8, 19, 512}), f32({3, 3, 1, 512}), {{1, 1}, {1, 1}, {1, 1}, {}, 512, {}}},
      // With neighbours of a row in one pass, which read padding in place: of one step, two steps,
      // dilated, in one and three dimensions, with channels that fill no vector.
      {f32({2, 5, 14, 19}), f32({3, 3, 1, 19}), {{1, 1}, {1, 1}, {1, 1}, {}, 19, {}}},
      {f32({2, 9, 16, 24}), f32({3, 3, 1, 24}), {{2, 2}, {1, 1}, {1, 1}, {}, 24, {}}},
      {f32({2, 9, 16, 24}), f32({3, 3, 1, 24}), {{1, 1}, {2, 2}, {2, 2}, {2, 2}, 24, {}}},
      {f32({3, 21, 16}), f32({3, 1, 16}), {{1}, {2}, {0}, {}, 16, {}}},
      {f32({1, 3, 4, 12, 16}),
       f32({2, 3, 3, 1, 16}),
       {{1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {}, 16, {}}},
      // With rows of channels that would evict one another, of one and of two steps.
      {f32({2, 5, 6, 512}), f32({3, 3, 1, 512}), {{1, 1}, {1, 1}, {1, 1}, {}, 512, {}}},
      {f32({2, 5, 8, 512}), f32({3, 3, 1, 512}), {{2, 2}, {1, 0}, {1, 1}, {}, 512, {}}},
      {f32({4, 12, 12, 512}), f32({3, 3, 1, 512}), {{1, 1}, {1, 1}, {1, 1}, {}, 512, {}}},
      // In blocks: of some rows of an image, in steps and dilated, in one and three dimensions, of
      // channels that fill no vector, and longer than the stride is.
      {f32({1, 12, 14, 256}), f32({3, 3, 1, 256}), {{1, 1}, {1, 1}, {1, 1}, {}, 256, {}}},
      {f32({1, 23, 8, 256}), f32({3, 3, 1, 256}), {{2, 2}, {1, 1}, {1, 1}, {}, 256, {}}},
      {f32({1, 12, 9, 256}), f32({3, 3, 1, 256}), {{1, 1}, {2, 1}, {2, 3}, {2, 2}, 256, {}}},
      {f32({2, 45, 256}), f32({3, 1, 256}), {{1}, {1}, {1}, {}, 256, {}}},
      {f32({9, 5, 6, 3, 17}), f32({3, 3, 3, 1, 17}), {{1, 1, 2}, {1, 1, 1}, {1, 1, 1}, {}, 17, {}}},
      {f32({8, 3, 4, 256}), f32({3, 3, 1, 256}), {{5, 5}, {1, 1}, {1, 0}, {}, 256, {}}},
  };
}

TEST(LowerContraction, ConvolutionsAndTheirGradients) {
  size_t copies = 0;
  size_t guards = 0;
  const auto count = [&](const test::LoweredRun& run) {
    copies += test::count_of(run.text, ".pad(");
    guards += test::count_of(run.text, "a=guard(");
  };
  for (const ConvCase& c : conv_cases()) {
    SCOPED_TRACE(to_string(c.x) + " * " + to_string(c.w));
    const auto geometry = conv_geometry("conv", c.x, c.w, c.attrs);
    ASSERT_TRUE(geometry.ok()) << geometry.message();
    const TensorType y = c.x.with(geometry->output_shape());
    ConvAttrs attrs = c.attrs;
    Made forward;
    forward.output(
        forward.b.add(Op::kConv, {forward.input(c.x), forward.input(c.w)}, make_attrs(attrs)));
    count(forward.run());
    attrs.shape = c.x.shape.to_vector();
    Made data;
    data.output(
        data.b.add(Op::kConvInputGrad, {data.input(y), data.input(c.w)}, make_attrs(attrs)));
    count(data.run());
    attrs.shape = c.w.shape.to_vector();
    Made filter;
    filter.output(
        filter.b.add(Op::kConvFilterGrad, {filter.input(c.x), filter.input(y)}, make_attrs(attrs)));
    count(filter.run());
  }
  // Both ways of padding occur: a padded copy for the larger ones, guards for the smaller ones.
  EXPECT_GE(copies, 8U);
  EXPECT_GE(guards, 4U);
}

TEST(LowerContraction, UnpaddedConvolutionMergesTheWindowRow) {
  Made made;
  const ConvCase c = conv_cases()[0];
  made.output(made.b.add(Op::kConv, {made.input(c.x), made.input(c.w)}, make_attrs(c.attrs)));
  const test::LoweredRun run = made.run();
  EXPECT_NE(run.text.find("k=(k0:3, i:12)"), std::string::npos) << run.text;
  EXPECT_EQ(test::count_of(run.text, "guard"), 0U) << run.text;
}

// Each input position meets one tap: positions are columns, and no zero is multiplied.
TEST(LowerContraction, GradientOfASingleWindowHasNoSumOverTaps) {
  Made made;
  const ConvAttrs attrs{{1, 1}, {}, {}, {}, 1, {8, 4, 4, 16}};
  made.output(made.b.add(Op::kConvInputGrad,
                         {made.input(f32({8, 1, 1, 32})), made.input(f32({4, 4, 16, 32}))},
                         make_attrs(attrs)));
  const test::LoweredRun run = made.run();
  EXPECT_EQ(test::count_of(run.text, "k=(c:32)"), 1U) << run.text;
  EXPECT_EQ(test::count_of(run.text, "guard"), 0U) << run.text;
  EXPECT_EQ(test::count_of(run.text, ".pad("), 0U) << run.text;
}

TEST(LowerContraction, StridedGradientIsOneContractionPerPhase) {
  Made made;
  const ConvAttrs attrs{{2, 2}, {}, {}, {}, 1, {4, 16, 16, 8}};
  made.output(made.b.add(Op::kConvInputGrad,
                         {made.input(f32({4, 7, 7, 8})), made.input(f32({3, 3, 8, 8}))},
                         make_attrs(attrs)));
  const test::LoweredRun run = made.run();
  EXPECT_EQ(test::count_of(run.text, "  contract "), 4U) << run.text;
  // The phases write different elements: barriers only after the padded copy and before the copy
  // of the output.
  EXPECT_EQ(test::count_of(run.text, "  barrier\n"), 2U) << run.text;
}

TEST(LowerContraction, LongSumsOfFewResultsAreSplit) {
  Made made;
  const ConvAttrs attrs{{}, {}, {}, {}, 1, {3, 3, 1, 8}};
  made.output(made.b.add(Op::kConvFilterGrad,
                         {made.input(f32({4, 34, 34, 1})), made.input(f32({4, 32, 32, 8}))},
                         make_attrs(attrs)));
  const test::LoweredRun run = made.run();
  EXPECT_NE(run.text.find("contract batch=(chunk:4)"), std::string::npos) << run.text;
}

// 19 rows of 57: rows are added up one after the other, from zero, and end inside a block of six.
TEST(LowerContraction, RowsOfDepthwiseFiltersGradientsGoByInBlocks) {
  Made made;
  const ConvAttrs attrs{{1, 1}, {1, 1}, {1, 1}, {}, 16, {3, 3, 1, 16}};
  const TensorType image = f32({4, 19, 57, 16});
  made.output(
      made.b.add(Op::kConvFilterGrad, {made.input(image), made.input(image)}, make_attrs(attrs)));
  const test::LoweredRun run = made.run();
  EXPECT_EQ(test::count_of(run.text, " in 0..19 ahead {"), 1U) << run.text;
  EXPECT_EQ(test::count_of(run.text, "unroll o1 in 0..6 {"), 1U) << run.text;
  EXPECT_EQ(test::count_of(run.text, " in 0..10 {"), 1U) << run.text;
  EXPECT_EQ(test::count_of(run.text, "] = 0"), 9U) << run.text;
  EXPECT_NE(run.text.find("<= 56:i64"), std::string::npos) << run.text;
}

// Seven neighbours of a row read an element of the filter once. Not where their pixels evict one
// another, where fewer would be as many branches, nor of what the caches do not hold.
TEST(LowerContraction, NeighboursOfDepthwiseWindowsAreOnePass) {
  const auto sums_of = [](const Shape& image, const Shape& filter) {
    Made made;
    const ConvAttrs attrs{{1, 1}, {1, 1}, {1, 1}, {}, filter[3], {}};
    made.output(made.b.add(Op::kConv,
                           {made.input({DType::kF32, image}), made.input({DType::kF32, filter})},
                           make_attrs(attrs)));
    return test::count_of(made.lowered(), " fma= ");
  };
  EXPECT_EQ(sums_of({2, 5, 14, 48}, {3, 3, 1, 48}), 7U);
  EXPECT_EQ(sums_of({8, 28, 28, 256}, {3, 3, 1, 256}), 1U);
  EXPECT_EQ(sums_of({2, 5, 15, 48}, {3, 3, 1, 48}), 1U);
  EXPECT_EQ(sums_of({8, 112, 112, 48}, {3, 3, 1, 48}), 1U);
}

// Pixels that evict one another are read from a copy of 64 channels of one image, or of some of its
// rows where there would be few blocks for threads to share.
TEST(LowerContraction, DepthwiseWindowsAreCopiedBlockByBlock) {
  const auto lowered = [](const Shape& image) {
    Made made;
    const ConvAttrs attrs{{1, 1}, {1, 1}, {1, 1}, {}, 512, {}};
    made.output(made.b.add(
        Op::kConv,
        {made.input({DType::kF32, image}), made.input({DType::kF32, Shape{3, 3, 1, 512}})},
        make_attrs(attrs)));
    return made.lowered();
  };
  const std::string whole = lowered({2, 14, 14, 512});
  EXPECT_EQ(test::count_of(whole, "kernel @conv"), 1U) << whole;
  EXPECT_NE(whole.find("image: local f32[20480]"), std::string::npos) << whole;  // 16 x 16 x 80
  EXPECT_EQ(test::count_of(whole, "parallel nb in 0..2 {"), 1U) << whole;
  EXPECT_EQ(test::count_of(whole, "parallel gb in 0..8 {"), 1U) << whole;
  const std::string rows = lowered({1, 28, 60, 512});
  EXPECT_NE(rows.find("image: local f32[79360]"), std::string::npos) << rows;  // 16 x 62 x 80
  EXPECT_EQ(test::count_of(rows, "parallel o0b in 0..2 {"), 1U) << rows;
}

TEST(LowerReduction, LongSumsOfFewResultsAreSplit) {
  Made made;
  const Val x = made.input(f32({9000, 4}));
  made.output(reduce_sum(x * x, {0}));
  made.output(reduce_max(x, {0, 1}));
  const test::LoweredRun run = made.run();
  EXPECT_EQ(test::count_of(run.text, "kernel @reduce_sum.partial("), 1U) << run.text;
  EXPECT_EQ(test::count_of(run.text, "kernel @reduce_max.partial("), 1U) << run.text;
}

}  // namespace
}  // namespace gradc
