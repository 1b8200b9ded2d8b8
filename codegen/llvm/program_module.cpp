// Kernel functions, entry functions, constants.
#include "codegen/llvm/program_module.h"

#include "codegen/llvm/emitter.h"
#include "support/check.h"

#include <llvm/ADT/APFloat.h>
#include <llvm/IR/Constants.h>

#include <algorithm>
#include <cctype>

namespace gradc::cg {

namespace {

/// Local arrays up to this size live on the stack, larger ones in the thread's scratch.
constexpr int64_t kStackArrayBytes = 8 * 1024;

// Offsets in gradc_rt_thread (runtime/model_abi.h).
constexpr uint64_t kThreadIndex = 0;
constexpr uint64_t kThreadCount = 4;
constexpr uint64_t kThreadBarrier = 8;
constexpr uint64_t kThreadPool = 16;
constexpr uint64_t kThreadScratch = 24;

void set_attributes(llvm::Function& function, const TargetInfo& target) {
  function.addFnAttr(llvm::Attribute::NoUnwind);
  const std::string bits = std::to_string(target.vector_bytes * 8);
  function.addFnAttr("prefer-vector-width", bits);
  function.addFnAttr("min-legal-vector-width", bits);
  function.addFnAttr("no-builtins");
}

llvm::FunctionType* kernel_type(llvm::LLVMContext& context, size_t num_arguments) {
  std::vector<llvm::Type*> types(num_arguments, llvm::PointerType::getUnqual(context));
  types.push_back(llvm::Type::getInt32Ty(context));
  types.push_back(llvm::Type::getInt32Ty(context));
  types.push_back(llvm::PointerType::getUnqual(context));
  return llvm::FunctionType::get(llvm::Type::getVoidTy(context), types, false);
}

/// An argument is noalias unless the kernel has arguments planned in one place.
void set_argument_attributes(llvm::Function& function, const kernel::Kernel& kernel) {
  const bool aliases = std::any_of(kernel.buffers.begin(), kernel.buffers.end(),
                                   [](const kernel::Buffer& b) { return b.may_alias; });
  const size_t count = kernel.num_arguments();
  for (size_t i = 0; i < count; ++i) {
    llvm::Argument* argument = function.getArg(static_cast<unsigned>(i));
    argument->setName(kernel.buffers[i].name);
    if (!aliases) argument->addAttr(llvm::Attribute::NoAlias);
    if (!aliases && kernel.buffers[i].role == kernel::BufferRole::kIn)
      argument->addAttr(llvm::Attribute::ReadOnly);
  }
  function.getArg(static_cast<unsigned>(count))->setName("thread");
  function.getArg(static_cast<unsigned>(count + 1))->setName("threads");
  function.getArg(static_cast<unsigned>(count + 2))->setName("scratch");
}

void bind_locals(Emitter& em, const kernel::Kernel& kernel) {
  for (size_t i = kernel.num_arguments(); i < kernel.buffers.size(); ++i) {
    const kernel::Buffer& buffer = kernel.buffers[i];
    GRADC_CHECK(buffer.role == kernel::BufferRole::kLocal, "{}: argument '{}' after local arrays",
                kernel.name, buffer.name);
    const int64_t elements = std::max<int64_t>(buffer.shape.num_elements(), 1);
    const int64_t bytes = elements * dtype_bytes(buffer.dtype);
    llvm::Value* pointer = nullptr;
    if (bytes <= kStackArrayBytes) {
      llvm::Type* element = memory_type(em.context(), buffer.dtype);
      auto* slot = em.entry_alloca(llvm::ArrayType::get(element, static_cast<uint64_t>(elements)),
                                   buffer.name.c_str());
      slot->setAlignment(llvm::Align(64));
      pointer = slot;
    } else {
      pointer = em.reserve_scratch(bytes);
    }
    em.bind_buffer(kernel::BufferId(i), pointer);
  }
}

llvm::Constant* element_constant(llvm::LLVMContext& context, DType dtype, double value) {
  llvm::Type* type = memory_type(context, dtype);
  if (dtype == DType::kBF16) {
    llvm::APFloat number(value);
    bool lost = false;
    number.convert(llvm::APFloat::BFloat(), llvm::APFloat::rmNearestTiesToEven, &lost);
    return llvm::ConstantInt::get(context, number.bitcastToAPInt());
  }
  if (type->isFloatingPointTy()) return llvm::ConstantFP::get(type, value);
  return llvm::ConstantInt::getSigned(type, static_cast<int64_t>(value));
}

llvm::GlobalVariable* constant_global(llvm::Module& module, const kernel::Program& program,
                                      size_t index) {
  const std::string name = "constant." + std::to_string(index);
  if (auto* existing = module.getNamedGlobal(name)) return existing;
  const kernel::ConstantData& data = program.constants[index];
  std::vector<llvm::Constant*> elements;
  elements.reserve(data.elements.size());
  for (const double value : data.elements)
    elements.push_back(element_constant(module.getContext(), data.dtype, value));
  auto* type = llvm::ArrayType::get(memory_type(module.getContext(), data.dtype), elements.size());
  auto* global =
      new llvm::GlobalVariable(module, type, /*isConstant=*/true, llvm::GlobalValue::PrivateLinkage,
                               llvm::ConstantArray::get(type, elements), name);
  global->setAlignment(llvm::Align(64));
  return global;
}

/// Emits the body of one entry.
class EntryEmitter {
 public:
  EntryEmitter(llvm::Module& module, const kernel::Program& program, const SymbolNames& names)
      : module_(module), program_(program), names_(names), ir_(module.getContext()) {}

