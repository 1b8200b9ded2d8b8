// The order of a sum follows from its extents: whatever else is computed beside it, on whatever
// instruction set, by compiled code or by the kernel interpreter, the bits are the same.
#include "codegen/kernel/kernel_interpreter.h"
#include "codegen/kernel/kernel_verifier.h"
#include "codegen/kernel/sum_order.h"
#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "passes/pass_manager.h"
#include "tests/support/random_graph.h"
#include "tests/unit/codegen/jit_run.h"
#include "tests/unit/codegen/lower_support.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

namespace gradc {
namespace {

constexpr const char* kPlanned =
    "expand_composites,(canonicalize,constant_fold,cse,dce)*,fuse,schedule,in_place,plan_memory";

using Bytes = std::vector<std::byte>;
using Make = std::function<void(Builder&, const Val& a, const Val& b)>;

struct Case {
  Shape a, b;
  Make make;  ///< adds output "y" first, then others
};

struct Lowered {
  std::shared_ptr<Graph> graph;
  std::vector<Tensor> inputs;
  kernel::Program program;
};

Lowered lowered(const Case& c, const TargetInfo& target) {
  Lowered l;
  l.graph = std::make_shared<Graph>("bits");
  Builder b(*l.graph);
  const Val x = b.input(InputKind::kInput, {DType::kF32, c.a}, "a", "a");
  const Val y = b.input(InputKind::kInput, {DType::kF32, c.b}, "b", "b");
  c.make(b, x, y);
  l.inputs = testing::random_inputs(*l.graph, 5);
  PassContext context;
  const Status status = run_passes(*l.graph, kPlanned, context);
  EXPECT_TRUE(status.ok()) << status.message();
  const kernel::LowerEntry entry = test::entry_of(*l.graph, *context.plan);
  auto program = kernel::lower("bits", std::span(&entry, 1), target);
  EXPECT_TRUE(program.ok()) << program.message();
  l.program = program.take();
  EXPECT_TRUE(kernel::verify(l.program).empty());
  return l;
}

/// The bytes of output "y".
Bytes compiled(const Case& c, const TargetInfo& target) {
  const Lowered l = lowered(c, target);
  const auto jit = jit_compile(l.program, target, JitOptions{.threads = 1, .verify = true});
  EXPECT_TRUE(jit.ok()) << jit.message();
  const JitEntry& code = (*jit)->entries().front();
  const test::Memory memory = test::run_compiled(code, *l.graph, l.inputs, 1);
  EXPECT_TRUE(test::run_compiled(code, *l.graph, l.inputs, 3) == memory);
  return memory[l.inputs.size()];
}

/// The same by the kernel interpreter, every result rounded to float.
Bytes interpreted(const Case& c) {
  const Lowered l = lowered(c, TargetInfo::host());
  std::vector<Tensor> memory = l.inputs;
  for (const GraphOutput& output : l.graph->outputs())
    memory.emplace_back(l.graph->type(output.value));
  std::vector<Tensor*> slots;
  for (Tensor& t : memory)
    slots.push_back(&t);
  kernel::interpret(l.program, l.program.entries[0], slots, {.round_f32 = true});
  return test::to_bytes(memory[l.inputs.size()]);
}

bool is_x86() {
  return TargetInfo::host().triple.substr(0, 6) == "x86_64";
}

/// This machine's code, and on x86-64 that for AVX2 (where it runs) and SSE.
std::vector<TargetInfo> targets(bool without_fma) {
  std::vector<TargetInfo> all = {TargetInfo::host()};
  if (is_x86() && all[0].has_fma) all.push_back(TargetInfo::generic_avx2());
  if (is_x86() && without_fma) all.push_back(TargetInfo::generic_sse());
  return all;
}

struct Sum {
  Shape shape;
  Ints axes;
};

std::vector<Sum> sums() {
  std::vector<Sum> all;
  for (const int64_t n : {2, 3, 5, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 100, 127, 784, 1041, 5000})
    all.push_back({{5, n}, {1}});
  for (const int64_t n : {2, 16, 17, 33, 256, 257, 300, 5000})
    all.push_back({{n, 5}, {0}});
  all.push_back({{40000}, {0}});
  all.push_back({{70001}, {0}});
  all.push_back({{3, 20000}, {1}});
  all.push_back({{300, 211}, {0, 1}});
  all.push_back({{12000, 3}, {0}});
  all.push_back({{200, 300}, {0}});
  all.push_back({{7, 5, 33}, {0, 2}});
  all.push_back({{300, 4, 50}, {0, 2}});
  all.push_back({{20, 3, 600}, {0, 2}});
  all.push_back({{4, 30, 5, 6}, {1, 3}});
  all.push_back({{6, 7, 8, 9}, {1, 2}});
  return all;
}

/// The sum of a * b beside other work; y is always the sum.
std::vector<Make> neighbours(const Ints& axes) {
  const auto sum = [axes](const Val& x) { return reduce_sum(x, axes); };
  const auto output = [](Builder& b, const char* name, const Val& x) {
    b.graph().add_output(name, x.id());
  };
  std::vector<Make> all;
  all.emplace_back([=](Builder& b, const Val& x, const Val& y) { output(b, "y", sum(x * y)); });
  all.emplace_back([=](Builder& b, const Val& x, const Val& y) {
    const Val product = x * y;
    output(b, "y", sum(product));
    output(b, "product", product);
  });
  all.emplace_back([=](Builder& b, const Val& x, const Val& y) {
    const Val product = x * y;
    output(b, "y", sum(product));
    output(b, "exp", sum(exp(tanh(product)) * sin(x)));
    output(b, "max", reduce_max(product, axes));
  });
  all.emplace_back([=](Builder& b, const Val& x, const Val& y) {
    const Val product = x * y;
    const Val total = sum(product);
    output(b, "y", total);
    std::vector<int64_t> kept;
    for (int64_t axis = 0; axis < product.rank(); ++axis) {
      if (std::find(axes.begin(), axes.end(), axis) == axes.end()) kept.push_back(axis);
    }
    const Val centred = product - broadcast(total, product.shape(), kept);
    output(b, "squares", sum(centred * centred));
    output(b, "largest", reduce_max(exp(tanh(centred)), axes));
    output(b, "logs", sum(exp(tanh(centred))));
    output(b, "centred", centred);
  });
  all.emplace_back([=](Builder& b, const Val& x, const Val& y) {
    // A view that would cut the last axis where loops could be cut.
    const int64_t n = x.shape().back();
    output(b, "y", sum(x * y));
    if (n % 2 != 0 || n < 4) return;
    const auto rank = static_cast<size_t>(x.rank());
    Ints low(rank, 0), high, mid;
    for (int axis = 0; axis < x.rank(); ++axis)
      high.push_back(x.shape()[axis]);
    mid = high;
    mid.back() = n / 2;
    Ints from = low;
    from.back() = n / 2;
    const auto last = static_cast<int64_t>(rank) - 1;
    const Val swapped = concat({slice(x, from, high), slice(x, low, mid)}, last);
    output(b, "swapped", sum(swapped * y));
  });
  return all;
}

TEST(Bits, ASumDependsOnItsExtentsAlone) {
  for (const Sum& s : sums()) {
    const std::string what = to_string(s.shape) + " over " + std::to_string(s.axes.front());
    const std::vector<Make> makes = neighbours(s.axes);
    const Bytes wanted = interpreted({s.shape, s.shape, makes[0]});
    for (size_t i = 0; i < makes.size(); ++i) {
      for (const TargetInfo& target : targets(true))
        EXPECT_TRUE(compiled({s.shape, s.shape, makes[i]}, target) == wanted)
            << what << ", beside " << i << ", " << target.vector_bytes << " byte vectors";
    }
  }
}

TEST(Bits, TheComparisonCanFail) {
  // Another order of the same sum: two halves.
  const Shape shape{40000};
  const Bytes whole = interpreted({shape, shape, neighbours({0})[0]});
  const Bytes halves = interpreted({shape, shape, [](Builder& b, const Val& x, const Val& y) {
                                      const Val p = x * y;
                                      const Val sum = reduce_sum(slice(p, {0}, {20000}), {0}) +
                                                      reduce_sum(slice(p, {20000}, {40000}), {0});
                                      b.graph().add_output("y", sum.id());
                                    }});
  EXPECT_FALSE(whole == halves);
}

TEST(Bits, SumsAreMadeInTheOrderThatIsWritten) {
  // sum_order.h, once more and by itself: floats, 64 columns of groups of 16, halves, then the
  // rest.
  const int64_t n = 5000;
  const Case c{{n}, {n}, [](Builder& b, const Val& x, const Val&) {
                 b.graph().add_output("y", reduce_sum(x, {0}).id());
               }};
  const Lowered l = lowered(c, TargetInfo::host());
  const std::vector<double>& x = l.inputs[0].data;
  const auto at = [&](int64_t i) { return static_cast<float>(x[static_cast<size_t>(i)]); };
  std::vector<float> columns(64);
  for (int64_t column = 0; column < 64; ++column) {
    std::vector<float> terms;
    for (int64_t block = 0; block < n / 64; ++block)
      terms.push_back(at(block * 64 + column));
    while (terms.size() > 1) {
      std::vector<float> sums;
      for (size_t i = 0; i < terms.size(); i += 16) {
        const auto begin = terms.begin() + static_cast<std::ptrdiff_t>(i);
        const auto end =
            terms.begin() + static_cast<std::ptrdiff_t>(std::min(i + 16, terms.size()));
        sums.push_back(std::accumulate(begin, end, 0.0F));
      }
      terms = sums;
    }
    columns[static_cast<size_t>(column)] = terms[0];
  }
  const auto halved = [](std::vector<float> v, size_t to) {
    for (size_t half = v.size() / 2; half >= to; half /= 2) {
      for (size_t i = 0; i < half; ++i)
        v[i] += v[i + half];
      v.resize(half);
    }
    return v;
  };
  std::vector<float> lanes = halved(columns, 16);
  for (int64_t i = n / 64 * 64; i < n; ++i)
    lanes[static_cast<size_t>(i % 16)] += at(i);
  const float sum = halved(lanes, 1)[0];
  Tensor wanted({DType::kF32, Shape{}});
  wanted.data[0] = static_cast<double>(sum);
  EXPECT_TRUE(test::to_bytes(wanted) == compiled(c, TargetInfo::host()));
}

TEST(Bits, ThinProductsRunFromFirstToLast) {
  struct Product {
    Shape a, b;
    bool transpose_a, transpose_b;
  };
  const Product products[] = {
      {{64, 100}, {100, 1}, false, false},   {{64, 100}, {100, 3}, false, false},
      {{1, 300}, {50, 300}, false, true},    {{1, 300}, {300, 50}, false, false},
      {{3, 77}, {40, 77}, false, true},      {{77, 3}, {77, 40}, true, false},
      {{2, 9, 33}, {2, 1, 33}, false, true}, {{8, 8}, {8, 8}, false, true},
      {{200, 1}, {200, 30}, true, false},    {{40, 6000}, {6000, 16}, false, false},
      {{700, 30}, {700, 2}, true, false},    {{700, 30}, {700, 1}, true, false}};
  for (const Product& p : products) {
    const Make make = [&](Builder& b, const Val& x, const Val& y) {
      b.graph().add_output("y", matmul(x, y, p.transpose_a, p.transpose_b).id());
    };
    const Make transposed = [&](Builder& b, const Val& x, const Val& y) {
      // The transpose of the product of the transposes.
      const Val other = matmul(y, x, !p.transpose_b, !p.transpose_a);
      Ints perm(static_cast<size_t>(other.rank()));
      std::iota(perm.begin(), perm.end(), 0);
      std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
      b.graph().add_output("y", (transpose(other, perm) * 1.0).id());
      b.graph().add_output("other", other.id());
    };
    const Bytes wanted = interpreted({p.a, p.b, make});
    for (const TargetInfo& target : targets(false)) {
      EXPECT_TRUE(compiled({p.a, p.b, make}, target) == wanted)
          << to_string(p.a) << " x " << to_string(p.b) << ", " << target.vector_bytes;
      if (p.a == Shape{700, 30}) continue;  // thin and long: its transpose is another sum
      EXPECT_TRUE(compiled({p.a, p.b, transposed}, target) == wanted)
          << to_string(p.a) << " x " << to_string(p.b) << ", transposed";
    }
  }
}

TEST(Bits, ShortFloatsAreRoundedByEveryOp) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const auto make = [&](bool stored) -> Make {
      return [=](Builder& b, const Val& x, const Val& y) {
        const Val product = cast(x, dtype) * cast(y, dtype) + 0.1;
        const Val result = exp(product) / 3.0 - product;
        b.graph().add_output("y", cast(result, DType::kF32).id());
        if (stored) b.graph().add_output("product", cast(product, DType::kF32).id());
      };
    };
    for (const TargetInfo& target : targets(false))
      EXPECT_TRUE(compiled({{100}, {100}, make(false)}, target) ==
                  compiled({{100}, {100}, make(true)}, target));
  }
}

}  // namespace
}  // namespace gradc
