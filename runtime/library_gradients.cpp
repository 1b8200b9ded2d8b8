// The C ABI of compiled libraries for hosts that train by hand: gradients, losses of their own, the
// optimizer's step and its numbers.
#include "runtime/batch_buffers.h"
#include "runtime/feed.h"
#include "runtime/hyperparameters.h"
#include "runtime/library_call.h"

#include <cstring>

namespace gradc::rt {
namespace {

/// The caller's buffers for the tensors of a kind.
struct Given {
  gradc_rt_tensor_kind kind;
  const void* const* buffers;
  const char* what;
  void* const* into = nullptr;  ///< the same, where they are written
};

Given written(gradc_rt_tensor_kind kind, void* const* buffers, const char* what) {
  return {kind, const_cast<const void* const*>(buffers), what, buffers};
}

/// The entry for gradients of parameters, of inputs (two further), or of both (four further); each
/// has its tail behind it.
gradc_rt_entry_kind entry_to(gradc_rt_entry_kind parameters, bool to_parameters, bool to_inputs) {
  const int further = !to_inputs ? 0 : to_parameters ? 4 : 2;
  return static_cast<gradc_rt_entry_kind>(parameters + further);
}

int check_buffers(Instance& instance, const Given& given, int64_t rows) {
  if (any_null(given.buffers, instance.count_of(given.kind)))
    return fail(&instance, GRADC_RT_INVALID_ARGUMENT,
                format("one of the %s is NULL", given.what).c_str());
  const bool data = given.kind == GRADC_RT_INPUT || given.kind == GRADC_RT_TARGET;
  return data ? check_values(instance, given.kind, given.buffers, rows)
              : static_cast<int>(GRADC_RT_OK);
}

/// Runs an entry for whole batches, or the tail behind it, on what it reads and writes.
int run_on(Instance& instance, gradc_rt_entry_kind entry, int64_t rows, Span<const Given> reads,
           Span<const Given> writes) {
  const bool whole = rows == instance.model().batch_size;
  const auto kind = static_cast<gradc_rt_entry_kind>(entry + (whole ? 0 : 1));
  int status = check_count(instance, rows);
  for (size_t i = 0; i < reads.size() + writes.size() && status == GRADC_RT_OK; ++i)
    status = check_buffers(instance, i < reads.size() ? reads[i] : writes[i - reads.size()], rows);
  if (status == GRADC_RT_OK) status = check_entry(instance, kind);
  if (status != GRADC_RT_OK) return status;
  for (const Given& given : reads) {
    bind_all(instance, given.kind, given.buffers, whole);
    if (whole) continue;
    copy_rows(instance, given.kind, given.buffers, rows,
              given.kind == GRADC_RT_OUTPUT_GRADIENT ? Beyond::kZeros : Beyond::kRowsAgain);
  }
  for (const Given& given : writes)
    bind_all(instance, given.kind, given.buffers, whole);
  if (!whole) set_tail_weight(instance, rows);
  instance.run(kind);
  for (const Given& given : writes) {
    if (!whole) give_rows(instance, given.kind, given.into, rows);
  }
  unbind_all(instance);
  return GRADC_RT_OK;
}

/// `to_parameters` of a pair of calls, from what `reads` has.
int run_gradients(Instance& instance, gradc_rt_entry_kind to_parameters, int parameters,
                  void* const* input_gradients, int64_t rows, Span<const Given> reads) {
  if (parameters == 0 && input_gradients == nullptr)
    return fail(&instance, GRADC_RT_INVALID_ARGUMENT, "gradients of nothing are asked for");
  const bool to_inputs = input_gradients != nullptr;
  const Given writes[] = {
      written(GRADC_RT_INPUT_GRADIENT, input_gradients, "buffers for gradients of inputs")};
  return run_on(instance, entry_to(to_parameters, parameters != 0, to_inputs), rows, reads,
                {writes, to_inputs ? size_t{1} : size_t{0}});
}

constexpr const char* kNoNumbers =
    "the model was compiled without the steps that read the optimizer's numbers";

/// The number of that name, or a status with the names that there are.
int find_number(Instance& instance, const char* name, int64_t* index) {
  *index = find_hyperparameter(instance.model(), name);
  if (*index >= 0) return GRADC_RT_OK;
  if (instance.model().num_hyperparameters == 0 && !instance.has_entry(GRADC_RT_TUNED_STEP))
    return fail(&instance, GRADC_RT_NO_ENTRY, kNoNumbers);
  return fail(&instance, GRADC_RT_UNKNOWN_NAME,
              format("the optimizer has no number \"%s\" to set; it has %s", name,
                     hyperparameter_names(instance.model()).c_str())
                  .c_str());
}

}  // namespace
}  // namespace gradc::rt

