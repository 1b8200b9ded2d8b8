// Contractions of every element type: compiled code gives the bits that the kernel interpreter
// gives when it rounds, with dot instructions and without, and stays near the graph interpreter.
#include "codegen/kernel/kernel_interpreter.h"
#include "codegen/kernel/kernel_verifier.h"
#include "ir/builder.h"
#include "ir/contraction_types.h"
#include "ir/conv_geometry.h"
#include "ir/interpreter.h"
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

using Make = std::function<Val(Builder&, Val a, Val b)>;

struct Types {
  DType a, b;
  std::optional<DType> multiply, result;
};

const Types kTypes[] = {
    {DType::kF32, DType::kF32, {}, {}},
    {DType::kF64, DType::kF64, {}, {}},
    {DType::kBF16, DType::kBF16, {}, DType::kF32},
    {DType::kBF16, DType::kBF16, {}, {}},
    {DType::kF32, DType::kF32, DType::kBF16, {}},
    {DType::kBF16, DType::kF32, DType::kBF16, DType::kF32},
    {DType::kF32, DType::kBF16, DType::kBF16, DType::kBF16},
    {DType::kF16, DType::kF16, {}, DType::kF32},
    {DType::kF32, DType::kF32, DType::kF16, {}},
    {DType::kF32, DType::kF64, DType::kF64, DType::kF64},
    {DType::kF64, DType::kF64, DType::kF32, DType::kF64},
};

std::string text_of(const Types& t) {
  const auto name = [](std::optional<DType> d) {
    return d ? std::string(dtype_name(*d)) : std::string("-");
  };
  return name(t.a) + " " + name(t.b) + " " + name(t.multiply) + " " + name(t.result);
}

struct Product {
  std::shared_ptr<Graph> graph;
  std::vector<Tensor> inputs;
  kernel::Program program;
};

