#include "codegen/llvm/micro/transpose.h"

#include <llvm/IR/Module.h>

#include <string>

namespace gradc::cg {

namespace {

class TransposerEmitter {
 public:
  TransposerEmitter(llvm::Function* function, llvm::Type* word, unsigned lanes, bool edge)
      : function_(function),
        ir_(llvm::BasicBlock::Create(function->getContext(), "entry", function)),
        word_(word),
        lanes_(lanes),
        align_(word->getPrimitiveSizeInBits() / 8),
        edge_(edge) {}

  void emit() {
    llvm::Type* vector = with_lanes(word_, lanes_);
    llvm::Value* words = edge_ ? below(argument(TransposeArguments::kWords)) : nullptr;
    std::vector<llvm::Value*> rows;
    for (unsigned i = 0; i < lanes_; ++i) {
      llvm::Value* at = place(TransposeArguments::kFrom, i);
      if (!edge_) {
        rows.push_back(ir_.CreateAlignedLoad(vector, at, align_));
        continue;
      }
      llvm::Value* exists = ir_.CreateICmpSLT(ir_.getInt32(i), argument(TransposeArguments::kRows));
      llvm::Value* mask = ir_.CreateAnd(words, splat(ir_, exists, lanes_));
      rows.push_back(
          ir_.CreateMaskedLoad(vector, at, align_, mask, llvm::Constant::getNullValue(vector)));
    }
    rows = transpose(ir_, std::move(rows));
    for (unsigned i = 0; i < lanes_; ++i)
      ir_.CreateAlignedStore(rows[i], place(TransposeArguments::kTo, i), align_);
    ir_.CreateRetVoid();
  }

 private:
  llvm::Value* argument(unsigned index) { return function_->getArg(index); }

  /// Where a row of a matrix begins, whose stride is the next argument.
  llvm::Value* place(unsigned matrix, unsigned row) {
    llvm::Value* offset = ir_.CreateNSWMul(argument(matrix + 1), ir_.getInt64(row));
    return ir_.CreateGEP(word_, argument(matrix), offset);
  }

  llvm::Value* below(llvm::Value* count) {
    return ir_.CreateICmpSLT(iota(ir_.getInt32Ty(), lanes_), splat(ir_, count, lanes_));
  }

  llvm::Function* function_;
  Builder ir_;
  llvm::Type* word_;
  unsigned lanes_;
  llvm::Align align_;
  bool edge_;
};

}  // namespace

std::vector<llvm::Value*> transpose(Builder& ir, std::vector<llvm::Value*> rows) {
  const auto lanes = static_cast<int>(rows.size());
  for (int step = lanes / 2; step > 0; step /= 2) {
    std::vector<int> low;
    std::vector<int> high;
    for (int lane = 0; lane < lanes; ++lane) {
      low.push_back((lane & step) != 0 ? lanes + lane - step : lane);
      high.push_back((lane & step) != 0 ? lanes + lane : lane + step);
    }
    for (int i = 0; i < lanes; ++i) {
      if ((i & step) != 0) continue;
      llvm::Value*& a = rows[static_cast<size_t>(i)];
      llvm::Value*& b = rows[static_cast<size_t>(i + step)];
      llvm::Value* first = ir.CreateShuffleVector(a, b, low);
      b = ir.CreateShuffleVector(a, b, high);
      a = first;
    }
  }
  return rows;
}

llvm::Function* transposer(const llvm::Function& caller, llvm::Type* word, unsigned lanes,
                           bool edge) {
  llvm::Module& module = *const_cast<llvm::Function&>(caller).getParent();
  const std::string name = std::string("transpose") + (word->isDoubleTy() ? "_f64_" : "_f32_") +
                           std::to_string(lanes) + (edge ? "_edge" : "");
  if (llvm::Function* made = module.getFunction(name)) return made;
  llvm::LLVMContext& context = module.getContext();
  llvm::Type* pointer = llvm::PointerType::getUnqual(context);
  llvm::Type* integer = llvm::Type::getInt64Ty(context);
  std::vector<llvm::Type*> arguments = {pointer, integer, pointer, integer};
  if (edge) arguments.insert(arguments.end(), 2, llvm::Type::getInt32Ty(context));
  auto* function = llvm::Function::Create(
      llvm::FunctionType::get(llvm::Type::getVoidTy(context), arguments, false),
      llvm::GlobalValue::InternalLinkage, name, module);
  function->setAttributes(
      llvm::AttributeList::get(context, llvm::AttributeList::FunctionIndex,
                               llvm::AttrBuilder(context, caller.getAttributes().getFnAttrs())));
  function->addFnAttr(llvm::Attribute::NoInline);
  function->addParamAttr(TransposeArguments::kTo, llvm::Attribute::NoAlias);
  function->addParamAttr(TransposeArguments::kFrom, llvm::Attribute::NoAlias);
  TransposerEmitter(function, word, lanes, edge).emit();
  return function;
}

}  // namespace gradc::cg