using namespace gradc::rt;  // NOLINT(google-build-using-namespace): C functions only below

int gradc_rt_gradients(gradc_rt_handle* handle, const void* const* inputs,
                       const void* const* targets, int64_t rows, float* loss, int parameters,
                       void* const* input_gradients) {
  return call(handle, [&](Instance& instance) {
    const Given reads[] = {{GRADC_RT_INPUT, inputs, "inputs"},
                           {GRADC_RT_TARGET, targets, "targets"}};
    const int status = run_gradients(instance, GRADC_RT_LOSS_TO_PARAMETERS, parameters,
                                     input_gradients, rows, {reads, 2});
    if (status == GRADC_RT_OK && loss != nullptr) *loss = loss_of(instance);
    return status;
  });
}

int gradc_rt_apply_gradients(gradc_rt_handle* handle) {
  return call(handle, [](Instance& instance) {
    const int status = check_entry(instance, GRADC_RT_APPLY_GRADIENTS);
    if (status == GRADC_RT_OK) instance.run(GRADC_RT_APPLY_GRADIENTS);
    return status;
  });
}

int gradc_rt_forward(gradc_rt_handle* handle, const void* const* inputs, int64_t rows,
                     void* const* outputs) {
  return call(handle, [&](Instance& instance) {
    const Given reads[] = {{GRADC_RT_INPUT, inputs, "inputs"}};
    const Given writes[] = {written(GRADC_RT_OUTPUT, outputs, "outputs")};
    return run_on(instance, GRADC_RT_FORWARD, rows, {reads, 1}, {writes, 1});
  });
}

int gradc_rt_backward(gradc_rt_handle* handle, const void* const* inputs,
                      const void* const* output_gradients, int64_t rows, int parameters,
                      void* const* input_gradients) {
  return call(handle, [&](Instance& instance) {
    const Given reads[] = {{GRADC_RT_INPUT, inputs, "inputs"},
                           {GRADC_RT_OUTPUT_GRADIENT, output_gradients, "gradients of outputs"}};
    return run_gradients(instance, GRADC_RT_OUTPUTS_TO_PARAMETERS, parameters, input_gradients,
                         rows, {reads, 2});
  });
}

const char* gradc_rt_hyperparameter_name(const gradc_rt_model* model, int64_t index) {
  const bool known = model != nullptr && index >= 0 && index < model->num_hyperparameters;
  return known ? model->hyperparameters[index].name : nullptr;
}

int gradc_rt_get_hyperparameter(gradc_rt_handle* handle, const char* name, double* value) {
  if (name == nullptr || value == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    int64_t index = 0;
    const int status = find_number(instance, name, &index);
    if (status != GRADC_RT_OK) return status;
    double read = 0;
    const Status got = read_hyperparameter(instance, index, &read);
    if (got.ok()) *value = read;
    return told(instance, got, GRADC_RT_NO_ENTRY);
  });
}

int gradc_rt_set_hyperparameter(gradc_rt_handle* handle, const char* name, double value) {
  if (name == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    int64_t index = 0;
    int status = find_number(instance, name, &index);
    if (status != GRADC_RT_OK) return status;
    status = told(instance, check_hyperparameter(instance.model().hyperparameters[index], value),
                  GRADC_RT_INVALID_ARGUMENT);
    if (status != GRADC_RT_OK) return status;
    if (!instance.has_entry(GRADC_RT_TUNED_STEP))
      return fail(&instance, GRADC_RT_NO_ENTRY, kNoNumbers);
    return told(instance, write_hyperparameter(instance, index, value), GRADC_RT_INTERNAL);
  });
}

void* gradc_rt_tensor_memory(gradc_rt_handle* handle, const char* name, size_t* bytes) {
  if (bytes != nullptr) *bytes = 0;
  if (handle == nullptr || name == nullptr) return nullptr;
  Instance& instance = *from(handle);
  const int64_t found = instance.find(name);
  if (found < 0) return nullptr;
  const size_t index = static_cast<size_t>(found);
  switch (instance.tensor(index).kind) {
    case GRADC_RT_PARAMETER:
    case GRADC_RT_STATE:
    case GRADC_RT_OPTIMIZER_STATE:
    case GRADC_RT_CARRIED:
      break;
    case GRADC_RT_GRADIENT:
      if (!instance.has_tensors_of(GRADC_RT_GRADIENT) ||
          !instance.ensure_tensors(GRADC_RT_GRADIENT).ok())
        return nullptr;
      break;
    default:
      return nullptr;
  }
  if (bytes != nullptr) *bytes = static_cast<size_t>(instance.tensor(index).bytes);
  return instance.data(index);
}