  void emit(const kernel::Entry& entry) {
    llvm::Type* pointer = ir_.getPtrTy();
    auto* type = llvm::FunctionType::get(ir_.getVoidTy(), {pointer, pointer, pointer}, false);
    function_ = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage,
                                       names_.entry(entry), module_);
    function_->addFnAttr(llvm::Attribute::NoUnwind);
    ir_.SetInsertPoint(llvm::BasicBlock::Create(module_.getContext(), "entry", function_));
    slots_ = function_->getArg(0);
    arena_ = function_->getArg(1);
    index_ = field(ir_.getInt32Ty(), kThreadIndex, "index");
    count_ = field(ir_.getInt32Ty(), kThreadCount, "count");
    scratch_ = field(pointer, kThreadScratch, "scratch");
    several_ = ir_.CreateICmpSGT(count_, ir_.getInt32(1), "several");
    for (const kernel::Call& call : entry.calls)
      emit(call, &call == entry.calls.data());
    ir_.CreateRetVoid();
  }

 private:
  llvm::Value* field(llvm::Type* type, uint64_t offset, const char* name) {
    llvm::Value* address =
        ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), function_->getArg(2), offset);
    return ir_.CreateLoad(type, address, name);
  }

  template <class Body>
  void when(llvm::Value* condition, Body body) {
    auto* then_block = llvm::BasicBlock::Create(module_.getContext(), "then", function_);
    auto* join = llvm::BasicBlock::Create(module_.getContext(), "next", function_);
    ir_.CreateCondBr(condition, then_block, join);
    ir_.SetInsertPoint(then_block);
    body();
    ir_.CreateBr(join);
    ir_.SetInsertPoint(join);
  }

  void barrier() {
    when(several_, [&] {
      auto* type = llvm::FunctionType::get(ir_.getVoidTy(), {ir_.getPtrTy()}, false);
      llvm::Value* function = field(ir_.getPtrTy(), kThreadBarrier, "barrier");
      ir_.CreateCall(type, function, {field(ir_.getPtrTy(), kThreadPool, "pool")});
    });
  }

  llvm::Value* pointer_to(const kernel::BufferRef& ref) {
    switch (ref.where) {
      case kernel::BufferRef::Where::kSlot:
        return ir_.CreateLoad(ir_.getPtrTy(),
                              ir_.CreateConstInBoundsGEP1_64(ir_.getPtrTy(), slots_,
                                                             static_cast<uint64_t>(ref.index)));
      case kernel::BufferRef::Where::kArena:
        return ir_.CreateConstInBoundsGEP1_64(ir_.getInt8Ty(), arena_,
                                              static_cast<uint64_t>(ref.index));
      case kernel::BufferRef::Where::kConstant:
        return constant_global(module_, program_, static_cast<size_t>(ref.index));
    }
    GRADC_UNREACHABLE();
  }

  void emit(const kernel::Call& call, bool is_first) {
    if (call.barrier_before && !is_first) barrier();
    const kernel::Kernel& kernel = program_.kernels[call.kernel];
    GRADC_CHECK(call.arguments.size() == kernel.num_arguments(), "{}: {} arguments for {}",
                kernel.name, call.arguments.size(), kernel.num_arguments());
    const auto run = [&] {
      llvm::FunctionCallee callee =
          module_.getOrInsertFunction(names_.kernel(program_, call.kernel),
                                      kernel_type(module_.getContext(), call.arguments.size()));
      std::vector<llvm::Value*> arguments;
      for (const kernel::BufferRef& ref : call.arguments)
        arguments.push_back(pointer_to(ref));
      arguments.insert(arguments.end(), {index_, count_, scratch_});
      ir_.CreateCall(callee, arguments);
    };
    if (kernel.is_parallel())
      run();
    else
      when(ir_.CreateICmpEQ(index_, ir_.getInt32(0)), run);
  }

  llvm::Module& module_;
  const kernel::Program& program_;
  const SymbolNames& names_;
  Builder ir_;
  llvm::Function* function_ = nullptr;
  llvm::Value* slots_ = nullptr;
  llvm::Value* arena_ = nullptr;
  llvm::Value* index_ = nullptr;
  llvm::Value* count_ = nullptr;
  llvm::Value* scratch_ = nullptr;
  llvm::Value* several_ = nullptr;
};

}  // namespace

