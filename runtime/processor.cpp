// Does this processor have what the compiled code needs? Asked before the first instruction that
// could be missing. The tables say where each architecture answers: CPUID and XCR0 on x86-64, the
// kernel's hardware capabilities on AArch64 and RISC-V. Features that every processor of an
// architecture has are not listed.
#include "runtime/processor.h"

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__linux__) && (defined(__aarch64__) || defined(__riscv))
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gradc::rt {
namespace {

enum Register { kEax, kEbx, kEcx, kEdx };

// Bits of XCR0 that the system must have set: it saves these registers when it switches tasks.
constexpr uint64_t kNoState = 0;
constexpr uint64_t kAvxState = 0x6;
constexpr uint64_t kAvx512State = 0xE6;
constexpr uint64_t kApxState = 0x80006;

struct X86Feature {
  const char* name;
  uint32_t leaf;
  uint32_t subleaf;
  Register where;
  int bit;
  uint64_t state;
};

constexpr X86Feature kX86Features[] = {
    {"sse3", 1, 0, kEcx, 0, kNoState},
    {"ssse3", 1, 0, kEcx, 9, kNoState},
    {"fma", 1, 0, kEcx, 12, kAvxState},
    {"sse4.1", 1, 0, kEcx, 19, kNoState},
    {"sse4.2", 1, 0, kEcx, 20, kNoState},
    {"movbe", 1, 0, kEcx, 22, kNoState},
    {"popcnt", 1, 0, kEcx, 23, kNoState},
    {"avx", 1, 0, kEcx, 28, kAvxState},
    {"f16c", 1, 0, kEcx, 29, kAvxState},
    {"lzcnt", 0x80000001, 0, kEcx, 5, kNoState},
    {"sse4a", 0x80000001, 0, kEcx, 6, kNoState},
    {"xop", 0x80000001, 0, kEcx, 11, kAvxState},
    {"fma4", 0x80000001, 0, kEcx, 16, kAvxState},
    {"tbm", 0x80000001, 0, kEcx, 21, kNoState},
    {"bmi", 7, 0, kEbx, 3, kNoState},
    {"avx2", 7, 0, kEbx, 5, kAvxState},
    {"bmi2", 7, 0, kEbx, 8, kNoState},
    {"gfni", 7, 0, kEcx, 8, kNoState},
    {"avx512f", 7, 0, kEbx, 16, kAvx512State},
    {"avx512dq", 7, 0, kEbx, 17, kAvx512State},
    {"avx512ifma", 7, 0, kEbx, 21, kAvx512State},
    {"avx512cd", 7, 0, kEbx, 28, kAvx512State},
    {"avx512bw", 7, 0, kEbx, 30, kAvx512State},
    {"avx512vl", 7, 0, kEbx, 31, kAvx512State},
    {"avx512vbmi", 7, 0, kEcx, 1, kAvx512State},
    {"avx512vbmi2", 7, 0, kEcx, 6, kAvx512State},
    {"avx512vnni", 7, 0, kEcx, 11, kAvx512State},
    {"avx512bitalg", 7, 0, kEcx, 12, kAvx512State},
    {"avx512vpopcntdq", 7, 0, kEcx, 14, kAvx512State},
    {"avx512fp16", 7, 0, kEdx, 23, kAvx512State},
    {"avxvnni", 7, 1, kEax, 4, kAvxState},
    {"avx512bf16", 7, 1, kEax, 5, kAvx512State},
    {"avxifma", 7, 1, kEax, 23, kAvxState},
    {"avxvnniint8", 7, 1, kEdx, 4, kAvxState},
    {"avxneconvert", 7, 1, kEdx, 5, kAvxState},
    {"avxvnniint16", 7, 1, kEdx, 10, kAvxState},
    {"egpr", 7, 1, kEdx, 21, kApxState},
};

struct CapabilityFeature {
  const char* name;
  int word;  // of the kernel's answers
  int bit;
};

// AT_HWCAP and AT_HWCAP2.
constexpr CapabilityFeature kAarch64Features[] = {
    {"fp-armv8", 0, 0},   {"neon", 0, 1},       {"aes", 0, 3},       {"sha2", 0, 6},
    {"crc", 0, 7},        {"lse", 0, 8},        {"fullfp16", 0, 10}, {"rdm", 0, 12},
    {"jsconv", 0, 13},    {"complxnum", 0, 14}, {"rcpc", 0, 15},     {"sha3", 0, 17},
    {"sm4", 0, 19},       {"dotprod", 0, 20},   {"sve", 0, 22},      {"fp16fml", 0, 23},
    {"rcpc-immo", 0, 26}, {"flagm", 0, 27},     {"sve2", 1, 1},      {"altnzcv", 1, 7},
    {"fptoint", 1, 8},    {"i8mm", 1, 13},      {"bf16", 1, 14},     {"cssc", 1, 34},
    {"mops", 1, 43},      {"hbc", 1, 44},
};

// AT_HWCAP has a bit for each single letter, riscv_hwprobe the others.
constexpr CapabilityFeature kRiscvFeatures[] = {
    {"m", 0, 'm' - 'a'}, {"a", 0, 'a' - 'a'}, {"f", 0, 'f' - 'a'}, {"d", 0, 'd' - 'a'},
    {"c", 0, 'c' - 'a'}, {"v", 0, 'v' - 'a'}, {"zba", 1, 3},       {"zbb", 1, 4},
    {"zbs", 1, 5},       {"zbc", 1, 7},       {"zfh", 1, 27},      {"zfhmin", 1, 28},
    {"zvfh", 1, 30},     {"zfa", 1, 32},      {"zicond", 1, 35},
};

#if defined(__x86_64__)
uint64_t saved_state() {
  uint32_t answer[4] = {};
  constexpr uint32_t kXsaveInUse = uint32_t{1} << 27;
  if (__get_cpuid(1, &answer[0], &answer[1], &answer[2], &answer[3]) == 0 ||
      (answer[kEcx] & kXsaveInUse) == 0) {
    return 0;
  }
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

const X86Feature* begin_features() {
  return kX86Features;
}
const X86Feature* end_features() {
  return kX86Features + sizeof kX86Features / sizeof *kX86Features;
}

bool has(const X86Feature& feature) {
  uint32_t answer[4] = {};
  if (__get_cpuid_count(feature.leaf, feature.subleaf, &answer[0], &answer[1], &answer[2],
                        &answer[3]) == 0) {
    return false;
  }
  return (answer[feature.where] >> feature.bit & 1) != 0 &&
         (saved_state() & feature.state) == feature.state;
}
#elif defined(__linux__) && (defined(__aarch64__) || defined(__riscv))
#if defined(__aarch64__)
constexpr const auto& kFeatures = kAarch64Features;
uint64_t capabilities(int word) {
  return getauxval(word == 0 ? AT_HWCAP : AT_HWCAP2);
}
#else
constexpr const auto& kFeatures = kRiscvFeatures;
uint64_t capabilities(int word) {
  if (word == 0) return getauxval(AT_HWCAP);
  struct {
    int64_t key;
    uint64_t value;
  } pair = {4, 0};  // RISCV_HWPROBE_KEY_IMA_EXT_0
  constexpr long kHwprobe = 258;
  return syscall(kHwprobe, &pair, 1, 0, nullptr, 0) == 0 && pair.key == 4 ? pair.value : 0;
}
#endif
const CapabilityFeature* begin_features() {
  return kFeatures;
}
const CapabilityFeature* end_features() {
  return kFeatures + sizeof kFeatures / sizeof *kFeatures;
}
bool has(const CapabilityFeature& feature) {
  return (capabilities(feature.word) >> feature.bit & 1) != 0;
}
#else
const CapabilityFeature* begin_features() {
  return nullptr;
}
const CapabilityFeature* end_features() {
  return nullptr;
}
bool has(const CapabilityFeature&) {
  return true;
}
#endif

bool same(const char* name, const char* text, size_t length) {
  return strlen(name) == length && memcmp(name, text, length) == 0;
}

bool lists(const char* features, const char* name) {
  while (true) {
    const size_t length = strcspn(features, ",");
    if (same(name, features, length)) return true;
    if (features[length] == '\0') return false;
    features += length + 1;
  }
}

template <class Table>
bool holds(const Table& table, const char* name, size_t length) {
  for (const auto& feature : table) {
    if (same(feature.name, name, length)) return true;
  }
  return false;
}

}  // namespace

bool is_processor_feature(const char* name, size_t length) {
  return holds(kX86Features, name, length) || holds(kAarch64Features, name, length) ||
         holds(kRiscvFeatures, name, length);
}

Status check_processor(const gradc_rt_model& model) {
  if (model.target_features == nullptr) return {};
  Str missing;
  for (const auto* feature = begin_features(); feature != end_features(); ++feature) {
    if (!lists(model.target_features, feature->name) || has(*feature)) continue;
    if (!missing.empty()) missing.append(", ");
    missing.append(feature->name);
  }
  if (missing.empty()) return {};
  return error(
      "model \"%s\" was compiled for %s; this processor lacks %s: compile it again with --cpu for "
      "this machine",
      model.name,
      model.target_cpu != nullptr && model.target_cpu[0] != '\0' ? model.target_cpu
                                                                 : "another processor",
      missing.c_str());
}

}  // namespace gradc::rt