Product lowered(const TensorType& a, const TensorType& b, const Make& make,
                const TargetInfo& target) {
  Product p;
  p.graph = std::make_shared<Graph>("product");
  Builder builder(*p.graph);
  const Val x = builder.input(InputKind::kInput, a, "a", "a");
  const Val y = builder.input(InputKind::kInput, b, "b", "b");
  p.graph->add_output("y", make(builder, x, y).id());
  p.inputs = testing::random_inputs(*p.graph, 5);
  // Operands whose bits are all used, in steps that every type here but f32 has to round.
  uint32_t state = 1;
  for (Tensor& t : p.inputs) {
    for (double& x1 : t.data) {
      state = state * 1664525U + 1013904223U;
      x1 = static_cast<double>(static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31F);
    }
    t = test::from_bytes(t.type, test::to_bytes(t));
  }
  PassContext context;
  const Status status = run_passes(*p.graph, kPlanned, context);
  EXPECT_TRUE(status.ok()) << status.message();
  const kernel::LowerEntry entry = test::entry_of(*p.graph, *context.plan);
  auto program = kernel::lower("product", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  p.program = program.take();
  EXPECT_TRUE(kernel::verify(p.program).empty());
  EXPECT_EQ(testing::reading_back_problem(p.program.kernels), "");
  return p;
}

std::vector<std::byte> compiled(const Product& p, const TargetInfo& target) {
  const auto jit = jit_compile(p.program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const test::Memory memory = test::run_compiled(code, *p.graph, p.inputs, 1);
  EXPECT_TRUE(test::run_compiled(code, *p.graph, p.inputs, 3) == memory);
  return memory[p.inputs.size()];
}

Tensor interpreted(const Product& p) {
  std::vector<Tensor> memory = p.inputs;
  memory.emplace_back(p.graph->type(p.graph->outputs()[0].value));
  std::vector<Tensor*> slots;
  for (Tensor& t : memory)
    slots.push_back(&t);
  kernel::interpret(p.program, p.program.entries[0], slots, {.round_f32 = true});
  return memory.back();
}

/// This machine's code, and on x86-64 that without dot instructions and for AVX2. A product of bf16
/// or f16 is exact, so its sums are those of SSE too, which has no fused multiply-add.
std::vector<TargetInfo> targets(DType multiply) {
  std::vector<TargetInfo> all = {TargetInfo::host()};
  if (all[0].triple.substr(0, 6) != "x86_64") return all;
  if (all[0].has_bf16_dot) all.push_back(TargetInfo::generic_avx512());
  if (all[0].has_fma) all.push_back(TargetInfo::generic_avx2());
  if (accumulator_dtype(multiply) != multiply) all.push_back(TargetInfo::generic_sse());
  return all;
}

/// The most that rounding a number below 2 takes from it.
double half_step(DType type) {
  if (type == DType::kF64) return 0x1p-53;
  if (type == DType::kF32) return 0x1p-24;
  return type == DType::kF16 ? 0x1p-11 : 0x1p-8;
}

/// Compiled on every target against the rounding interpreter, and that against exact sums.
void check(const std::string& what, const TensorType& a, const TensorType& b, const Make& make,
           int64_t depth, DType multiply) {
  const Product p = lowered(a, b, make, TargetInfo::host());
  const Tensor wanted = interpreted(p);
  for (const TargetInfo& target : targets(multiply)) {
    EXPECT_TRUE(compiled(lowered(a, b, make, target), target) == test::to_bytes(wanted))
        << what << ", " << target.vector_bytes << " byte vectors, dot " << target.has_bf16_dot;
  }
  const auto exact = interpret(*p.graph, p.inputs);
  ASSERT_TRUE(exact.ok());
  // Operands in [-1, 1): each product is off by two roundings, each sum by one per term.
  const auto k = static_cast<double>(depth);
  const double bound = k * (2 * half_step(multiply) + k * half_step(accumulator_dtype(multiply))) +
                       k * half_step(wanted.type.dtype);
  for (size_t i = 0; i < wanted.data.size(); ++i)
    ASSERT_NEAR(wanted.data[i], exact->outputs[0].data[i], bound) << what << " at " << i;
}

TEST(ElementTypes, MatrixProductsHaveTheBitsOfTheInterpreter) {
  struct Sizes {
    int64_t batch, m, k, n;
    bool ta, tb;
  };
  const Sizes sizes[] = {
      {1, 33, 40, 50, false, false},  {1, 33, 41, 50, false, false},
      {1, 20, 97, 33, true, false},   {1, 50, 31, 70, false, true},
      {1, 29, 64, 40, true, true},    {2, 17, 35, 48, false, false},
      {1, 64, 2, 64, false, false},   {1, 40, 3, 40, false, true},
      {1, 100, 130, 16, false, true}, {1, 3, 50, 40, false, false},
      {1, 1, 300, 50, false, true},   {1, 40, 700, 1, false, false},
      {1, 6, 4100, 8, true, false},   {1, 30, 1500, 20, false, false},
      {1, 30, 1301, 40, false, true},
  };
  for (const Types& types : kTypes) {
    for (const Sizes& s : sizes) {
      const auto shape = [&](int64_t rows, int64_t columns, bool transposed) {
        if (transposed) std::swap(rows, columns);
        return s.batch == 1 ? Shape{rows, columns} : Shape{s.batch, rows, columns};
      };
      const Make make = [&](Builder& builder, Val x, Val y) {
        return builder.add(Op::kMatmul, {x, y},
                           make_attrs(MatmulAttrs{s.ta, s.tb, types.multiply, types.result}));
      };
      check(text_of(types) + fmt::format(": {}x{}x{}", s.m, s.k, s.n),
            {types.a, shape(s.m, s.k, s.ta)}, {types.b, shape(s.k, s.n, s.tb)}, make, s.k,
            types.multiply.value_or(types.a));
    }
  }
}

TEST(ElementTypes, ConvolutionsAndTheirGradientsHaveTheBitsOfTheInterpreter) {
  struct Case {
    Shape x, w;
    ConvAttrs attrs;
  };
  const Case cases[] = {
      {{2, 12, 12, 16}, {3, 3, 16, 32}, {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}}},
      {{2, 13, 12, 5}, {3, 3, 5, 24}, {{2, 2}, {1, 1}, {1, 1}, {}, 1, {}}},
      {{2, 9, 9, 3}, {5, 5, 3, 20}, {}},
      {{2, 10, 10, 8}, {3, 3, 4, 16}, {{1, 1}, {1, 1}, {1, 1}, {}, 2, {}}},
      {{3, 20, 20, 1}, {3, 3, 1, 16}, {}},
      {{2, 10, 10, 8}, {3, 3, 1, 8}, {{1, 1}, {1, 1}, {1, 1}, {}, 8, {}}},
  };
  for (const Types& types : kTypes) {
    const DType multiply = types.multiply.value_or(types.a);
    for (const Case& c : cases) {
      const Shape y =
          conv_geometry("conv", {types.a, c.x}, {types.b, c.w}, c.attrs)->output_shape();
      const auto with = [&](Op op, const Shape& result) -> Make {
        ConvAttrs attrs = c.attrs;
        if (op != Op::kConv) attrs.shape = result.to_vector();
        attrs.multiply = types.multiply;
        attrs.result = types.result;
        return [op, attrs](Builder& builder, Val a, Val b) {
          return builder.add(op, {a, b}, make_attrs(attrs));
        };
      };
      const std::string what = text_of(types) + ": " + to_string(c.x) + " * " + to_string(c.w);
      const int64_t taps = c.w.num_elements();
      check(what, {types.a, c.x}, {types.b, c.w}, with(Op::kConv, y), taps / c.w.back(), multiply);
      check(what + " dx", {types.a, y}, {types.b, c.w}, with(Op::kConvInputGrad, c.x), taps,
            multiply);
      check(what + " dw", {types.a, c.x}, {types.b, y}, with(Op::kConvFilterGrad, c.w),
            y.num_elements() / y.back(), multiply);
    }
  }
}

/// The order in which a pair is added shows: (a0 b0 + a1 b1) + s is another number.
TEST(ElementTypes, TheComparisonSeesTheOrder) {
  const TensorType a{DType::kBF16, {40, 64}}, b{DType::kBF16, {64, 40}};
  const Make make = [](Builder& builder, Val x, Val y) {
    return builder.add(Op::kMatmul, {x, y}, make_attrs(MatmulAttrs{false, false, {}, DType::kF32}));
  };
  const Product p = lowered(a, b, make, TargetInfo::host());
  const Tensor sequence = interpreted(p);
  size_t different = 0;
  for (int64_t i = 0; i < 40; ++i) {
    for (int64_t j = 0; j < 40; ++j) {
      float sum = 0;
      const auto product = [&](int64_t k) {
        return static_cast<float>(p.inputs[0].data[static_cast<size_t>(i * 64 + k)] *
                                  p.inputs[1].data[static_cast<size_t>(k * 40 + j)]);
      };
      for (int64_t k = 0; k < 64; k += 2)
        sum += product(k) + product(k + 1);
      different += static_cast<double>(sum) != sequence.data[static_cast<size_t>(i * 40 + j)];
    }
  }
  EXPECT_GT(different, 20U);
}

}  // namespace
}  // namespace gradc
