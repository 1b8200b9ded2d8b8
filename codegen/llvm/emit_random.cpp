// Philox 4x32-10 in lanes: the random number of an element is a pure function of (seed, iteration,
// stream, element); ir/philox.h is the definition this must equal bit for bit. A block of four
// words serves four elements in a row: where lanes are such elements, there is a block for four
// lanes; where they are four apart or more, a block serves the next three elements too, if those
// are drawn in the same basic block (unrolled loops).
#include "codegen/llvm/emitter.h"

#include <llvm/ADT/SmallVector.h>

#include <algorithm>
#include <array>
#include <optional>

namespace gradc::cg {

namespace {

constexpr int kRounds = 10;
constexpr int64_t kWords = kRandomWords;
constexpr uint64_t kMultiplier0 = 0xD2511F53U;
constexpr uint64_t kMultiplier1 = 0xCD9E8D57U;
constexpr uint64_t kWeyl0 = 0x9E3779B9U;
constexpr uint64_t kWeyl1 = 0xBB67AE85U;

using Words = RandomWords;

/// Emits the rounds on four counter words and two of the key, each scalar or in lanes. Words are
/// the low halves of 64 bits, as multiplications take and give them; what stands in the high halves
/// does not matter.
class Philox {
 public:
  explicit Philox(Builder& ir) : ir_(ir) {}

  Words run(Words c, std::array<llvm::Value*, 2> key) {
    for (int round = 0; round < kRounds; ++round) {
      llvm::Value* left = multiply(c[0], kMultiplier0);
      llvm::Value* right = multiply(c[2], kMultiplier1);
      c = {mix(high(right), c[1], key[0]), right, mix(high(left), c[3], key[1]), left};
      key[0] = ir_.CreateAdd(key[0], constant(key[0], kWeyl0));
      key[1] = ir_.CreateAdd(key[1], constant(key[1], kWeyl1));
    }
    return c;
  }

  llvm::Value* low(llvm::Value* x) { return ir_.CreateAnd(x, constant(x, UINT32_MAX)); }
  llvm::Value* high(llvm::Value* x) { return ir_.CreateLShr(x, constant(x, 32)); }

  llvm::Value* exclusive_or(llvm::Value* a, llvm::Value* b) {
    const unsigned lanes = std::max(lanes_of(a), lanes_of(b));
    return ir_.CreateXor(splat(ir_, a, lanes), splat(ir_, b, lanes));
  }

 private:
  static llvm::Constant* constant(llvm::Value* like, uint64_t x) {
    return llvm::ConstantInt::get(like->getType(), x);
  }

  llvm::Value* multiply(llvm::Value* x, uint64_t factor) {
    return ir_.CreateMul(low(x), constant(x, factor));
  }

  llvm::Value* mix(llvm::Value* a, llvm::Value* b, llvm::Value* key) {
    return exclusive_or(exclusive_or(a, b), key);
  }

