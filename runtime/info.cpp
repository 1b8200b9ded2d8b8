// The text of `info`.
#include "runtime/commands.h"
#include "runtime/number.h"
#include "runtime/table_bytes.h"
#include "runtime/weights.h"

#include <cstdio>

namespace gradc::rt {
namespace {

void print_tensors(const gradc_rt_model& model, int64_t kind, const char* title) {
  bool first = true;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind != kind) continue;
    if (first) printf("%s:\n", title);
    first = false;
    printf("  %-32s %s\n", short_name(tensor), tensor_type_text(tensor).c_str());
  }
}

int64_t bytes_of(const gradc_rt_model& model, int64_t kind) {
  int64_t bytes = 0;
  for (int64_t i = 0; i < model.num_tensors; ++i)
    bytes += model.tensors[i].kind == kind ? model.tensors[i].bytes : 0;
  return bytes;
}

const char* or_unknown(const char* text) {
  return text != nullptr ? text : "unknown";
}

}  // namespace

void print_info(const gradc_rt_model& model) {
  printf("model: %s, batch size %lld\n", model.name, static_cast<long long>(model.batch_size));
  printf("compiled by: %s\n", or_unknown(model.compiler));
  printf("target: %s, %s\n", or_unknown(model.target_triple), or_unknown(model.target_cpu));
  print_tensors(model, GRADC_RT_INPUT, "inputs");
  print_tensors(model, GRADC_RT_TARGET, "targets");
  print_tensors(model, GRADC_RT_OUTPUT, "outputs");
  print_tensors(model, GRADC_RT_METRIC, "metrics");
  print_tensors(model, GRADC_RT_PARAMETER, "parameters");
  print_tensors(model, GRADC_RT_STATE, "states");
  printf("entries:\n");
  for (int64_t e = 0; e < GRADC_RT_ENTRY_COUNT; ++e) {
    const gradc_rt_entry& entry = model.entries[e];
    if (entry.compiled == 0) continue;
    printf("  %-32s arena %lld bytes, scratch %lld bytes a thread\n", entry.name,
           static_cast<long long>(entry.arena_bytes), static_cast<long long>(entry.scratch_bytes));
  }
  printf("parameters: %lld bytes\n", static_cast<long long>(bytes_of(model, GRADC_RT_PARAMETER)));
  printf("states: %lld bytes\n", static_cast<long long>(bytes_of(model, GRADC_RT_STATE)));
  printf("optimizer state: %lld bytes\n",
         static_cast<long long>(bytes_of(model, GRADC_RT_OPTIMIZER_STATE)));
  printf("tables: %lld bytes\n", static_cast<long long>(table_bytes(model)));
  printf("training defaults: %lld epochs, seed %llu, %s, validation split %s\n",
         static_cast<long long>(model.training.epochs),
         static_cast<unsigned long long>(model.training.seed),
         model.training.shuffle != 0 ? "shuffled" : "in order",
         number_text(model.training.validation_split).c_str());
}

}  // namespace gradc::rt
