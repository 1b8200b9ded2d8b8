#include "runtime/host_calls.h"

#include "runtime/batch_buffers.h"
#include "runtime/checked.h"
#include "runtime/feed.h"

namespace gradc::rt {

namespace {

/// Which lists of a HostBatch an entry reads and writes.
struct Lists {
  bool targets, output_gradients, input_gradients, outputs;
};

Lists lists_of(gradc_rt_entry_kind entry) {
  if (entry == GRADC_RT_FORWARD) return {false, false, false, true};
  const bool from_outputs = entry >= GRADC_RT_OUTPUTS_TO_PARAMETERS;
  const bool to_inputs =
      entry != GRADC_RT_LOSS_TO_PARAMETERS && entry != GRADC_RT_OUTPUTS_TO_PARAMETERS;
  return {!from_outputs, from_outputs, to_inputs, false};
}

/// Tensors of a kind, and the caller's buffers for them.
struct Given {
  gradc_rt_tensor_kind kind;
  const void* const* buffers;
  bool used;
  const char* what;
};

Status check(Instance& instance, const Given& given, int64_t rows) {
  if (!given.used) return {};
  if (any_null(given.buffers, instance.count_of(given.kind)))
    return error("one of the %s is NULL", given.what);
  const bool data = given.kind == GRADC_RT_INPUT || given.kind == GRADC_RT_TARGET;
  return data && instance.checked() ? check_rows(instance, given.kind, given.buffers, rows)
                                    : Status{};
}

}  // namespace

gradc_rt_entry_kind entry_for_rows(const Instance& instance, gradc_rt_entry_kind entry,
                                   int64_t rows) {
  const bool whole = rows == instance.model().batch_size;
  return whole ? entry : static_cast<gradc_rt_entry_kind>(entry + 1);
}

Status run_host_batch(Instance& instance, gradc_rt_entry_kind entry, const HostBatch& batch) {
  if (batch.rows < 1 || batch.rows > instance.model().batch_size) {
    return error("rows is %lld, expected 1 to the batch size %lld",
                 static_cast<long long>(batch.rows),
                 static_cast<long long>(instance.model().batch_size));
  }
  const Lists lists = lists_of(entry);
  const Given reads[] = {{GRADC_RT_INPUT, batch.inputs, true, "inputs"},
                         {GRADC_RT_TARGET, batch.targets, lists.targets, "targets"},
                         {GRADC_RT_OUTPUT_GRADIENT, batch.output_gradients, lists.output_gradients,
                          "gradients of outputs"}};
  const Given writes[] = {
      {GRADC_RT_INPUT_GRADIENT, const_cast<const void* const*>(batch.input_gradients),
       lists.input_gradients, "buffers for gradients of inputs"},
      {GRADC_RT_OUTPUT, const_cast<const void* const*>(batch.outputs), lists.outputs, "outputs"}};
  for (const Given& given : reads)
    GRADC_RT_TRY(check(instance, given, batch.rows));
  for (const Given& given : writes)
    GRADC_RT_TRY(check(instance, given, batch.rows));
  const gradc_rt_entry_kind kind = entry_for_rows(instance, entry, batch.rows);
  if (!instance.is_prepared(kind)) GRADC_RT_TRY(instance.prepare(kind));
  const bool whole = kind == entry;
  for (const Given& given : reads) {
    if (!given.used) continue;
    bind_all(instance, given.kind, given.buffers, whole);
    if (whole) continue;
    copy_rows(instance, given.kind, given.buffers, batch.rows,
              given.kind == GRADC_RT_OUTPUT_GRADIENT ? Beyond::kZeros : Beyond::kRowsAgain);
  }
  for (const Given& given : writes) {
    if (given.used) bind_all(instance, given.kind, given.buffers, whole);
  }
  if (!whole) set_tail_weight(instance, batch.rows);
  instance.run(kind);
  if (!whole && lists.input_gradients)
    give_rows(instance, GRADC_RT_INPUT_GRADIENT, batch.input_gradients, batch.rows);
  if (!whole && lists.outputs) give_rows(instance, GRADC_RT_OUTPUT, batch.outputs, batch.rows);
  unbind_all(instance);
  return {};
}

}  // namespace gradc::rt
