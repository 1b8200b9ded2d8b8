// Windows of bf16 that overlap are read from a copy of their image in words: where that is to be
// so, and with the bits of code that makes no words at all.
#include "codegen/llvm/micro/contract_plan.h"
#include "ir/builder.h"
#include "ir/conv_geometry.h"
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph_builder.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

struct Case {
  const char* name;
  Shape x, w;
  ConvAttrs attrs;
  bool forward, input, filter;  ///< whether the contraction reads words of an image
};

/// Strides, dilations, groups, three dimensions, odd channels and widths; sums in one piece and in
/// blocks. Words that are too many, or begin at odd elements, are not worth it.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"16 channels",
       {3, 20, 20, 16},
       {3, 3, 16, 16},
       {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}},
       true,
       true,
       false},
      {"one image",
       {1, 32, 32, 16},
       {3, 3, 16, 16},
       {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}},
       true,
       true,
       true},
      {"deep sums",
       {5, 32, 32, 16},
       {3, 3, 16, 16},
       {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}},
       true,
       true,
       true},
      {"no padding", {2, 18, 18, 32}, {3, 3, 32, 16}, {}, true, true, false},
      {"stride 2", {2, 33, 33, 16}, {5, 5, 16, 16}, {{2, 2}, {}, {}, {}, 1, {}}, true, true, false},
      {"dilation",
       {2, 20, 20, 16},
       {3, 3, 16, 16},
       {{1, 1}, {2, 2}, {2, 2}, {2, 2}, 1, {}},
       false,
       false,
       false},
      {"odd channels", {2, 20, 20, 5}, {3, 3, 5, 16}, {}, false, true, false},
      {"odd width",
       {2, 21, 21, 16},
       {3, 3, 16, 16},
       {{1, 1}, {1, 1}, {1, 1}, {}, 1, {}},
       true,
       true,
       false},
      {"groups",
       {2, 16, 16, 32},
       {3, 3, 16, 32},
       {{1, 1}, {1, 1}, {1, 1}, {}, 2, {}},
       true,
       true,
       false},
      {"three dimensions", {2, 8, 8, 8, 8}, {3, 3, 3, 8, 16}, {}, false, false, false},
      {"windows apart",
       {2, 30, 30, 16},
       {2, 2, 16, 16},
       {{3, 3}, {}, {}, {}, 1, {}},
       false,
       false,
       false},
  };
  return all;
}

struct Made {
  std::shared_ptr<Graph> graph;
  std::vector<Tensor> inputs;
  kernel::Program program;
};

Made made(Op op, const Case& c, DType dtype, const TargetInfo& target) {
  Made m;
  m.graph = std::make_shared<Graph>("windows");
  Builder builder(*m.graph);
  const Shape y = conv_geometry("conv", {dtype, c.x}, {dtype, c.w}, c.attrs)->output_shape();
  const Shape a = op == Op::kConvInputGrad ? y : c.x;
  const Shape b = op == Op::kConvFilterGrad ? y : c.w;
  ConvAttrs attrs = c.attrs;
  attrs.multiply = DType::kBF16;
  attrs.result = DType::kF32;
  if (op == Op::kConvInputGrad) attrs.shape = c.x.to_vector();
  if (op == Op::kConvFilterGrad) attrs.shape = c.w.to_vector();
  const Val x = builder.input(InputKind::kInput, {dtype, a}, "a", "a");
  const Val w = builder.input(InputKind::kInput, {dtype, b}, "b", "b");
  m.graph->add_output("y", builder.add(op, {x, w}, make_attrs(attrs)).id());
  testing::Random random(7);
  for (const GraphInput& input : m.graph->inputs()) {
    Tensor& t = m.inputs.emplace_back(m.graph->type(input.value));
    for (double& number : t.data)
      number = static_cast<double>(random.between(-(1 << 23), 1 << 23)) * 0x1p-23;
    t = test::from_bytes(t.type, test::to_bytes(t));
  }
  PassContext context;
  const Status status = run_passes(*m.graph, kPlanned, context);
  EXPECT_TRUE(status.ok()) << status.message();
  const kernel::LowerEntry entry = test::entry_of(*m.graph, *context.plan);
  auto program = kernel::lower("windows", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  m.program = program.take();
  return m;
}

/// Whether every contraction of the program reads words of an image.
bool is_staged(const kernel::Program& program, const TargetInfo& target) {
  int staged = 0, others = 0;
  for (const kernel::Kernel& k : program.kernels) {
    for (const kernel::Stmt& stmt : k.body) {
      const auto* contract = std::get_if<std::unique_ptr<kernel::Contract>>(&stmt);
      if (contract == nullptr) continue;
      const bool is = cg::plan_contract(**contract, k, target).a_layout == cg::Layout::kStaged;
      ++(is ? staged : others);
    }
  }
  return staged > 0 && others == 0;
}

std::vector<std::byte> bits_of(const Made& m, const TargetInfo& target) {
  const auto jit = jit_compile(m.program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const test::Memory memory = test::run_compiled(code, *m.graph, m.inputs, 1);
  EXPECT_TRUE(test::run_compiled(code, *m.graph, m.inputs, 3) == memory);
  return memory.back();
}

constexpr Op kOps[] = {Op::kConv, Op::kConvInputGrad, Op::kConvFilterGrad};

TEST(StagedWindows, WhereWindowsOverlap) {
  TargetInfo target = TargetInfo::generic_avx512();
  target.has_bf16_dot = true;
  for (const Case& c : cases()) {
    const bool wanted[] = {c.forward, c.input, c.filter};
    for (size_t i = 0; i < std::size(kOps); ++i) {
      for (const DType dtype : {DType::kF32, DType::kBF16})
        EXPECT_EQ(is_staged(made(kOps[i], c, dtype, target).program, target), wanted[i])
            << c.name << ", " << op_name(kOps[i]) << " of " << dtype_name(dtype);
    }
  }
}

TEST(StagedWindows, HaveTheBitsOfCodeWithoutWords) {
  const TargetInfo host = TargetInfo::host();
  if (!host.has_bf16_dot) GTEST_SKIP() << "this processor has no dot instructions of bf16";
  const TargetInfo plain = TargetInfo::generic_avx2();
  for (const Case& c : cases()) {
    for (const Op op : kOps) {
      for (const DType dtype : {DType::kF32, DType::kBF16})
        EXPECT_TRUE(bits_of(made(op, c, dtype, host), host) ==
                    bits_of(made(op, c, dtype, plain), plain))
            << c.name << ", " << op_name(op) << " of " << dtype_name(dtype);
    }
  }
}

}  // namespace
}  // namespace gradc
