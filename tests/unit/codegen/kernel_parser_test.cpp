// Kernels read back: each construct, and every mistake with its place.
// tests/unit/codegen/kernel_text.h holds the same for all kernels that tests lower.
#include "codegen/kernel/kernel_parser.h"

#include "codegen/kernel/kernel_verifier.h"
#include "tests/unit/codegen/kernel_text.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace gradc::kernel {
namespace {

constexpr const char* kEverything =
    R"(kernel @all(x: in f32[4x8], idx: in i32[4], w: inout f64[8] alias align=64, y: out f32[4x8], s: out i64[]) flops=1024 {
  tmp: local f32[8]
  let %seed: i64 = -5:i64
  parallel i in 0..4 grain=2 {
    var %acc: f32 = -inf
    vector j in 0..8 {
      tmp[j] = (x[8*i + j] * 0.5)
      %acc max= tmp[j]
      %acc += guard(((i - 1) >= 0:i64), x[8*i + j - 8], 1e-07)
    }
    unroll u in -1..2 {
      if (f64((u)) < w[0]) {
        y[8*i + f(idx[i])] += select((%acc == nan), %acc, random(%seed, 3:i64, (2*u + 1), -7:i64))
      }
    }
    s[0] = (floor_div((i + 1), 3) + floor_mod(i64(idx[i]), 2))
  }
}
)";

std::string text() {
  std::string result = kEverything;
  result.replace(result.find("f(idx[i])"), 9, "i64(idx[i])");
  return result;
}

TEST(KernelParser, EveryConstructReadsBack) {
  const auto kernel = parse_kernel(text(), "all");
  ASSERT_TRUE(kernel.ok()) << kernel.message();
  EXPECT_EQ(to_string(*kernel), text());
  EXPECT_EQ(testing::reading_back_problem(*kernel), "");
  EXPECT_EQ(kernel->name, "all");
  EXPECT_EQ(kernel->flops, 1024);
  EXPECT_EQ(kernel->num_arguments(), 5U);
  EXPECT_EQ(kernel->buffers[2].alignment, 64);
  EXPECT_TRUE(kernel->buffers[2].may_alias);
}

TEST(KernelParser, ContractionsReadBack) {
  const std::string contraction =
      "kernel @\"a b\"(a: in f32[2x4x5], b: in f32[5x6], c: out f32[2x4x6]) {\n"
      "  contract serial batch=(g:2) m=(i:4) n=(j:6) k=(p:5) a=a[20*g + 5*i + p] "
      "b=relu(b[6*p + j]) acc=%acc: f32 {\n"
      "    let %r: f32 = (%acc + 1)\n"
      "    c[24*g + 6*i + j] = %r\n"
      "  }\n"
      "}\n";
  const auto kernel = parse_kernel(contraction, "c");
  ASSERT_TRUE(kernel.ok()) << kernel.message();
  EXPECT_EQ(to_string(*kernel), contraction);
  EXPECT_TRUE(verify(*kernel).empty()) << verify(*kernel)[0].message;
}

TEST(KernelParser, NamesBecomeWordsAndStayApart) {
  Kernel k;
  k.name = "odd";
  KernelBuilder b(k);
  const BufferId x = b.buffer("23", DType::kF32, {4}, BufferRole::kIn);
  const BufferId y = b.buffer("a/b", DType::kF32, {4}, BufferRole::kOut);
  const BufferId z = b.buffer("a_b", DType::kF32, {4}, BufferRole::kOut);
  const VarId inf = b.var("inf");
  const VarId other = b.var("v23");
  for (const auto& [buffer, var] : {std::pair{y, inf}, std::pair{z, other}}) {
    auto loop = std::make_unique<For>();
    loop->var = var;
    loop->end = 4;
    loop->body.push_back(
        Store{buffer, Affine::variable(var), {}, b.load(x, Affine::variable(var))});
    k.body.push_back(std::move(loop));
  }
  EXPECT_TRUE(verify(k).empty());
  EXPECT_EQ(testing::reading_back_problem(k), "");
  EXPECT_NE(to_string(k).find("a_b.1[v23]"), std::string::npos) << to_string(k);
}

