// Philox 4x32-10 in lanes: the random number of an element is a pure function of (seed, iteration,
// stream, element); ir/philox.h is the definition this must equal bit for bit.
#include "codegen/llvm/emitter.h"

#include <algorithm>
#include <array>

namespace gradc::cg {

namespace {

constexpr int kRounds = 10;
constexpr uint32_t kMultiplier0 = 0xD2511F53U;
constexpr uint32_t kMultiplier1 = 0xCD9E8D57U;
constexpr uint32_t kWeyl0 = 0x9E3779B9U;
constexpr uint32_t kWeyl1 = 0xBB67AE85U;

/// Emits the rounds on four counter words and two of the key, each scalar or in lanes.
class Philox {
 public:
  explicit Philox(Builder& ir) : ir_(ir) {}

  std::array<llvm::Value*, 4> run(std::array<llvm::Value*, 4> c, std::array<llvm::Value*, 2> key) {
    for (int round = 0; round < kRounds; ++round) {
      const auto [low0, high0] = multiply(c[0], kMultiplier0);
      const auto [low1, high1] = multiply(c[2], kMultiplier1);
      c = {mix(high1, c[1], key[0]), low1, mix(high0, c[3], key[1]), low0};
      key[0] = ir_.CreateAdd(key[0], splat(ir_, ir_.getInt32(kWeyl0), lanes_of(key[0])));
      key[1] = ir_.CreateAdd(key[1], splat(ir_, ir_.getInt32(kWeyl1), lanes_of(key[1])));
    }
    return c;
  }

 private:
  std::pair<llvm::Value*, llvm::Value*> multiply(llvm::Value* x, uint32_t factor) {
    const unsigned lanes = lanes_of(x);
    llvm::Type* wide = with_lanes(ir_.getInt64Ty(), lanes);
    llvm::Type* narrow = with_lanes(ir_.getInt32Ty(), lanes);
    llvm::Value* product =
        ir_.CreateMul(ir_.CreateZExt(x, wide), llvm::ConstantInt::get(wide, factor));
    llvm::Value* high = ir_.CreateLShr(product, llvm::ConstantInt::get(wide, 32));
    return {ir_.CreateTrunc(product, narrow), ir_.CreateTrunc(high, narrow)};
  }

  llvm::Value* mix(llvm::Value* a, llvm::Value* b, llvm::Value* key) {
    const unsigned lanes = std::max({lanes_of(a), lanes_of(b), lanes_of(key)});
    llvm::Value* x = ir_.CreateXor(splat(ir_, a, lanes), splat(ir_, b, lanes));
    return ir_.CreateXor(x, splat(ir_, key, lanes));
  }

  Builder& ir_;
};

}  // namespace

llvm::Value* Emitter::eval_random(const kernel::Expr& e) {
  const auto low = [&](llvm::Value* x) {
    return ir_.CreateTrunc(x, with_lanes(ir_.getInt32Ty(), lanes_of(x)));
  };
  const auto high = [&](llvm::Value* x) { return low(ir_.CreateLShr(x, 32)); };
  const auto wide = [&](llvm::Value* x) {
    return ir_.CreateSExt(x, with_lanes(ir_.getInt64Ty(), lanes_of(x)));
  };
  llvm::Value* seed = wide(eval(e.args[0]));
  llvm::Value* iteration = wide(eval(e.args[1]));
  llvm::Value* element = wide(eval(e.args[2]));
  const auto stream = static_cast<uint64_t>(e.imm);
  // Under a guard in a vector loop, seed and iteration are in lanes too.
  const unsigned lanes = std::max({lanes_of(seed), lanes_of(iteration), lanes_of(element)});
  llvm::Value* block = ir_.CreateLShr(element, 2);
  const auto stream_high = ir_.getInt32(static_cast<uint32_t>(stream >> 32U));
  llvm::Value* mixed_high =
      ir_.CreateXor(high(iteration), splat(ir_, stream_high, lanes_of(iteration)));
  const std::array<llvm::Value*, 4> words = Philox(ir_).run(
      {low(block), low(iteration), ir_.getInt32(static_cast<uint32_t>(stream)),
       ir_.CreateXor(splat(ir_, high(block), lanes), splat(ir_, mixed_high, lanes))},
      {low(seed), high(seed)});
  llvm::Value* word = splat(ir_, ir_.CreateAnd(low(element), 3), lanes);
  llvm::Value* bits = splat(ir_, words[3], lanes);
  for (int64_t i = 2; i >= 0; --i) {
    llvm::Value* here = ir_.CreateICmpEQ(word, splat(ir_, i32(i), lanes));
    bits = ir_.CreateSelect(here, splat(ir_, words[static_cast<size_t>(i)], lanes), bits);
  }
  llvm::Value* top = ir_.CreateLShr(bits, 8);
  llvm::Value* number = ir_.CreateSIToFP(top, with_lanes(ir_.getFloatTy(), lanes));
  return ir_.CreateFMul(number, llvm::ConstantFP::get(number->getType(), 0x1p-24));
}

}  // namespace gradc::cg
