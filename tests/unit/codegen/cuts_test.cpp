// A run of terms that views cut in pieces - at multiples of 64, of what vectors and tiles take, or
// beside them - is summed in the order of its extent: the bits are those of the same terms lying in
// one piece.
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph_builder.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

using Bytes = std::vector<std::byte>;
using Make = std::function<Val(const std::vector<Val>&)>;

/// The output, on one thread and on three.
Bytes output_of(const std::vector<Tensor>& inputs, const Make& make, const TargetInfo& target) {
  Graph graph("cuts");
  Builder builder(graph);
  std::vector<Val> values;
  for (const Tensor& input : inputs) {
    const std::string name = "x" + std::to_string(values.size());
    values.push_back(builder.input(InputKind::kInput, input.type, name, name));
  }
  graph.add_output("y", make(values).id());
  PassContext context;
  const Status status = run_passes(graph, kPlanned, context);
  EXPECT_TRUE(status.ok()) << status.message();
  const kernel::LowerEntry entry = test::entry_of(graph, *context.plan);
  auto program = kernel::lower("cuts", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  const auto jit = jit_compile(*program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const test::Memory memory = test::run_compiled(code, graph, inputs, 1);
  EXPECT_TRUE(test::run_compiled(code, graph, inputs, 3) == memory);
  return memory.back();
}

/// Numbers of all bits of f32.
Tensor drawn(const Shape& shape, uint64_t seed) {
  testing::Random random(seed);
  Tensor t(TensorType{DType::kF32, shape});
  for (double& x : t.data)
    x = static_cast<double>(static_cast<float>(random.between(-(1 << 30), 1 << 30)) * 0x1p-30F);
  return t;
}

/// Rows [begin, end) of an axis.
Tensor part_of(const Tensor& whole, int axis, int64_t begin, int64_t end) {
  Shape shape = whole.type.shape;
  int64_t inner = 1;
  for (int i = axis + 1; i < shape.rank(); ++i)
    inner *= shape[i];
  const int64_t extent = shape[axis];
  shape[axis] = end - begin;
  Tensor part(whole.type.with(shape));
  int64_t at = 0;
  for (int64_t i = 0; i < whole.size(); ++i) {
    const int64_t position = i / inner % extent;
    if (position >= begin && position < end) part[at++] = whole[i];
  }
  return part;
}

std::vector<TargetInfo> targets() {
  std::vector<TargetInfo> all = {TargetInfo::host()};
  if (all[0].triple.substr(0, 6) == "x86_64" && all[0].has_fma)
    all.push_back(TargetInfo::generic_avx2());
  return all;
}

/// At multiples of 64, before one, and at the ends.
std::vector<int64_t> cuts_of(int64_t extent) {
  std::vector<int64_t> all;
  for (const int64_t cut : {int64_t{1}, int64_t{63}, int64_t{64}, extent / 128 * 64, extent - 64})
    if (cut > 0 && cut < extent) all.push_back(cut);
  return all;
}

/// What is computed of terms in one piece is also computed of these in two and three.
void expect_no_cut(const Tensor& whole, int axis, const Make& of_whole,
                   const std::vector<Tensor>& more, const std::string& what) {
  const auto with_more = [&](std::vector<Tensor> inputs) {
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  const int64_t extent = whole.type.shape[axis];
  for (const TargetInfo& target : targets()) {
    const Bytes wanted = output_of(with_more({whole}), of_whole, target);
    for (const int64_t cut : cuts_of(extent)) {
      std::vector<int64_t> ends = {0, cut, extent};
      if (cut + 64 < extent && cut % 2 == 0) ends.insert(ends.begin() + 2, cut + 64);
      std::vector<Tensor> pieces;
      for (size_t i = 0; i + 1 < ends.size(); ++i)
        pieces.push_back(part_of(whole, axis, ends[i], ends[i + 1]));
      const auto count = static_cast<std::ptrdiff_t>(pieces.size());
      const Make of_pieces = [&](const std::vector<Val>& x) {
        std::vector<Val> operands = {x[0].builder().add(Op::kConcat, {x.begin(), x.begin() + count},
                                                        make_attrs(AxisAttrs{axis}))};
        operands.insert(operands.end(), x.begin() + count, x.end());
        return of_whole(operands);
      };
      EXPECT_TRUE(output_of(with_more(pieces), of_pieces, target) == wanted)
          << what << " of " << to_string(whole.type) << " cut at " << cut << " for " << target.cpu;
    }
  }
}

TEST(Cuts, SumsOfAConcatenation) {
  const std::vector<std::pair<Shape, int>> runs = {{{5, 130}, 1},   {{3, 1041}, 1}, {{1, 20000}, 1},
                                                   {{40000}, 0},    {{300, 7}, 0},  {{12000, 3}, 0},
                                                   {{6, 200, 5}, 1}};
  for (const auto& [shape, axis] : runs) {
    const Make sum = [along = axis](const std::vector<Val>& x) {
      return reduce_sum(x[0] * x[0], {along});
    };
    expect_no_cut(drawn(shape, 3), axis, sum, {}, "the sum");
  }
  const Make all = [](const std::vector<Val>& x) { return reduce_sum(x[0], {0, 1}); };
  expect_no_cut(drawn({70, 64}, 4), 1, all, {}, "the sum of both axes");
}

TEST(Cuts, SumsOfPaddedAndReversedRuns) {
  for (const int64_t extent : {190, 1000, 20000}) {
    const Tensor x = drawn({2, extent}, 5);
    for (const int64_t pad_low : {1, 64, 100, 128}) {
      Tensor padded(TensorType{DType::kF32, Shape{2, extent + pad_low + 3}});
      for (int64_t row = 0; row < 2; ++row) {
        for (int64_t i = 0; i < extent; ++i)
          padded[row * (extent + pad_low + 3) + pad_low + i] = x[row * extent + i];
      }
      const Make sum = [](const std::vector<Val>& v) { return reduce_sum(v[0], {1}); };
      const Make of_padded = [&](const std::vector<Val>& v) {
        return reduce_sum(pad(v[0], {0, pad_low}, {0, 3}), {1});
      };
      for (const TargetInfo& target : targets())
        EXPECT_TRUE(output_of({padded}, sum, target) == output_of({x}, of_padded, target))
            << extent << " and " << pad_low;
    }
  }
}

TEST(Cuts, ProductsOverAConcatenation) {
  struct Sizes {
    int64_t m, k, n;
  };
  for (const Sizes& s : {Sizes{33, 300, 17}, {5, 5000, 3}, {1, 2000, 1}}) {
    for (const DType multiply : {DType::kF32, DType::kBF16}) {
      const std::string what = std::string(dtype_name(multiply)) + " product";
      const auto product = [&](Val a, Val b, bool transpose_a, bool transpose_b) {
        MatmulAttrs attrs{transpose_a, transpose_b};
        if (multiply != DType::kF32) attrs.multiply = multiply;
        return a.builder().add(Op::kMatmul, {a, b}, make_attrs(attrs));
      };
      expect_no_cut(
          drawn({s.m, s.k}, 6), 1,
          [&](const std::vector<Val>& x) { return product(x[0], x[1], false, false); },
          {drawn({s.k, s.n}, 7)}, what + ", rows cut");
      expect_no_cut(
          drawn({s.k, s.m}, 8), 0,
          [&](const std::vector<Val>& x) { return product(x[0], x[1], true, true); },
          {drawn({s.n, s.k}, 9)}, what + ", columns cut");
    }
  }
}

TEST(Cuts, TheComparisonCanFail) {
  const Tensor x = drawn({2, 1041}, 3);
  const Make whole = [](const std::vector<Val>& v) { return reduce_sum(v[0], {1}); };
  const Make by_parts = [](const std::vector<Val>& v) {
    return reduce_sum(v[0], {1}) + reduce_sum(v[1], {1});
  };
  const std::vector<Tensor> parts = {part_of(x, 1, 0, 100), part_of(x, 1, 100, 1041)};
  EXPECT_FALSE(output_of({x}, whole, TargetInfo::host()) ==
               output_of(parts, by_parts, TargetInfo::host()));
}

}  // namespace
}  // namespace gradc