std::string symbol_text(std::string_view text) {
  constexpr size_t kMostCharacters = 80;
  std::string out(text.substr(0, kMostCharacters));
  for (char& c : out) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!word) c = '_';
  }
  return out;
}

std::string SymbolNames::kernel(const kernel::Program& program, size_t index) const {
  return prefix + "k" + std::to_string(index) + "_" + symbol_text(program.kernels[index].name);
}

int64_t emit_kernel(llvm::Module& module, const kernel::Kernel& kernel, const std::string& name,
                    const TargetInfo& target, bool is_internal) {
  const size_t count = kernel.num_arguments();
  llvm::FunctionCallee callee =
      module.getOrInsertFunction(name, kernel_type(module.getContext(), count));
  auto* function = llvm::cast<llvm::Function>(callee.getCallee());
  function->setLinkage(is_internal ? llvm::GlobalValue::InternalLinkage
                                   : llvm::GlobalValue::ExternalLinkage);
  set_attributes(*function, target);
  set_argument_attributes(*function, kernel);
  Emitter em(function, kernel, target);
  for (size_t i = 0; i < count; ++i)
    em.bind_buffer(kernel::BufferId(i), function->getArg(static_cast<unsigned>(i)));
  em.set_threads(function->getArg(static_cast<unsigned>(count)),
                 function->getArg(static_cast<unsigned>(count + 1)));
  em.set_scratch(function->getArg(static_cast<unsigned>(count + 2)));
  bind_locals(em, kernel);
  em.set_first_thread_stores(kernel.is_parallel());
  em.emit_block(kernel.body);
  em.ir().CreateRetVoid();
  return em.scratch_bytes();
}

void emit_entry(llvm::Module& module, const kernel::Program& program, const kernel::Entry& entry,
                const SymbolNames& names) {
  EntryEmitter(module, program, names).emit(entry);
}

int64_t entry_scratch(const kernel::Entry& entry, const std::vector<int64_t>& kernel_scratch) {
  int64_t bytes = 0;
  for (const kernel::Call& call : entry.calls)
    bytes = std::max(bytes, kernel_scratch[call.kernel]);
  return bytes;
}

}  // namespace gradc::cg
