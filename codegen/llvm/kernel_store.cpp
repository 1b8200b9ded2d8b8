// Objects are linked by ORC's object layer, one session for those of a program.
#include "codegen/llvm/kernel_store.h"

#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#if __has_include(<llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>)
#include <llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>
#endif
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#if __has_include(<llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h>)
#include <llvm/ExecutionEngine/Orc/SelfExecutorProcessControl.h>
#endif
#include <llvm/Support/MemoryBuffer.h>
#include <llvm/Support/Process.h>

#include <cmath>
#include <cstring>
#include <new>
#include <utility>

namespace gradc::cg {

namespace {

template <class Function>
llvm::orc::ExecutorSymbolDef symbol_of(Function* function) {
  return {llvm::orc::ExecutorAddr::fromPtr(function), llvm::JITSymbolFlags::Exported};
}

/// What compiled code may call: the C library's memory functions and libm.
llvm::orc::SymbolMap runtime_symbols(llvm::orc::ExecutionSession& session, char global_prefix) {
  llvm::orc::SymbolMap symbols;
  const auto add = [&](const char* name, llvm::orc::ExecutorSymbolDef symbol) {
    std::string mangled = global_prefix == '\0' ? name : std::string(1, global_prefix) + name;
    symbols[session.intern(mangled)] = symbol;
  };
  using Unary = double(double);
  using Binary = double(double, double);
  using UnaryF = float(float);
  add("memcpy", symbol_of(&std::memcpy));
  add("memset", symbol_of(&std::memset));
  add("memmove", symbol_of(&std::memmove));
  const std::pair<const char*, Unary*> unary[] = {
      {"exp", std::exp},   {"expm1", std::expm1}, {"log", std::log},   {"log1p", std::log1p},
      {"sin", std::sin},   {"cos", std::cos},     {"tanh", std::tanh}, {"erf", std::erf},
      {"erfc", std::erfc}, {"floor", std::floor}, {"ceil", std::ceil}, {"rint", std::rint}};
  for (const auto& [name, function] : unary)
    add(name, symbol_of(function));
  const std::pair<const char*, UnaryF*> unary_float[] = {
      {"floorf", std::floor}, {"ceilf", std::ceil}, {"rintf", std::rint}};
  for (const auto& [name, function] : unary_float)
    add(name, symbol_of(function));
  add("pow", symbol_of(static_cast<Binary*>(std::pow)));
  return symbols;
}

Diagnostic link_error(llvm::Error error) {
  return make_error(DiagKind::kInternal, {}, "linking compiled code failed: {}",
                    llvm::toString(std::move(error)));
}

}  // namespace

class KernelStore::Code {
 public:
  Code() = default;
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  ~Code() {
    if (session_ == nullptr) return;
    try {
      llvm::consumeError(session_->endSession());
    } catch (const std::bad_alloc&) {
      abandon();  // ending needs memory, too
    }
  }

  /// What LLVM holds stays behind: an exception came through it.
  void abandon() {
    (void)layer_.release();
    (void)memory_.release();
    (void)session_.release();
  }

  Status link(const std::string& name, std::span<const std::string> objects,
              std::span<const KernelName> kernels, std::vector<gradc_rt_kernel_fn>& functions) {
    auto control = llvm::orc::SelfExecutorProcessControl::Create(
        nullptr, std::make_unique<llvm::orc::InPlaceTaskDispatcher>());
    if (!control) return link_error(control.takeError());
    session_ = std::make_unique<llvm::orc::ExecutionSession>(std::move(*control));
    memory_ = std::make_unique<llvm::jitlink::InProcessMemoryManager>(
        llvm::sys::Process::getPageSizeEstimate());
    layer_ = std::make_unique<llvm::orc::ObjectLinkingLayer>(*session_, *memory_);
    llvm::orc::JITDylib& library = session_->createBareJITDylib("gradc");
    llvm::consumeError(
        library.define(llvm::orc::absoluteSymbols(runtime_symbols(*session_, '\0'))));
    for (const std::string& object : objects) {
      auto buffer = llvm::MemoryBuffer::getMemBufferCopy(object, name);
      if (llvm::Error error = layer_->add(library, std::move(buffer)))
        return link_error(std::move(error));
    }
    std::vector<llvm::orc::SymbolStringPtr> names;
    llvm::orc::SymbolLookupSet wanted;
    for (const KernelName& kernel : kernels) {
      names.push_back(session_->intern(kernel.symbol));
      wanted.add(names.back());
    }
    auto symbols = session_->lookup(llvm::orc::makeJITDylibSearchOrder({&library}), wanted);
    if (!symbols) return link_error(symbols.takeError());
    for (const llvm::orc::SymbolStringPtr& symbol : names)
      functions.push_back((*symbols)[symbol].getAddress().toPtr<gradc_rt_kernel_fn>());
    return Ok{};
  }

 private:
  std::unique_ptr<llvm::orc::ExecutionSession> session_;
  std::unique_ptr<llvm::jitlink::InProcessMemoryManager> memory_;
  std::unique_ptr<llvm::orc::ObjectLinkingLayer> layer_;
};

KernelStore::KernelStore() = default;
KernelStore::~KernelStore() = default;

const LinkedKernel* KernelStore::find(const std::string& text) const {
  const auto it = kernels_.find(text);
  return it == kernels_.end() ? nullptr : &it->second;
}

Status KernelStore::link(const std::string& name, std::span<const std::string> objects,
                         std::span<const KernelName> kernels, const BundleKey& bundle) {
  if (kernels.empty()) return Ok{};
  auto code = std::make_unique<Code>();
  std::vector<gradc_rt_kernel_fn> functions;
  try {
    GRADC_TRY_STATUS(code->link(name, objects, kernels, functions));
  } catch (...) {
    code->abandon();
    throw;
  }
  for (size_t i = 0; i < kernels.size(); ++i) {
    const gradc_rt_kernel row{functions[i], kernels[i].parallel ? 1 : 0, kernels[i].parameters};
    kernels_.try_emplace(kernels[i].text, LinkedKernel{row, kernels[i], bundle});
  }
  code_.push_back(std::move(code));
  return Ok{};
}

}  // namespace gradc::cg
