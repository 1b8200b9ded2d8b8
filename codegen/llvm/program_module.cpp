// Kernel functions.
#include "codegen/llvm/program_module.h"

#include "codegen/llvm/emitter.h"
#include "runtime/model_abi.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace gradc::cg {

namespace {

/// Local arrays up to this size live on the stack, larger ones in the thread's scratch.
constexpr int64_t kStackArrayBytes = 8 * 1024;

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

/// What is called in place of a kernel of many arguments.
void emit_thunk(llvm::Module& module, llvm::Function* kernel, size_t num_arguments,
                const std::string& name, bool is_internal) {
  llvm::LLVMContext& context = module.getContext();
  llvm::Type* pointer = llvm::PointerType::getUnqual(context);
  llvm::Type* number = llvm::Type::getInt32Ty(context);
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context),
                                       {pointer, number, number, pointer}, false);
  const auto linkage =
      is_internal ? llvm::GlobalValue::InternalLinkage : llvm::GlobalValue::ExternalLinkage;
  auto* function = llvm::Function::Create(type, linkage, name, module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  // There is nothing to optimise, and passes take longer for a function than for what is in it.
  function->addFnAttr(llvm::Attribute::NoInline);
  function->addFnAttr(llvm::Attribute::OptimizeNone);
  const std::array<const char*, 4> names = {"arguments", "thread", "threads", "scratch"};
  for (unsigned i = 0; i < names.size(); ++i)
    function->getArg(i)->setName(names[i]);
  Builder ir(llvm::BasicBlock::Create(context, "entry", function));
  std::vector<llvm::Value*> arguments;
  for (size_t i = 0; i < num_arguments; ++i) {
    arguments.push_back(
        ir.CreateLoad(pointer, ir.CreateConstInBoundsGEP1_64(pointer, function->getArg(0), i)));
  }
  for (unsigned i = 1; i < names.size(); ++i)
    arguments.push_back(function->getArg(i));
  ir.CreateCall(kernel, arguments)->setTailCall();
  ir.CreateRetVoid();
}

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

std::string kernel_symbol(const kernel::Program& program, size_t index, std::string_view prefix) {
  return fmt::format("{}k{}_{}", prefix, index, symbol_text(program.kernels[index].name));
}

int64_t kernel_parameters(const kernel::Kernel& kernel) {
  const auto count = static_cast<int64_t>(kernel.num_arguments());
  return count <= GRADC_RT_MAX_PARAMETERS ? count : 0;
}

int64_t emit_kernel(llvm::Module& module, const kernel::Kernel& kernel, const std::string& name,
                    const TargetInfo& target, bool is_internal) {
  const size_t count = kernel.num_arguments();
  const bool is_called = kernel_parameters(kernel) != 0;
  const auto linkage = is_called && !is_internal ? llvm::GlobalValue::ExternalLinkage
                                                 : llvm::GlobalValue::InternalLinkage;
  auto* function = llvm::Function::Create(kernel_type(module.getContext(), count), linkage,
                                          is_called ? name : name + "_body", module);
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
  if (!is_called) emit_thunk(module, function, count, name, is_internal);
  return em.scratch_bytes();
}

}  // namespace gradc::cg
