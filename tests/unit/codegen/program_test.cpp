// Programs with loops: their text parses back, the verifier knows their addresses and barriers, and
// compiled code walked by the runtime does what the interpreter does, with one thread and several.
#include "codegen/kernel/barriers.h"
#include "codegen/kernel/kernel_interpreter.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"
#include "codegen/kernel/program_tables.h"
#include "codegen/kernel/program_text.h"
#include "tests/unit/codegen/jit_run.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace gradc::kernel {
namespace {

constexpr int64_t kWidth = 96;
constexpr int64_t kRow = kWidth * 4;

/// out[i] = factor * a[shift(i)] + b[i], over all threads, or on one.
Kernel mix_kernel(const std::string& name, double factor, bool reverse, bool parallel = true) {
  Kernel k;
  k.name = name;
  KernelBuilder b(k);
  const BufferId x = b.buffer("a", DType::kF32, {kWidth}, BufferRole::kIn);
  const BufferId y = b.buffer("b", DType::kF32, {kWidth}, BufferRole::kIn);
  const BufferId out = b.buffer("out", DType::kF32, {kWidth}, BufferRole::kOut);
  auto outer = std::make_unique<For>();
  outer->var = b.var("i");
  outer->end = kWidth;
  outer->kind = parallel ? LoopKind::kParallel : LoopKind::kSerial;
  Affine at = Affine::variable(outer->var);
  Affine other = reverse ? Affine::variable(outer->var, -1) : at;
  if (reverse) other.offset = kWidth - 1;
  const ExprId product =
      b.scalar(ScalarOp::kMul, DType::kF32, b.load(x, other), b.constant(factor));
  outer->body.push_back(
      Store{out, at, {}, b.scalar(ScalarOp::kAdd, DType::kF32, product, b.load(y, at))});
  k.body.push_back(std::move(outer));
  return k;
}

Address moving(Address base, std::vector<Stride> strides, int64_t offset = 0) {
  base.offset += offset;
  base.strides = std::move(strides);
  return base;
}

Call call_of(uint32_t kernel, std::vector<Address> arguments) {
  Call call;
  call.kernel = kernel;
  call.arguments = std::move(arguments);
  return call;
}

enum Slots { kInput, kStart, kStacked, kLast, kNumSlots };

/// Two layers of loops over `outer` x `inner` rows of the input:
///   inner: carry' = -0.5 carry(reversed) + row, swapping between two buffers; what it was goes to
///   `stacked`, row by row; the outer loop walks backwards, and `last` takes the carry of each
///   outer iteration.
Program loops_program(int64_t outer, int64_t inner, bool parallel = true) {
  Program p;
  p.name = "loops";
  p.kernels.push_back(mix_kernel("step", -0.5, true, parallel));
  p.kernels.push_back(mix_kernel("copy", 0.0, false, parallel));
  p.constants.push_back({DType::kF32, std::vector<double>(kWidth, 0.25)});
  const Address carries = Address::arena(64);
  const auto swap = [&](int64_t phase) { return moving(carries, {{1, kRow + 64, 2, phase}}); };
  const int64_t last_offset = (outer - 1) * inner * kRow;
  const auto backwards = [&](int64_t slot) {
    return moving(Address::slot(slot), {{0, -inner * kRow}, {1, kRow}}, last_offset);
  };
  Loop rows{inner, {}};
  rows.body.emplace_back(call_of(1, {swap(0), swap(0), backwards(kStacked)}));
  rows.body.emplace_back(call_of(0, {swap(0), backwards(kInput), swap(1)}));
  Loop loop{outer, {}};
  loop.body.emplace_back(call_of(1, {Address::slot(kStart), Address::constant(0), carries}));
  loop.body.emplace_back(std::move(rows));
  const Address final_carry = moving(carries, {}, (inner % 2) * (kRow + 64));
  loop.body.emplace_back(Call{1,
                              {final_carry, final_carry, moving(Address::slot(kLast), {{0, kRow}})},
                              false,
                              false,
                              "the \"last\" row"});
  Entry entry{"run", {}, 64 + 2 * (kRow + 64)};
  entry.slots = {{"input/x", f32({outer, inner, kWidth})},
                 {"input/start", f32({kWidth})},
                 {"stacked", f32({outer, inner, kWidth})},
                 {"last", f32({outer, kWidth})}};
  entry.steps.emplace_back(std::move(loop));
  place_barriers(p, entry);
  p.entries.push_back(std::move(entry));
  return p;
}

TEST(Program, TextParsesBack) {
  const Program program = loops_program(3, 5);
  const std::string text = to_string(program);
  const auto parsed = parse_program(text, "test");
  ASSERT_TRUE(parsed.ok()) << parsed.message() << "\n" << text;
  EXPECT_EQ(to_string(*parsed), text);
  ASSERT_EQ(parsed->entries.size(), 1U);
  EXPECT_EQ(parsed->entries[0].steps, program.entries[0].steps);
  EXPECT_NE(text.find("  @step(arena+64+448*((i1+0)%2), slot0+3840-1920*i0+384*i1, "
                      "arena+64+448*((i1+1)%2))"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("at \"the \\\"last\\\" row\""), std::string::npos) << text;
}

TEST(Program, WrongTextIsDiagnosed) {
  const auto parse = [](const std::string& text) {
    const std::string kernel = to_string(mix_kernel("k", 1, false));
    const auto parsed = parse_program("program @p\n" + kernel + text, "f");
    return parsed.ok() ? std::string() : parsed.message();
  };
  EXPECT_EQ(parse("entry @e arena=64 {\n  @k(slot0, slot1, slot2)\n}\n"), "");
  EXPECT_NE(parse("entry @e arena=64 {\n  @no(slot0)\n}\n").find("expected the name of a kernel"),
            std::string::npos);
  EXPECT_NE(parse("entry @e arena=64 {\n  @k(slot0").find("expected \",\" or \")\""),
            std::string::npos);
  EXPECT_NE(parse("entry @e arena=64 {\n  @k(slots)\n}\n").find("expected slot"),
            std::string::npos);
  EXPECT_NE(parse("entry @e arena=64 {\n  barrier\n}\n").find("expected a step after"),
            std::string::npos);
  EXPECT_NE(parse("entry @e arena=64 {\n  loop 3 {\n").find("expected \"}\""), std::string::npos);
  EXPECT_NE(parse("entry @e arena=x {\n}\n").find("expected arena="), std::string::npos);
  EXPECT_NE(parse("constant 1: f32 = 2\n").find("constants in order"), std::string::npos);
}

std::string first_error(const Program& program) {
  const std::vector<Diagnostic> errors = verify(program);
  return errors.empty() ? std::string() : errors[0].message;
}

Loop& loop_at(Program& p) {
  return std::get<Loop>(p.entries[0].steps[0].it);
}

TEST(Program, VerifierKnowsAddressesOverAllIterations) {
  EXPECT_EQ(first_error(loops_program(3, 5)), "");
  EXPECT_EQ(first_error(loops_program(1, 1)), "");
  Program longer = loops_program(3, 5);
  std::get<Loop>(loop_at(longer).body[1].it).trips = 6;
  EXPECT_NE(first_error(longer).find("of a buffer of"), std::string::npos);
  Program outside = loops_program(3, 5);
  std::get<Call>(loop_at(outside).body[0].it).arguments[2].strides = {{1, 64}};
  EXPECT_NE(first_error(outside).find("a stride is of no loop around"), std::string::npos);
  Program constant = loops_program(3, 5);
  std::get<Call>(loop_at(constant).body[0].it).arguments[2] = Address::constant(0);
  EXPECT_NE(first_error(constant).find("a constant is written"), std::string::npos);
  Program unaligned = loops_program(3, 5);
  std::get<Call>(loop_at(unaligned).body[0].it).arguments[2].offset += 2;
  EXPECT_NE(first_error(unaligned).find("not aligned"), std::string::npos);
}

/// Takes barriers away one by one; each must be missed.
int needed_barriers(const Program& program, std::vector<Step>& steps, int& missed) {
  int count = 0;
  const auto check = [&](bool& barrier) {
    if (!barrier) return;
    ++count;
    barrier = false;
    missed += first_error(program).find("without a barrier") != std::string::npos ? 1 : 0;
    barrier = true;
  };
  for (Step& step : steps) {
    if (Call* call = std::get_if<Call>(&step.it)) {
      check(call->barrier_before);
      continue;
    }
    Loop& loop = std::get<Loop>(step.it);
    check(loop.barrier_before);
    check(loop.barrier_between);
    count += needed_barriers(program, loop.body, missed);
  }
  return count;
}

TEST(Program, EveryBarrierIsNeeded) {
  // Before the inner loop, between its iterations, before the last call; between outer iterations
  // if the last carry lies where the next one starts.
  for (const auto& [inner, expected] : {std::pair{5, 3}, {4, 4}}) {
    Program program = loops_program(3, inner);
    int missed = 0;
    EXPECT_EQ(needed_barriers(program, program.entries[0].steps, missed), expected)
        << to_string(program);
    EXPECT_EQ(missed, expected) << to_string(program);
  }
  int missed = 0;
  Program serial = loops_program(3, 5, false);
  EXPECT_EQ(needed_barriers(serial, serial.entries[0].steps, missed), 0) << to_string(serial);
}

TEST(Program, RowsOfTheirOwnNeedNoBarrier) {
  Program p;
  p.kernels.push_back(mix_kernel("double", 2, false));
  const auto row = [](int64_t slot, int64_t step) {
    return moving(Address::slot(slot), {{0, step * kRow}}, step < 0 ? 7 * kRow : 0);
  };
  const auto with = [&](const Address& in, const Address& out) {
    Loop loop{8, {}};
    loop.body.emplace_back(call_of(0, {in, in, out}));
    Entry entry{"run", {}, 0};
    entry.slots = {{"x", f32({8, kWidth})}, {"y", f32({8, kWidth})}};
    entry.steps.emplace_back(std::move(loop));
    place_barriers(p, entry);
    p.entries = {std::move(entry)};
    EXPECT_EQ(first_error(p), "");
    return loop_at(p).barrier_between;
  };
  EXPECT_FALSE(with(row(0, 1), row(1, 1)));
  EXPECT_FALSE(with(row(0, 1), row(0, 1)));        // each row over itself
  EXPECT_TRUE(with(row(0, 1), row(0, -1)));        // each over the one from the other end
  EXPECT_TRUE(with(row(0, 1), Address::slot(1)));  // all over one
}

std::vector<double> ramp(int64_t count, double step) {
  std::vector<double> values;
  for (int64_t i = 0; i < count; ++i)
    values.emplace_back(static_cast<float>(std::sin(static_cast<double>(i) * step)));
  return values;
}

TEST(Program, CompiledLoopsDoWhatTheInterpreterDoes) {
  for (const auto& [outer, inner] : {std::pair<int64_t, int64_t>{3, 5}, {4, 8}, {1, 2}}) {
    const Program program = loops_program(outer, inner);
    std::vector<Tensor> memory;
    for (const Slot& slot : program.entries[0].slots)
      memory.emplace_back(slot.type);
    memory[kInput].data = ramp(memory[kInput].size(), 0.37);
    memory[kStart].data = ramp(memory[kStart].size(), 0.11);
    std::vector<std::vector<std::byte>> bytes;
    for (const Tensor& t : memory)
      bytes.push_back(test::to_bytes(t));
    std::vector<Tensor*> slots;
    for (Tensor& t : memory)
      slots.push_back(&t);
    interpret(program, program.entries[0], slots, {/*round_f32=*/true});

    // The same by hand.
    const Tensor& x = memory[kInput];
    for (int64_t o = 0; o < outer; ++o) {
      std::vector<float> carry(kWidth);
      for (int64_t i = 0; i < kWidth; ++i)
        carry[static_cast<size_t>(i)] = 0.25F;
      for (int64_t t = 0; t < inner; ++t) {
        const int64_t row = ((outer - 1 - o) * inner + t) * kWidth;
        const std::vector<float> before = carry;
        for (int64_t i = 0; i < kWidth; ++i) {
          EXPECT_FLOAT_EQ(static_cast<float>(memory[kStacked][row + i]),
                          before[static_cast<size_t>(i)]);
          carry[static_cast<size_t>(i)] =
              -0.5F * before[static_cast<size_t>(kWidth - 1 - i)] + static_cast<float>(x[row + i]);
        }
      }
      EXPECT_FLOAT_EQ(static_cast<float>(memory[kLast][o * kWidth + 7]), carry[7]);
    }

    auto jit = jit_compile(program, TargetInfo::host());
    ASSERT_TRUE(jit.ok()) << jit.message();
    for (const int threads : {1, 3}) {
      auto copy = bytes;
      std::vector<void*> pointers;
      for (auto& b : copy)
        pointers.push_back(b.data());
      test::run_threads((*jit)->entries()[0], pointers, threads);
      for (size_t s = 0; s < memory.size(); ++s) {
        const Tensor got = test::from_bytes(memory[s].type, copy[s]);
        for (int64_t i = 0; i < got.size(); ++i)
          ASSERT_NEAR(got[i], memory[s][i], 1e-5) << program.entries[0].slots[s].name << " " << i;
      }
    }
  }
}

TEST(Program, WhatWasCompiledBeforeIsNotCompiledAgain) {
  Program program = loops_program(2, 3);
  const TargetInfo target = TargetInfo::host();
  auto first = jit_compile(program, target);
  ASSERT_TRUE(first.ok()) << first.message();
  EXPECT_EQ((*first)->timings().kernels, 2);
  program.kernels.push_back(mix_kernel("more", 3, false));
  Entry entry{"more", {}, 0};
  entry.slots = {{"x", f32({kWidth})}, {"y", f32({kWidth})}};
  for (const uint32_t kernel : {1U, 2U}) {
    entry.steps.emplace_back(
        call_of(kernel, {Address::slot(0), Address::constant(0), Address::slot(1)}));
  }
  place_barriers(program, entry);
  program.entries.push_back(entry);
  JitOptions options;
  options.previous = first->get();
  auto second = jit_compile(program, target, options);
  ASSERT_TRUE(second.ok()) << second.message();
  EXPECT_EQ((*second)->timings().kernels, 1);
  EXPECT_EQ((*second)->kernels()[0].fn, (*first)->kernels()[0].fn);
  first->reset();  // the code is the second's too
  ASSERT_EQ((*second)->entries().size(), 2U);
  const JitEntry* more = (*second)->find("more");
  ASSERT_NE(more, nullptr);
  std::vector<float> x(kWidth, 2.0F), y(kWidth, -1.0F);
  std::vector<void*> slots = {x.data(), y.data()};
  test::run_threads(*more, slots, 2);
  EXPECT_EQ(y[5], 6.25F);
}

/// out[i] = the sum of count - 1 arguments, each times its number.
Program sum_of_arguments(int64_t count) {
  Program program;
  program.name = "many";
  Kernel& k = program.kernels.emplace_back();
  k.name = "sum";
  KernelBuilder b(k);
  auto loop = std::make_unique<For>();
  loop->var = b.var("i");
  loop->end = kWidth;
  loop->kind = LoopKind::kParallel;
  const Affine at = Affine::variable(loop->var);
  ExprId sum = b.constant(0.0);
  Entry entry{"many", {}, 0};
  std::vector<Address> arguments;
  for (int64_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    const BufferId buffer = b.buffer("a" + std::to_string(i), DType::kF32, {kWidth},
                                     last ? BufferRole::kOut : BufferRole::kIn);
    entry.slots.push_back({"s" + std::to_string(i), f32({kWidth})});
    arguments.push_back(Address::slot(static_cast<uint32_t>(i)));
    if (last) {
      loop->body.push_back(Store{buffer, at, {}, sum});
      break;
    }
    const ExprId scaled = b.scalar(ScalarOp::kMul, DType::kF32, b.load(buffer, at),
                                   b.constant(static_cast<double>(i + 1)));
    sum = b.scalar(ScalarOp::kAdd, DType::kF32, sum, scaled);
  }
  k.body.push_back(std::move(loop));
  entry.steps.emplace_back(call_of(0, std::move(arguments)));
  place_barriers(program, entry);
  program.entries.push_back(entry);
  return program;
}

TEST(Program, KernelsOfAnyNumberOfArgumentsAreCalled) {
  constexpr int64_t kMost = GRADC_RT_MAX_PARAMETERS;
  for (const int64_t count : {int64_t{2}, int64_t{7}, kMost - 1, kMost, kMost + 1, int64_t{60}}) {
    const auto code = jit_compile(sum_of_arguments(count), TargetInfo::host());
    ASSERT_TRUE(code.ok()) << code.message();
    EXPECT_EQ((*code)->kernels()[0].parameters, count <= kMost ? count : 0);
    std::vector<std::vector<float>> memory;
    std::vector<void*> slots;
    float expected = 0;
    for (int64_t i = 0; i < count; ++i) {
      memory.emplace_back(kWidth, static_cast<float>(3 * i + 1));
      if (i + 1 < count) expected += static_cast<float>((3 * i + 1) * (i + 1));
    }
    for (std::vector<float>& m : memory)
      slots.push_back(m.data());
    test::run_threads((*code)->entries()[0], slots, 2);
    for (const float x : memory.back())
      ASSERT_EQ(x, expected) << count << " arguments";
  }
}

TEST(Program, ConstantsHaveTheBitsOfTheirType) {
  const auto bits = [](DType dtype, double value) {
    const std::vector<std::byte> bytes = constant_bytes({dtype, {value}});
    uint64_t out = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
      out |= std::to_integer<uint64_t>(bytes[i]) << (8 * i);
    return out;
  };
  EXPECT_EQ(bits(DType::kF32, 1.0), 0x3f800000U);
  EXPECT_EQ(bits(DType::kI32, -2.0), 0xfffffffeU);
  EXPECT_EQ(bits(DType::kI64, -2.0), 0xfffffffffffffffeU);
  EXPECT_EQ(bits(DType::kBool, 1.0), 1U);
  EXPECT_EQ(bits(DType::kBF16, 1.0), 0x3f80U);
  EXPECT_EQ(bits(DType::kBF16, 1.00390625), 0x3f80U);  // a tie, to even
  EXPECT_EQ(bits(DType::kBF16, 1.01171875), 0x3f82U);
  EXPECT_EQ(bits(DType::kBF16, -std::numeric_limits<double>::infinity()), 0xff80U);
  EXPECT_EQ(bits(DType::kBF16, 1e-40), 0x0001U);
  EXPECT_EQ(bits(DType::kF16, 65504.0), 0x7bffU);
  EXPECT_EQ(bits(DType::kF16, 65520.0), 0x7c00U);
  EXPECT_EQ(bits(DType::kF16, 6e-8), 0x0001U);
  EXPECT_EQ(bits(DType::kF16, 6.1e-5), 0x03ffU);
  EXPECT_EQ(bits(DType::kF16, -0.0), 0x8000U);
}

}  // namespace
}  // namespace gradc::kernel
