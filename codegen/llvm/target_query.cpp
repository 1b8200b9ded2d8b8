// Asks LLVM for the host's CPU and for what a named CPU can do.
#include "codegen/llvm/target_query.h"

#include "codegen/llvm/machine.h"

#include <llvm/ADT/StringExtras.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>

namespace gradc::cg {

namespace {

TargetFacts facts_of(const llvm::TargetMachine& machine, TargetFacts facts) {
  const llvm::Triple& triple = machine.getTargetTriple();
  const llvm::MCSubtargetInfo& info = *machine.getMCSubtargetInfo();
  facts.x86 = triple.isX86();
  facts.aarch64 = triple.isAArch64();
  if (!facts.x86) return facts;
  const auto has = [&](const char* feature) { return info.checkFeatures(feature); };
  facts.sse = has("+sse2");
  facts.avx = has("+avx");
  facts.avx2 = has("+avx2");
  facts.fma = has("+fma");
  facts.avx512 = has("+avx512f") && has("+avx512vl") && has("+avx512bw") && has("+avx512dq");
  return facts;
}

Diagnostic unknown(const char* what, const std::string& name, const std::string& triple) {
  return make_error(DiagKind::kUnsupported, {}, "unknown {} '{}' for target '{}'", what, name,
                    triple);
}

Status check_features(const llvm::MCSubtargetInfo& info, const TargetFacts& facts) {
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(facts.features).split(names, ',', -1, /*KeepEmpty=*/false);
  for (const llvm::StringRef name : names) {
    const llvm::StringRef bare = name.ltrim("+-");
    const auto all = info.getAllProcessorFeatures();
    const bool known = std::any_of(all.begin(), all.end(),
                                   [&](const auto& feature) { return bare == feature.Key; });
    if (!known) return unknown("feature", bare.str(), facts.triple);
  }
  return Ok{};
}

}  // namespace

TargetFacts query_host() {
  TargetFacts facts;
  facts.triple = llvm::sys::getProcessTriple();
  facts.cpu = llvm::sys::getHostCPUName().str();
  std::vector<std::string> features;
  for (const auto& feature : llvm::sys::getHostCPUFeatures())
    features.push_back((feature.second ? "+" : "-") + feature.first().str());
  std::sort(features.begin(), features.end());
  facts.features = llvm::join(features, ",");
  TargetInfo target;
  target.triple = facts.triple;
  target.cpu = facts.cpu;
  target.features = facts.features;
  auto machine = make_machine(target);
  GRADC_CHECK(machine.ok(), "{}", machine.message());
  return facts_of(**machine, facts);
}

Result<TargetFacts> query_target(const std::string& triple, const std::string& cpu,
                                 const std::string& features) {
  TargetInfo target;
  target.triple = triple.empty() ? llvm::sys::getProcessTriple() : triple;
  TargetFacts facts;
  facts.triple = llvm::Triple::normalize(target.triple);
  facts.cpu = cpu;
  facts.features = features;
  target.triple = facts.triple;
  GRADC_TRY(auto plain, make_machine(target));
  const llvm::MCSubtargetInfo& info = *plain->getMCSubtargetInfo();
  if (!cpu.empty() && !info.isCPUStringValid(cpu)) return unknown("CPU", cpu, facts.triple);
  GRADC_TRY_STATUS(check_features(info, facts));
  target.cpu = cpu;
  target.features = features;
  GRADC_TRY(auto machine, make_machine(target));
  return facts_of(*machine, facts);
}

std::string llvm_version() {
  return "LLVM " LLVM_VERSION_STRING;
}

}  // namespace gradc::cg
