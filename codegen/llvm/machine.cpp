// Target machines, the pipeline, emission.
#include "codegen/llvm/machine.h"

#include "codegen/llvm/failures.h"
#include "support/check.h"

#include <llvm/Analysis/AliasAnalysis.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/OptBisect.h>
#include <llvm/IR/PassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>
#include <llvm/Transforms/Scalar/DCE.h>
#include <llvm/Transforms/Scalar/EarlyCSE.h>
#include <llvm/Transforms/Scalar/LICM.h>
#include <llvm/Transforms/Scalar/LoopPassManager.h>
#include <llvm/Transforms/Utils/Mem2Reg.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <string_view>

namespace gradc::cg {

namespace {

void initialize_targets(const llvm::Triple& triple) {
  static std::once_flag native;
  static std::once_flag all;
  std::call_once(native, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
  if (triple.getArch() == llvm::Triple(llvm::sys::getProcessTriple()).getArch()) return;
  std::call_once(all, [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
  });
}

}  // namespace

Result<const llvm::Target*> find_target(const std::string& name) {
  const llvm::Triple triple(llvm::Triple::normalize(name));
  initialize_targets(triple);
  std::string error;
#if LLVM_VERSION_MAJOR >= 22
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, error);
#else
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple.str(), error);
#endif
  if (found == nullptr)
    return make_error(DiagKind::kUnsupported, {}, "target '{}' is not supported: {}", name, error)
        .with_help("'llc --version' lists the targets of this LLVM");
  return found;
}

Result<std::unique_ptr<llvm::TargetMachine>> make_machine(const TargetInfo& target) {
  const llvm::Triple triple(llvm::Triple::normalize(target.triple));
  GRADC_TRY(const llvm::Target* found, find_target(target.triple));
  llvm::TargetOptions options;
  // A multiplication and an addition stay two roundings; what is fused says so (llvm.fma).
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;
  if (triple.isRISCV64()) options.MCOptions.ABIName = "lp64d";
#if LLVM_VERSION_MAJOR >= 21
  const llvm::Triple& name = triple;
#else
  const std::string& name = triple.str();
#endif
  std::unique_ptr<llvm::TargetMachine> machine(
      found->createTargetMachine(name, target.cpu, target.features, options, llvm::Reloc::PIC_,
                                 std::nullopt, llvm::CodeGenOptLevel::Default));
  if (machine == nullptr)
    return make_error(DiagKind::kUnsupported, {}, "no code generator for target '{}'",
                      target.triple);
  return machine;
}

void prepare_module(llvm::Module& module, const llvm::TargetMachine& machine) {
#if LLVM_VERSION_MAJOR >= 21
  module.setTargetTriple(machine.getTargetTriple());
#else
  module.setTargetTriple(machine.getTargetTriple().str());
#endif
  module.setDataLayout(machine.createDataLayout());
  module.setPICLevel(llvm::PICLevel::SmallPIC);
}

void check_module(const llvm::Module& module) {
  std::string error;
  llvm::raw_string_ostream stream(error);
  GRADC_CHECK(!llvm::verifyModule(module, &stream), "broken LLVM IR: {}", stream.str());
}

void optimize(llvm::Module& module, llvm::TargetMachine& machine) {
  const Abandonable<llvm::LoopAnalysisManager> loops;
  const Abandonable<llvm::FunctionAnalysisManager> functions;
  const Abandonable<llvm::CGSCCAnalysisManager> components;
  const Abandonable<llvm::ModuleAnalysisManager> modules;
  const Abandonable<llvm::PassBuilder> builder(&machine);
  builder->registerModuleAnalyses(*modules);
  builder->registerCGSCCAnalyses(*components);
  builder->registerFunctionAnalyses(*functions);
  builder->registerLoopAnalyses(*loops);
  builder->crossRegisterProxies(*loops, *functions, *components, *modules);

  const Abandonable<llvm::FunctionPassManager> owner;
  llvm::FunctionPassManager& passes = *owner;
  passes.addPass(llvm::PromotePass());
  passes.addPass(llvm::EarlyCSEPass());
  passes.addPass(llvm::createFunctionToLoopPassAdaptor(llvm::LICMPass(llvm::LICMOptions()),
                                                       /*UseMemorySSA=*/true));
  passes.addPass(llvm::DCEPass());
  for (llvm::Function& function : module) {
    if (!function.isDeclaration() && !function.hasOptNone()) passes.run(function, *functions);
  }
}

namespace {

/// Leaves out passes of LLVM's code generator that cost a third of the compile time of kernels and
/// change nothing measurable about how fast these run on x86: loops come with the addresses that
/// they should have, and such cores reorder hundreds of instructions. Other targets, among them
/// cores that run in order, get all passes.
class PassChoice final : public llvm::OptPassGate {
 public:
#if LLVM_VERSION_MAJOR >= 21
  bool shouldRunPass(llvm::StringRef pass, llvm::StringRef where) const override {
    return runs(pass, where);
  }
#else
  bool shouldRunPass(llvm::StringRef pass, llvm::StringRef where) override {
    return runs(pass, where);
  }
#endif
  bool isEnabled() const override { return true; }

 private:
  static bool runs(llvm::StringRef pass, llvm::StringRef where) {
    static constexpr std::array<std::string_view, 10> kLeftOut = {
        "Loop Strength Reduction",
        "Canonicalize Freeze Instructions in Loops",
        "Machine Instruction Scheduler",
        "Machine code sinking",
        "Live Range Shrink",
        "Early If-Conversion",
        "Early Tail Duplication",
        "Tail Duplication",
        "X86 cmov Conversion",
        "X86 Domain Reassignment Pass"};
    // Worth 2 % in the tiles of small networks, nothing elsewhere.
    constexpr std::string_view kOfTiles = "Post RA top-down list latency scheduler";
    const std::string_view name = pass;
    if (name == kOfTiles) return where.contains(kTileSuffix);
    return std::find(kLeftOut.begin(), kLeftOut.end(), name) == kLeftOut.end();
  }
};

}  // namespace

llvm::SmallVector<char, 0> emit_file(llvm::Module& module, llvm::TargetMachine& machine,
                                     FileKind kind) {
  llvm::SmallVector<char, 0> buffer;
  llvm::raw_svector_ostream stream(buffer);
  const Abandonable<llvm::legacy::PassManager> owner;
  llvm::legacy::PassManager& passes = *owner;
  static PassChoice choice;  // without state: threads share it
  llvm::LLVMContext& context = module.getContext();
  llvm::OptPassGate& everything = context.getOptPassGate();
  if (machine.getTargetTriple().isX86()) context.setOptPassGate(choice);
  const auto type = kind == FileKind::kObject ? llvm::CodeGenFileType::ObjectFile
                                              : llvm::CodeGenFileType::AssemblyFile;
  const bool failed = machine.addPassesToEmitFile(passes, stream, nullptr, type,
                                                  /*DisableVerify=*/true);
  GRADC_CHECK(!failed, "target '{}' cannot emit files", machine.getTargetTriple().str());
  passes.run(module);
  context.setOptPassGate(everything);
  return buffer;
}

}  // namespace gradc::cg
