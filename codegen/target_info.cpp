// Numbers of the target: vector widths from LLVM's features, cache sizes and cores from the
// operating system for the host, common sizes of the class for others.
#include "codegen/target_info.h"

#include "codegen/llvm/target_query.h"
#include "codegen/target_needs.h"

#include <fstream>
#include <locale>
#include <thread>
#include <unistd.h>

namespace gradc {

namespace {

TargetInfo from_facts(const cg::TargetFacts& facts) {
  TargetInfo target;
  target.triple = facts.triple;
  target.cpu = facts.cpu;
  target.features = facts.features;
  target.l1_bytes = 32 * 1024;
  target.l2_bytes = 512 * 1024;
  target.l3_bytes = 8 * 1024 * 1024;
  target.has_f16 = facts.f16;
  if (facts.aarch64) {
    target.vector_bytes = 16;
    target.vector_registers = 32;
    target.has_fma = true;
    return target;
  }
  if (facts.riscv) {  // F and D have a fused multiply-add; without V two numbers are a vector
    target.vector_bytes = facts.rvv ? 16 : 8;
    target.vector_registers = facts.rvv ? 32 : 16;
    target.has_fma = true;
    return target;
  }
  target.vector_bytes = facts.avx512 ? 64 : facts.avx ? 32 : 16;
  target.vector_registers = facts.avx512 ? 32 : 16;
  target.has_fma = facts.fma;
  target.has_bf16_dot = facts.avx512bf16;
  target.has_masked_memory = facts.avx2 || facts.avx512;
  if (facts.avx512) target.l2_bytes = 1024 * 1024;
  return target;
}

/// "48K" or "2M" in a sysfs file; 0 if it is not there.
int64_t read_size(const std::string& path) {
  std::ifstream file(path);
  file.imbue(std::locale::classic());
  int64_t value = 0;
  char unit = '\0';
  if (!(file >> value)) return 0;
  file >> unit;
  return unit == 'K' ? value * 1024 : unit == 'M' ? value * 1024 * 1024 : value;
}

/// Size of the data cache of a level, from sysfs or sysconf; 0 if neither says.
int64_t cache_bytes(int level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    std::ifstream type_file(folder + "type");
    std::string type;
    if (!(type_file >> type) || type == "Instruction") continue;
    if (read_size(folder + "level") == level) return read_size(folder + "size");
  }
#ifdef _SC_LEVEL1_DCACHE_SIZE
  const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
  const long bytes = sysconf(names[level - 1]);
  if (bytes > 0) return bytes;
#endif
  return 0;
}

TargetInfo generic(const char* triple, const char* cpu) {
  auto facts = cg::query_target(triple, cpu, "");
  GRADC_CHECK(facts.ok(), "{}", facts.message());
  return from_facts(*facts);
}

TargetInfo measured_host(const cg::TargetFacts& facts) {
  TargetInfo target = from_facts(facts);
  const auto take = [](int64_t& field, int64_t measured) {
    if (measured > 0) field = measured;
  };
  take(target.l1_bytes, cache_bytes(1));
  take(target.l2_bytes, cache_bytes(2));
  take(target.l3_bytes, cache_bytes(3));
  take(target.cores, std::thread::hardware_concurrency());
  return target;
}

}  // namespace

TargetInfo TargetInfo::host() {
  const auto facts = cg::query_host();
  GRADC_CHECK(facts.ok(), "{}", facts.message());
  return measured_host(*facts);
}

Result<TargetInfo> TargetInfo::host_as(const std::string& cpu) {
  if (cpu.empty() || cpu == "native") return host();
  GRADC_TRY(const cg::TargetFacts facts, cg::query_target("", cpu, ""));
  return measured_host(facts);
}

Result<TargetInfo> TargetInfo::from(const std::string& triple, const std::string& cpu,
                                    const std::string& features) {
  if (triple.empty() && cpu.empty() && features.empty()) return host();
  if (cpu != "native") {
    GRADC_TRY(const cg::TargetFacts facts, cg::query_target(triple, cpu, features));
    return from_facts(facts);
  }
  GRADC_TRY(const cg::TargetFacts plain, cg::query_target(triple, "", ""));
  if (!cg::links_here(plain.triple)) {
    return make_error(DiagKind::kUnsupported, {}, "CPU 'native' for target '{}'", triple)
        .with_help(
            "native is this machine's processor, which does not run code of that target: "
            "name the CPU, or leave it out for the least of its kind");
  }
  GRADC_TRY(const cg::TargetFacts facts, cg::query_host(features));
  return measured_host(facts);
}

TargetInfo TargetInfo::generic_sse() {
  return generic("x86_64-unknown-linux-gnu", "x86-64");
}
TargetInfo TargetInfo::generic_avx2() {
  return generic("x86_64-unknown-linux-gnu", "x86-64-v3");
}
TargetInfo TargetInfo::generic_avx512() {
  return generic("x86_64-unknown-linux-gnu", "x86-64-v4");
}
TargetInfo TargetInfo::generic_neon() {
  return generic("aarch64-unknown-linux-gnu", "generic");
}

std::string target_needs(const TargetInfo& target) {
  const auto needs = cg::query_needs(target.triple, target.cpu, target.features);
  GRADC_CHECK(needs.ok(), "{}", needs.message());
  return *needs;
}

bool target_links_here(const TargetInfo& target) {
  return cg::links_here(target.triple);
}

}  // namespace gradc