TEST(KernelParser, NumbersKeepTheirBits) {
  const double smallest = std::numeric_limits<double>::denorm_min();
  for (const double value :
       {0.0, -0.0, 0.1, 1.0 / 3.0, -1e300, smallest, 1e-7, 16777217.0,
        std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    for (const DType dtype : {DType::kF32, DType::kF64, DType::kI32, DType::kBool}) {
      Kernel k;
      k.name = "k";
      KernelBuilder b(k);
      const BufferId y = b.buffer("y", dtype, {1}, BufferRole::kOut);
      k.body.push_back(Store{y, {}, {}, b.constant(value, dtype)});
      EXPECT_EQ(testing::reading_back_problem(k), "") << value;
    }
  }
}

TEST(KernelParser, IndicesAndOperandsAreToldApart) {
  Kernel k;
  k.name = "k";
  KernelBuilder b(k);
  const BufferId y = b.buffer("y", DType::kI64, {64}, BufferRole::kInOut);
  const VarId i = b.var("i");
  Affine affine = Affine::variable(i, -2);
  affine.offset = 3;
  const ExprId two = b.constant(2, DType::kI64), index = b.index(affine);
  const ExprId narrow = b.index(affine, DType::kI32), none = b.index({}), load = b.load(y, {});
  const auto of = [&](ScalarOp op, ExprId l, ExprId r) { return b.scalar(op, DType::kI64, l, r); };
  const std::vector<ExprId> all = {
      two,
      index,
      none,
      b.index(Affine::constant(-5)),
      b.cast(narrow, DType::kI64),
      of(ScalarOp::kMul, two, load),
      of(ScalarOp::kSub, load, b.constant(-2, DType::kI64)),
      of(ScalarOp::kMul, b.constant(-2, DType::kI64), load),
      of(ScalarOp::kAdd, index, two),
      of(ScalarOp::kMax, index, none),
      b.load(y, Affine::variable(i), two),
      b.load(y, Affine::constant(0), index),
      b.load(y, affine, of(ScalarOp::kMul, two, index)),
      b.load(y, Affine::constant(-1), b.load(y, {})),
  };
  auto loop = std::make_unique<For>();
  loop->var = i;
  loop->end = 2;
  for (const ExprId one : all)
    loop->body.push_back(Store{y, Affine::variable(i), {}, one});
  k.body.push_back(std::move(loop));
  EXPECT_EQ(testing::reading_back_problem(k), "");
}

TEST(KernelParser, ErrorsNameLineAndColumn) {
  const auto problems = [](const std::string& text) {
    const auto kernel = parse_kernel(text, "k.kernel");
    if (kernel.ok()) return std::string("none");
    SourceSet sources;
    sources.add(SourceFile("k.kernel", text));
    std::string all;
    for (const Diagnostic& one : kernel.diagnostics()) {
      const std::string whole = render_diagnostics({&one, 1}, sources);
      all += whole.substr(0, whole.find('\n')) + "\n";
    }
    return all;
  };
  EXPECT_EQ(problems("kernel @k(x: in f32[4], y: out f32[4]) {\n"
                     "  for i in 0..4 {\n"
                     "    y[i] = x[j]\n"
                     "    y[i = 1\n"
                     "    z[i] = (x[i] ^ 2)\n"
                     "    y[i] = %t\n"
                     "  }\n"
                     "  vector in 0..4 {\n"
                     "    y[0] = sine(x[0])\n"
                     "  }\n"
                     "  let %t: f33 = 1\n"
                     "}\n"),
            "k.kernel:5:18: error: unexpected character [ir-syntax]\n"
            "k.kernel:3:14: error: no loop variable is called \"j\" here [ir-syntax]\n"
            "k.kernel:4:9: error: expected \"]\", found \"=\" [ir-syntax]\n"
            "k.kernel:5:5: error: no buffer is called \"z\" [ir-syntax]\n"
            "k.kernel:6:12: error: %t is not defined above [ir-syntax]\n"
            "k.kernel:8:13: error: expected \"in\", found \"0\" [ir-syntax]\n"
            "k.kernel:9:12: error: no function is called \"sine\" [ir-syntax]\n"
            "k.kernel:11:11: error: expected an element type such as f32, found \"f33\" "
            "[ir-syntax]\n");
  EXPECT_EQ(problems(""), "k.kernel:1:1: error: expected one kernel, found 0 [ir-syntax]\n");
  EXPECT_EQ(problems("kernel @k() {\n"),
            "k.kernel:2:1: error: expected \"}\", found the end of the text [ir-syntax]\n");
  for (const char* wrong :
       {"kernel @k(x: in f32[0]) {\n}\n", "kernel @k(x: in f32[2x]) {\n}\n",
        "kernel @k(x: in f32[2], x: out f32[2]) {\n}\n", "kernel @k(x: local f32[2]) {\n}\n",
        "kernel @k(x: in f32[99999999999999999999]) {\n}\n",
        "kernel @k(x: in f32[1000000x1000000x1000000]) {\n}\n",
        "kernel @k(x: out f32[1]) {\n  x[0] = floor_div(x[0], 0)\n}\n",
        "kernel @k(x: out f32[1]) {\n  x[0] = max(x[0])\n}\n",
        "kernel @k(x: out f32[1]) {\n  x[99999999999999999999] = 1\n}\n",
        "kernel @k(x: out f32[1]) {\n  let %a: f32 = 1\n  var %a: f32 = 1\n}\n",
        "kernel @\"k(x: out f32[1]) {\n}\n", "kernel k() {\n}\n", "}\n"})
    EXPECT_NE(problems(wrong), "none") << wrong;
}

TEST(KernelParser, DepthIsBounded) {
  std::string deep = "kernel @k(x: out f32[1]) {\n  x[0] = ";
  for (int i = 0; i < 100000; ++i)
    deep += "neg(";
  EXPECT_FALSE(parse_kernel(deep, "deep").ok());
  std::string blocks = "kernel @k() {\n";
  for (int i = 0; i < 100000; ++i)
    blocks += "if 1:bool {\n";
  EXPECT_FALSE(parse_kernel(blocks, "blocks").ok());
}

}  // namespace
}  // namespace gradc::kernel