  Builder& ir_;
};

/// The words of blocks in lanes as 32-bit words in a row, those of a block side by side.
llvm::Value* in_a_row(Builder& ir, const Words& words) {
  Philox philox(ir);
  const unsigned blocks = lanes_of(words[0]);
  const auto pair = [&](llvm::Value* first, llvm::Value* second) {
    llvm::Value* above = ir.CreateShl(second, llvm::ConstantInt::get(second->getType(), 32));
    return ir.CreateOr(philox.low(first), above);
  };
  llvm::Value* left = pair(words[0], words[1]);
  llvm::Value* right = pair(words[2], words[3]);
  llvm::Value* all = nullptr;
  if (blocks == 1) {
    all = ir.CreateInsertElement(splat(ir, left, 2), right, uint64_t{1});
  } else {
    llvm::SmallVector<int, 32> order;
    for (unsigned block = 0; block < blocks; ++block) {
      order.push_back(static_cast<int>(block));
      order.push_back(static_cast<int>(blocks + block));
    }
    all = ir.CreateShuffleVector(left, right, order);
  }
  return ir.CreateBitCast(all, with_lanes(ir.getInt32Ty(), blocks * unsigned{kWords}));
}

/// first, first + each, ...
llvm::Value* in_lanes(Builder& ir, llvm::Value* first, unsigned lanes, int64_t each) {
  if (lanes == 1) return first;
  llvm::Type* type = with_lanes(ir.getInt64Ty(), lanes);
  llvm::Value* offsets =
      ir.CreateMul(iota(ir.getInt64Ty(), lanes), llvm::ConstantInt::getSigned(type, each));
  return ir.CreateAdd(splat(ir, first, lanes), offsets);
}

/// The words of blocks, of one generator.
Words words_of(Builder& ir, const Draw& draw, llvm::Value* block) {
  Philox philox(ir);
  llvm::Value* highs = philox.exclusive_or(philox.high(draw.iteration), philox.high(draw.stream));
  highs = philox.exclusive_or(philox.high(block), highs);
  return philox.run({block, draw.iteration, draw.stream, highs},
                    {draw.seed, philox.high(draw.seed)});
}

llvm::Value* narrow(Builder& ir, llvm::Value* word) {
  return ir.CreateTrunc(word, with_lanes(ir.getInt32Ty(), lanes_of(word)));
}

/// Of elements anywhere: a block each.
llvm::Value* bits_anywhere(Builder& ir, const Draw& draw, llvm::Value* element) {
  const unsigned lanes = std::max(
      {lanes_of(element), lanes_of(draw.seed), lanes_of(draw.iteration), lanes_of(draw.stream)});
  element = splat(ir, element, lanes);
  const auto constant = [&](int64_t x) {
    return llvm::ConstantInt::getSigned(element->getType(), x);
  };
  const Words words = words_of(ir, draw, ir.CreateLShr(element, constant(2)));
  llvm::Value* which = ir.CreateAnd(element, constant(kWords - 1));
  llvm::Value* bits = words.back();
  for (int64_t i = kWords - 2; i >= 0; --i)
    bits =
        ir.CreateSelect(ir.CreateICmpEQ(which, constant(i)), words[static_cast<size_t>(i)], bits);
  return narrow(ir, bits);
}

}  // namespace

llvm::Value* Emitter::random_bits(const kernel::Expr& e) {
  const auto wide = [&](llvm::Value* x) {
    return ir_.CreateSExt(x, with_lanes(ir_.getInt64Ty(), lanes_of(x)));
  };
  const kernel::Expr& element = expr(e.args[2]);
  const Draw draw{wide(eval(e.args[0])), wide(eval(e.args[1])), wide(eval(e.args[3]))};
  // Under a guard in a vector loop, they are in lanes.
  const bool in_step = element.kind == kernel::ExprKind::kIndex && lanes_of(draw.seed) == 1 &&
                       lanes_of(draw.iteration) == 1 && lanes_of(draw.stream) == 1;
  if (!in_step) return bits_anywhere(ir_, draw, wide(eval(e.args[2])));
  const int64_t step = lanes_.width > 1 ? element.index.coefficient(lanes_.var) : 0;
  Terms at = terms_of(element.index);
  const std::optional<int64_t> word = remainder(at, kWords);
  if (word && step % kWords == 0) {
    at.constant -= *word;
    const unsigned lanes = step == 0 ? 1 : lanes_.width;
    const DrawnBlocks wanted{ir_.GetInsertBlock(), draw, at, step, lanes, {}};
    if (!drawn_.serves(wanted)) {
      drawn_ = wanted;
      llvm::Value* first = ir_.CreateLShr(sum_of(at), 2);
      drawn_.words = words_of(ir_, draw, in_lanes(ir_, first, lanes, step / kWords));
    }
    return narrow(ir_, drawn_.words[static_cast<size_t>(*word)]);
  }
  const unsigned blocks = lanes_.width / unsigned{kWords};
  if (word == 0 && step == 1 && lanes_.width == blocks * kWords) {
    llvm::Value* first = ir_.CreateLShr(sum_of(at), 2);
    return in_a_row(ir_, words_of(ir_, draw, in_lanes(ir_, first, blocks, 1)));
  }
  return bits_anywhere(ir_, draw, wide(eval(e.args[2])));
}

llvm::Value* Emitter::eval_random(const kernel::Expr& e) {
  llvm::Value* top = ir_.CreateLShr(random_bits(e), 8);
  llvm::Value* number = ir_.CreateSIToFP(top, with_lanes(ir_.getFloatTy(), lanes_of(top)));
  return ir_.CreateFMul(number, llvm::ConstantFP::get(number->getType(), 0x1p-24));
}

}  // namespace gradc::cg
