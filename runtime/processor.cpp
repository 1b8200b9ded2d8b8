// Does this processor have what the compiled code needs? Asked before the first instruction that
// could be missing.
#include "runtime/instance.h"

namespace gradc::rt {
namespace {

#if defined(__x86_64__)
struct Feature {
  const char* name;  // LLVM's spelling
  bool present;
};

// Only features whose absence makes instructions fault; unknown names are tuning flags and pass.
template <class Visit>
void for_each_feature(Visit visit) {
  __builtin_cpu_init();
  visit({"sse3", __builtin_cpu_supports("sse3") != 0});
  visit({"ssse3", __builtin_cpu_supports("ssse3") != 0});
  visit({"sse4.1", __builtin_cpu_supports("sse4.1") != 0});
  visit({"sse4.2", __builtin_cpu_supports("sse4.2") != 0});
  visit({"popcnt", __builtin_cpu_supports("popcnt") != 0});
  visit({"avx", __builtin_cpu_supports("avx") != 0});
  visit({"avx2", __builtin_cpu_supports("avx2") != 0});
  visit({"fma", __builtin_cpu_supports("fma") != 0});
  visit({"bmi", __builtin_cpu_supports("bmi") != 0});
  visit({"bmi2", __builtin_cpu_supports("bmi2") != 0});
  visit({"avx512f", __builtin_cpu_supports("avx512f") != 0});
  visit({"avx512bw", __builtin_cpu_supports("avx512bw") != 0});
  visit({"avx512cd", __builtin_cpu_supports("avx512cd") != 0});
  visit({"avx512dq", __builtin_cpu_supports("avx512dq") != 0});
  visit({"avx512vl", __builtin_cpu_supports("avx512vl") != 0});
  visit({"avx512vnni", __builtin_cpu_supports("avx512vnni") != 0});
  visit({"avx512vbmi", __builtin_cpu_supports("avx512vbmi") != 0});
  visit({"avx512bf16", __builtin_cpu_supports("avx512bf16") != 0});
}

bool lists(const char* features, const char* name) {
  const size_t length = strlen(name);
  for (const char* at = features; (at = strstr(at, name)) != nullptr; at += length) {
    const char before = at == features ? ',' : at[-1];
    const char after = at[length];
    if ((before == ',' || before == '+') && (after == ',' || after == '\0')) return true;
  }
  return false;
}
#endif

}  // namespace

Status check_processor(const gradc_rt_model& model) {
#if defined(__x86_64__)
  if (model.target_features == nullptr) return {};
  Str missing;
  for_each_feature([&](const Feature& feature) {
    if (feature.present || !lists(model.target_features, feature.name)) return;
    if (!missing.empty()) missing.append(", ");
    missing.append(feature.name);
  });
  if (!missing.empty()) {
    return error(
        "model \"%s\" was compiled for %s; this processor lacks %s: compile it again with "
        "--cpu for this machine",
        model.name, model.target_cpu != nullptr ? model.target_cpu : "another processor",
        missing.c_str());
  }
#else
  (void)model;
#endif
  return {};
}

}  // namespace gradc::rt
