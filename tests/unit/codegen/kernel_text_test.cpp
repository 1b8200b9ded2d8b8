#include "codegen/kernel/kernel_interpreter.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"

#include <gtest/gtest.h>

#include <string>

namespace gradc::kernel {
namespace {

std::unique_ptr<For> loop(VarId var, int64_t end, LoopKind kind) {
  auto result = std::make_unique<For>();
  result->var = var;
  result->end = end;
  result->kind = kind;
  return result;
}

/// y[i] = x[i] + bias, over n elements, with the given shift of the load.
Kernel shifted_copy(const std::string& name, int64_t n, int64_t shift) {
  Kernel k;
  k.name = name;
  KernelBuilder b(k);
  const BufferId x = b.buffer(name + "_x", DType::kF32, {n}, BufferRole::kIn);
  const BufferId y = b.buffer("y", DType::kF32, {n}, BufferRole::kOut);
  const VarId i = b.var("i");
  auto outer = loop(i, n, LoopKind::kParallelVector);
  Affine at = Affine::variable(i);
  at.offset = shift;
  const ExprId sum = b.scalar(ScalarOp::kAdd, DType::kF32, b.load(x, at), b.constant(0.5));
  outer->body.push_back(Store{y, Affine::variable(i), {}, sum, false});
  k.body.push_back(std::move(outer));
  return k;
}

TEST(KernelText, PrintsLoopsAndStores) {
  EXPECT_EQ(to_string(shifted_copy("copy", 8, 0)),
            "kernel @copy(copy_x: in f32[8], y: out f32[8]) {\n"
            "  parallel_vector i in 0..8 {\n"
            "    y[i] = (copy_x[i] + 0.5)\n"
            "  }\n"
            "}\n");
}

TEST(KernelText, CanonicalTextIgnoresNamesOnly) {
  EXPECT_EQ(canonical_text(shifted_copy("one", 8, 0)), canonical_text(shifted_copy("two", 8, 0)));
  EXPECT_NE(canonical_text(shifted_copy("one", 8, 0)), canonical_text(shifted_copy("one", 9, 0)));
  Kernel aliased = shifted_copy("one", 8, 0);
  aliased.buffers[0].may_alias = true;
  EXPECT_NE(canonical_text(shifted_copy("one", 8, 0)), canonical_text(aliased));
}

TEST(KernelVerifier, AcceptsInBoundsAndRefusesOutOfBounds) {
  EXPECT_TRUE(verify(shifted_copy("good", 8, 0)).empty());
  const std::vector<Diagnostic> errors = verify(shifted_copy("bad", 8, 1));
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_EQ(errors[0].message,
            "kernel @bad: load of bad_x[i + 1] spans [1, 8], outside its 8 elements");
}

TEST(KernelVerifier, GuardsBoundPartsOfAnIndex) {
  Kernel k;
  k.name = "padded";
  KernelBuilder b(k);
  const BufferId x = b.buffer("x", DType::kF32, {4, 6, 3}, BufferRole::kIn);
  const BufferId y = b.buffer("y", DType::kF32, {6, 8, 3}, BufferRole::kOut);
  const VarId i = b.var("i");
  const VarId j = b.var("j");
  const VarId c = b.var("c");
  Affine row = Affine::variable(i);
  row.offset = -1;
  Affine col = Affine::variable(j);
  col.offset = -1;
  Affine at = Affine::variable(c);
  at.add(row, 18).add(col, 3);
  const auto within = [&](const Affine& a, double limit) {
    return b.scalar(
        ScalarOp::kAnd, DType::kBool,
        b.scalar(ScalarOp::kGe, DType::kBool, b.index(a), b.constant(0, DType::kI64)),
        b.scalar(ScalarOp::kLt, DType::kBool, b.index(a), b.constant(limit, DType::kI64)));
  };
  const auto build = [&](bool both) {
    const ExprId rows = within(row, 4);
    const ExprId cond = both ? b.scalar(ScalarOp::kAnd, DType::kBool, rows, within(col, 6)) : rows;
    auto li = loop(i, 6, LoopKind::kParallel);
    auto lj = loop(j, 8, LoopKind::kSerial);
    auto lc = loop(c, 3, LoopKind::kVector);
    Affine out = Affine::variable(i, 24);
    out.add(Affine::variable(j, 3)).add(Affine::variable(c));
    lc->body.push_back(Store{y, out, {}, b.guard(cond, b.load(x, at), b.constant(7)), false});
    lj->body.push_back(std::move(lc));
    li->body.push_back(std::move(lj));
    k.body.clear();
    k.body.push_back(std::move(li));
  };
  build(true);
  EXPECT_TRUE(verify(k).empty()) << verify(k)[0].message;
  Tensor in(f32({4, 6, 3}));
  for (int64_t e = 0; e < in.size(); ++e)
    in[e] = static_cast<double>(e);
  Tensor out(f32({6, 8, 3}));
  std::vector<Tensor*> arguments = {&in, &out};
  interpret(k, arguments);
  EXPECT_EQ(out[0], 7);
  EXPECT_EQ(out[24 + 3 + 2], 2);
  EXPECT_EQ(out[2 * 24 + 6 * 3 + 1], 18 + 5 * 3 + 1);
  build(false);
  EXPECT_EQ(verify(k).size(), 1U);
}

TEST(KernelVerifier, ReportsEveryMisuse) {
  Kernel k = shifted_copy("wrong", 8, 0);
  KernelBuilder b(k);
  const LocalId unset = b.local("unset", DType::kF32);
  const VarId other = b.var("other");
  auto& outer = *std::get<std::unique_ptr<For>>(k.body[0]);
  outer.body.push_back(Store{BufferId(0), Affine::constant(0), {}, b.read(unset), false});
  outer.body.push_back(Store{BufferId(1), Affine::variable(other), {}, b.constant(1, DType::kI64)});
  outer.body.push_back(loop(other, 4, LoopKind::kVector));
  k.body.push_back(loop(other, 4, LoopKind::kParallel));
  std::string all;
  for (const Diagnostic& d : verify(k))
    all += d.message + "\n";
  for (const char* expected :
       {"%unset is used before it is defined", "store to wrong_x, which is only read",
        "has another dtype", "outside its loop", "vector loop other inside a vector loop",
        "more than a let stands before a parallel", "does not depend on the parallel variable i"})
    EXPECT_NE(all.find(expected), std::string::npos) << expected << "\n" << all;
}

}  // namespace
}  // namespace gradc::kernel
