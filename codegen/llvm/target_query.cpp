// Asks LLVM for the host's CPU and for what a named CPU can do.
#include "codegen/llvm/target_query.h"

#include "codegen/llvm/failures.h"
#include "codegen/llvm/machine.h"

#include <fmt/ranges.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <span>

namespace gradc::cg {

namespace {

// What generated code can come to use and not every processor of an architecture has. Other
// features (cache control, key locker, ...) are of no use to plain arithmetic. The runtime core
// knows how to ask a processor for each of these.
constexpr std::string_view kX86Needs[] = {
    "sse3",        "ssse3",      "sse4.1",     "sse4.2",       "sse4a",        "popcnt",
    "lzcnt",       "movbe",      "avx",        "avx2",         "f16c",         "fma",
    "fma4",        "xop",        "bmi",        "bmi2",         "tbm",          "gfni",
    "avx512f",     "avx512cd",   "avx512bw",   "avx512dq",     "avx512vl",     "avx512vbmi",
    "avx512vbmi2", "avx512ifma", "avx512vnni", "avx512bitalg", "avx512bf16",   "avx512vpopcntdq",
    "avx512fp16",  "avxvnni",    "avxifma",    "avxvnniint8",  "avxneconvert", "avxvnniint16",
    "egpr"};
constexpr std::string_view kAarch64Needs[] = {
    "fp-armv8",  "neon",    "aes",     "sha2", "crc",     "lse",  "fullfp16", "rdm",       "jsconv",
    "complxnum", "rcpc",    "sha3",    "sm4",  "dotprod", "sve",  "fp16fml",  "rcpc-immo", "flagm",
    "sve2",      "altnzcv", "fptoint", "i8mm", "bf16",    "cssc", "mops",     "hbc"};
constexpr std::string_view kRiscvNeeds[] = {"m",   "a",      "f",    "d",   "c",
                                            "v",   "zba",    "zbb",  "zbs", "zbc",
                                            "zfh", "zfhmin", "zvfh", "zfa", "zicond"};

std::span<const std::string_view> needs_of(const llvm::Triple& triple) {
  if (triple.isX86()) return kX86Needs;
  if (triple.isAArch64()) return kAarch64Needs;
  return kRiscvNeeds;
}

/// Without these no code of ours runs: the ABI passes numbers in their registers.
std::vector<const char*> least_features(const llvm::Triple& triple) {
  if (triple.isX86()) return {"64bit", "64bit-mode", "sse2", "cx8"};
  if (triple.isAArch64()) return {"fp-armv8", "neon"};
  return {"64bit", "m", "a", "f", "d"};
}

TargetFacts facts_of(const llvm::MCSubtargetInfo& info, TargetFacts facts) {
  const llvm::Triple triple(facts.triple);
  const auto has = [&](std::string_view feature) {
    return info.checkFeatures("+" + std::string(feature));
  };
  facts.x86 = triple.isX86();
  facts.aarch64 = triple.isAArch64();
  facts.riscv = triple.isRISCV();
  facts.rvv = facts.riscv && has("v");
  facts.f16 =
      facts.aarch64 || (facts.riscv && (has("zfh") || has("zfhmin"))) || (facts.x86 && has("f16c"));
  if (!facts.x86) return facts;
  facts.sse = has("sse2");
  facts.avx = has("avx");
  facts.avx2 = has("avx2");
  facts.fma = has("fma");
  facts.avx512 = has("avx512f") && has("avx512vl") && has("avx512bw") && has("avx512dq");
  facts.avx512bf16 = facts.avx512 && has("avx512bf16");
  return facts;
}

constexpr const char* kServed =
    "gradc serves 64-bit Linux on x86_64, aarch64 and riscv64, as x86_64-linux-gnu";

/// Only what the tables' layout (8-byte pointers, least byte first), the runtime core and the tests
/// know.
Status check_triple(const std::string& given) {
  const llvm::Triple triple(given);
  const auto arch = triple.getArch();
  const auto environment = triple.getEnvironment();
  const auto refuse = [&](const char* why) {
    return make_error(DiagKind::kUnsupported, {}, "target '{}': {}", given, why).with_help(kServed);
  };
  if (arch == llvm::Triple::UnknownArch) return refuse("no such architecture is known");
  if (arch != llvm::Triple::x86_64 && arch != llvm::Triple::aarch64 &&
      arch != llvm::Triple::riscv64) {
    return refuse("its architecture is not served");
  }
  const bool no_system =
      triple.getOS() == llvm::Triple::UnknownOS &&
      (triple.getOSName().empty() || triple.getOSName() == "unknown");  // taken as Linux
  if (triple.getOS() != llvm::Triple::Linux && !no_system)
    return refuse("its operating system is not served");
  if (!triple.isOSBinFormatELF()) return refuse("its object files are not ELF");
  if (environment == llvm::Triple::GNUX32 || environment == llvm::Triple::MuslX32 ||
      environment == llvm::Triple::GNUILP32 || triple.isAArch64(32)) {
    return refuse("its pointers have 32 bits");
  }
  return Ok{};
}

Diagnostic unknown(const char* what, const std::string& name, const std::string& triple) {
  return make_error(DiagKind::kUnsupported, {}, "unknown {} '{}' for target '{}'", what, name,
                    triple);
}

/// "+name" or "-name" of what code can use, or of how it is to be chosen.
Status check_features(const llvm::MCSubtargetInfo& info, const TargetFacts& facts) {
  llvm::SmallVector<llvm::StringRef> names;
  llvm::StringRef(facts.features).split(names, ',');
  if (facts.features.empty()) return Ok{};
  for (const llvm::StringRef name : names) {
    if (!name.starts_with("+") && !name.starts_with("-")) {
      return make_error(DiagKind::kUnsupported, {}, "feature '{}' has no sign", name.str())
          .with_help("+name has the code use it, -name not: +avx2,-fma");
    }
    const llvm::StringRef bare = name.drop_front();
    const auto all = info.getAllProcessorFeatures();
    const bool known = std::any_of(all.begin(), all.end(),
                                   [&](const auto& feature) { return bare == feature.Key; });
    if (!known) return unknown("feature", bare.str(), facts.triple);
    const auto needs = needs_of(llvm::Triple(facts.triple));
    const bool useful =
        std::find(needs.begin(), needs.end(), std::string_view(bare)) != needs.end();
    const bool tuning = bare.starts_with("prefer-") || bare.starts_with("fast-") ||
                        bare.starts_with("slow-") || bare.starts_with("false-deps-");
    if (!useful && !tuning) {
      return make_error(DiagKind::kUnsupported, {}, "feature '{}' is of no use to gradc's code",
                        bare.str())
          .with_help(
              fmt::format("for target '{}' it can use: {}", facts.triple, fmt::join(needs, ", ")));
    }
  }
  return Ok{};
}

/// The subtarget that LLVM would generate code for; unlike a machine it may be an impossible one.
Result<std::unique_ptr<llvm::MCSubtargetInfo>> subtarget_of(const TargetFacts& facts) {
  GRADC_TRY(const llvm::Target* target, find_target(facts.triple));
  return std::unique_ptr<llvm::MCSubtargetInfo>(
      target->createMCSubtargetInfo(facts.triple, facts.cpu, facts.features));
}

Status check_least(const llvm::MCSubtargetInfo& info, const TargetFacts& facts) {
  for (const char* name : least_features(llvm::Triple(facts.triple))) {
    if (info.checkFeatures(std::string("+") + name)) continue;
    return make_error(DiagKind::kUnsupported, {},
                      "CPU '{}'{}{} lacks '{}', which target '{}' needs",
                      facts.cpu.empty() ? "generic" : facts.cpu,
                      facts.features.empty() ? "" : " with ", facts.features, name, facts.triple);
  }
  return Ok{};
}

}  // namespace

Result<TargetFacts> query_host(const std::string& features) {
  const LlvmFailures failures;
  TargetFacts facts;
  facts.triple = llvm::sys::getProcessTriple();
  facts.features = features;
  GRADC_TRY(const auto plain, subtarget_of({facts.triple, "", ""}));
  GRADC_TRY_STATUS(check_features(*plain, facts));
  facts.cpu = llvm::sys::getHostCPUName().str();
  std::vector<std::string> own;
  for (const auto& feature : llvm::sys::getHostCPUFeatures())
    own.push_back((feature.second ? "+" : "-") + feature.first().str());
  std::sort(own.begin(), own.end());
  if (!features.empty()) own.push_back(features);
  facts.features = llvm::join(own, ",");
  GRADC_TRY(const auto info, subtarget_of(facts));
  GRADC_TRY_STATUS(check_least(*info, facts));
  return facts_of(*info, facts);
}

Result<TargetFacts> query_target(const std::string& triple, const std::string& cpu,
                                 const std::string& features) {
  const LlvmFailures failures;
  TargetFacts facts;
  facts.triple = llvm::Triple::normalize(triple.empty() ? llvm::sys::getProcessTriple() : triple);
  GRADC_TRY_STATUS(check_triple(facts.triple));
  GRADC_TRY(const auto plain, subtarget_of({facts.triple, "", ""}));
  if (!cpu.empty() && !plain->isCPUStringValid(cpu)) return unknown("CPU", cpu, facts.triple);
  facts.features = features;
  GRADC_TRY_STATUS(check_features(*plain, facts));
  facts.cpu = cpu;
  // A riscv64 without more is rv64gc, as every compiler for Linux takes it.
  if (llvm::Triple(facts.triple).isRISCV() &&
      (cpu.empty() || cpu == "generic" || cpu == "generic-rv64")) {
    facts.features = "+m,+a,+f,+d,+c" + (features.empty() ? "" : "," + features);
  }
  GRADC_TRY(const auto info, subtarget_of(facts));
  GRADC_TRY_STATUS(check_least(*info, facts));
  return facts_of(*info, facts);
}

Result<std::string> query_needs(const std::string& triple, const std::string& cpu,
                                const std::string& features) {
  const LlvmFailures failures;
  GRADC_TRY(const auto info, subtarget_of({triple, cpu, features}));
  std::string needs;
  for (const std::string_view name : needs_of(llvm::Triple(triple))) {
    if (info->checkFeatures("+" + std::string(name)))
      needs += (needs.empty() ? "" : ",") + std::string(name);
  }
  return needs;
}

bool links_here(const std::string& name) {
  const llvm::Triple triple(llvm::Triple::normalize(name)), host(llvm::sys::getProcessTriple());
  const auto os = triple.getOS();
  const auto environment = triple.getEnvironment();
  return triple.getArch() == host.getArch() &&
         (os == host.getOS() || os == llvm::Triple::UnknownOS) &&
         (environment == host.getEnvironment() || environment == llvm::Triple::UnknownEnvironment);
}

std::string llvm_version() {
  return "LLVM " LLVM_VERSION_STRING;
}

}  // namespace gradc::cg
