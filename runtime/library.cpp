// The C ABI of compiled libraries over Instance.
#include "runtime/library.h"

#include "runtime/batch_buffers.h"
#include "runtime/checked.h"
#include "runtime/feed.h"
#include "runtime/library_call.h"
#include "runtime/processor.h"
#include "runtime/weights.h"

#include <cstdio>

namespace gradc::rt {

int fail(const Instance* instance, int status, const char* text) {
  // The text is the handle's own scratch: writing it does not change what the handle means.
  snprintf(const_cast<Instance*>(instance)->error_text(), Instance::kErrorTextBytes, "%s", text);
  return status;
}

int status_of(const Status& status, int otherwise) {
  switch (status.code) {
    case Code::kOk:
      return GRADC_RT_OK;
    case Code::kOutOfMemory:
      return GRADC_RT_OUT_OF_MEMORY;
    case Code::kInternal:
      return GRADC_RT_INTERNAL;
    case Code::kUserError:
    case Code::kUsage:
    case Code::kStopped:
      return otherwise;
  }
  return GRADC_RT_INTERNAL;
}

int check_entry(Instance& instance, gradc_rt_entry_kind entry) {
  if (instance.is_prepared(entry)) return GRADC_RT_OK;
  return told(instance, instance.prepare(entry), GRADC_RT_NO_ENTRY);
}

int check_count(Instance& instance, int64_t rows) {
  if (rows >= 1 && rows <= instance.model().batch_size) return GRADC_RT_OK;
  return fail(
      &instance, GRADC_RT_INVALID_ARGUMENT,
      format("rows is %lld, expected 1 to the batch size %lld", static_cast<long long>(rows),
             static_cast<long long>(instance.model().batch_size))
          .c_str());
}

int check_values(Instance& instance, gradc_rt_tensor_kind kind, const void* const* buffers,
                 int64_t rows) {
  if (!instance.checked()) return GRADC_RT_OK;
  const Status status = check_rows(instance, kind, buffers, rows);
  return status.ok() ? GRADC_RT_OK : fail(&instance, GRADC_RT_BAD_VALUE, status.text.c_str());
}

float loss_of(const Instance& instance) {
  const int64_t index = instance.nth(GRADC_RT_LOSS, 0);
  return index < 0 ? 0.0f : static_cast<float>(instance.scalar(static_cast<size_t>(index)));
}

namespace {

int check_call(Instance& instance, gradc_rt_entry_kind entry, int64_t rows) {
  const int status = check_count(instance, rows);
  return status == GRADC_RT_OK ? check_entry(instance, entry) : status;
}

int run_supervised(Instance& instance, const void* const* inputs, const void* const* targets,
                   int64_t rows, gradc_rt_entry_kind entry, gradc_rt_entry_kind tail) {
  const bool whole = rows == instance.model().batch_size;
  const int status = check_call(instance, whole ? entry : tail, rows);
  if (status != GRADC_RT_OK) return status;
  if (any_null(inputs, instance.count_of(GRADC_RT_INPUT)) ||
      any_null(targets, instance.count_of(GRADC_RT_TARGET))) {
    return fail(&instance, GRADC_RT_INVALID_ARGUMENT, "an input or target is NULL");
  }
  for (const gradc_rt_tensor_kind kind : {GRADC_RT_INPUT, GRADC_RT_TARGET}) {
    const int good = check_values(instance, kind, kind == GRADC_RT_INPUT ? inputs : targets, rows);
    if (good != GRADC_RT_OK) return good;
  }
  bind_all(instance, GRADC_RT_INPUT, inputs, whole);
  bind_all(instance, GRADC_RT_TARGET, targets, whole);
  if (!whole) {
    copy_rows(instance, GRADC_RT_INPUT, inputs, rows);
    copy_rows(instance, GRADC_RT_TARGET, targets, rows);
    set_tail_weight(instance, rows);
  }
  instance.run(whole ? entry : tail);
  unbind_all(instance);
  return GRADC_RT_OK;
}

// The meaning of the target of that output, or of that input; null where nothing is known.
const TensorMeaning* meaning_of(const Instance& instance, gradc_rt_tensor_kind kind, int64_t n) {
  int64_t index = n < 0 ? -1 : instance.nth(kind, n);
  if (index >= 0 && kind == GRADC_RT_OUTPUT)
    index = target_of_output(instance.model(), static_cast<size_t>(index));
  if (index < 0 || instance.meanings() == nullptr) return nullptr;
  return &(*instance.meanings())[static_cast<size_t>(index)];
}

const Str* name_at(const gradc_rt_handle* handle, gradc_rt_tensor_kind kind, int64_t n,
                   Vec<Str> TensorMeaning::* names, int64_t number) {
  const TensorMeaning* meaning = handle != nullptr ? meaning_of(*from(handle), kind, n) : nullptr;
  if (meaning == nullptr || number < 0) return nullptr;
  const Vec<Str>& list = meaning->*names;
  return static_cast<size_t>(number) < list.size() ? &list[static_cast<size_t>(number)] : nullptr;
}

// Parameters, states and optimizer state have lasting values that a caller may read and write.
int find_lasting(const Instance* instance, const char* name, size_t bytes, size_t* index) {
  const int64_t found = instance->find(name);
  const int64_t kind = found < 0 ? -1 : instance->tensor(static_cast<size_t>(found)).kind;
  if (kind != GRADC_RT_PARAMETER && kind != GRADC_RT_STATE && kind != GRADC_RT_OPTIMIZER_STATE &&
      kind != GRADC_RT_CARRIED) {
    char text[256];
    snprintf(text, sizeof text, "no parameter or state is named \"%s\"", name);
    return fail(instance, GRADC_RT_UNKNOWN_NAME, text);
  }
  *index = static_cast<size_t>(found);
  if (static_cast<size_t>(instance->tensor(*index).bytes) != bytes) {
    char text[256];
    snprintf(text, sizeof text, "\"%s\" has %lld bytes, the buffer %zu", name,
             static_cast<long long>(instance->tensor(*index).bytes), bytes);
    return fail(instance, GRADC_RT_WRONG_SIZE, text);
  }
  return GRADC_RT_OK;
}

int run_predict(Instance& instance, const void* const* inputs, int64_t rows, void* const* outputs) {
  int status = check_call(instance, GRADC_RT_PREDICT, rows);
  if (status != GRADC_RT_OK) return status;
  const int64_t num_outputs = instance.count_of(GRADC_RT_OUTPUT);
  if (any_null(inputs, instance.count_of(GRADC_RT_INPUT)) ||
      any_null(const_cast<const void* const*>(outputs), num_outputs)) {
    return fail(&instance, GRADC_RT_INVALID_ARGUMENT, "an input or output is NULL");
  }
  status = check_values(instance, GRADC_RT_INPUT, inputs, rows);
  if (status != GRADC_RT_OK) return status;
  const int64_t batch = instance.model().batch_size;
  const bool whole = rows == batch;
  bind_all(instance, GRADC_RT_INPUT, inputs, whole);
  bind_all(instance, GRADC_RT_OUTPUT, const_cast<const void* const*>(outputs), whole);
  if (!whole) copy_rows(instance, GRADC_RT_INPUT, inputs, rows);
  instance.run(GRADC_RT_PREDICT);
  if (!whole) give_rows(instance, GRADC_RT_OUTPUT, outputs, rows);
  unbind_all(instance);
  return GRADC_RT_OK;
}

int file_status(Instance& instance, const Status& status) {
  return told(instance, status, GRADC_RT_FILE_ERROR);
}

}  // namespace
}  // namespace gradc::rt

using namespace gradc::rt;  // NOLINT(google-build-using-namespace): C functions only below

const char* gradc_rt_status_text(int status) {
  switch (status) {
    case GRADC_RT_OK:
      return "ok";
    case GRADC_RT_INVALID_ARGUMENT:
      return "invalid argument";
    case GRADC_RT_MEMORY_TOO_SMALL:
      return "the memory given is too small";
    case GRADC_RT_CANNOT_CREATE:
      return "the instance cannot be created";
    case GRADC_RT_UNKNOWN_NAME:
      return "no tensor of this name";
    case GRADC_RT_WRONG_SIZE:
      return "the buffer has another size than the tensor";
    case GRADC_RT_FILE_ERROR:
      return "a file could not be read or written, or does not fit the model";
    case GRADC_RT_NO_ENTRY:
      return "the model was compiled without this entry";
    case GRADC_RT_INTERNAL:
      return "internal error";
    case GRADC_RT_OUT_OF_MEMORY:
      return "out of memory";
    case GRADC_RT_WRONG_PROCESSOR:
      return "the processor lacks what the code needs";
    case GRADC_RT_AFTER_FORK:
      return "the instance belongs to the process that forked this one";
    case GRADC_RT_BAD_VALUE:
      return "a label or index is out of range";
    default:
      return "unknown status";
  }
}

const char* gradc_rt_last_error(const gradc_rt_handle* handle) {
  return handle == nullptr ? "" : const_cast<Instance*>(from(handle))->error_text();
}

int gradc_rt_check_processor(const gradc_rt_model* model, char* text, size_t bytes) {
  if (text != nullptr && bytes > 0) text[0] = '\0';
  if (model == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  int result = GRADC_RT_OK;
  const Status status = survive([&] {
    const Status fits = check_processor(*model);
    if (!fits.ok()) result = GRADC_RT_WRONG_PROCESSOR;
    if (!fits.ok() && text != nullptr) snprintf(text, bytes, "%s", fits.text.c_str());
    return Status{};
  });
  return status.ok() ? result : GRADC_RT_OUT_OF_MEMORY;
}

size_t gradc_rt_memory_bytes(const gradc_rt_model* model, int32_t threads) {
  return Instance::memory_bytes(*model, threads);
}

int gradc_rt_create(const gradc_rt_model* model, void* memory, size_t bytes, int32_t threads,
                    gradc_rt_handle** out) {
  gradc_rt_options options = {};
  options.memory = memory;
  options.bytes = bytes;
  options.threads = threads;
  return gradc_rt_create_with(model, &options, out);
}

int gradc_rt_create_with(const gradc_rt_model* model, const gradc_rt_options* options,
                         gradc_rt_handle** out) {
  if (out == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  *out = nullptr;
  if (options == nullptr || options->threads < 0 || options->threads > ThreadPool::kMaxThreads)
    return GRADC_RT_INVALID_ARGUMENT;
  const Instance* weights = from(options->weights_of);
  if (weights != nullptr && &weights->model() != model) return GRADC_RT_INVALID_ARGUMENT;
  if (options->memory != nullptr &&
      options->bytes < Instance::memory_bytes(*model, options->threads)) {
    return GRADC_RT_MEMORY_TOO_SMALL;
  }
  const int fits = gradc_rt_check_processor(model, nullptr, 0);
  if (fits != GRADC_RT_OK) return fits;
  InstanceOptions of_instance;
  of_instance.threads = options->threads;
  of_instance.host_threads = {options->run, options->user};
  of_instance.weights_of = weights;
  Instance* instance = nullptr;
  const Status status = survive([&] {
    return Instance::create(*model, of_instance, options->memory, options->bytes, &instance);
  });
  if (instance != nullptr && weights != nullptr) instance->set_seed(weights->seed());
  *out = reinterpret_cast<gradc_rt_handle*>(instance);
  return status_of(status, GRADC_RT_CANNOT_CREATE);
}

void gradc_rt_destroy(gradc_rt_handle* handle) {
  Instance::destroy(from(handle));
}

int gradc_rt_init(gradc_rt_handle* handle, uint64_t seed) {
  return call(handle, [&](Instance& instance) {
    return told(instance, instance.initialize(seed), GRADC_RT_INTERNAL);
  });
}

int gradc_rt_reset_states(gradc_rt_handle* handle) {
  return call(handle, [](Instance& instance) {
    instance.reset_carried();
    return static_cast<int>(GRADC_RT_OK);
  });
}

int gradc_rt_set_checked(gradc_rt_handle* handle, int checked) {
  if (handle == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  from(handle)->set_checked(checked != 0);
  return GRADC_RT_OK;
}

int gradc_rt_train_step(gradc_rt_handle* handle, const void* const* inputs,
                        const void* const* targets, int64_t rows, float* loss) {
  return call(handle, [&](Instance& instance) {
    const int status = run_supervised(instance, inputs, targets, rows, instance.step_entry(),
                                      instance.tail_entry());
    if (status == GRADC_RT_OK && loss != nullptr) *loss = loss_of(instance);
    return status;
  });
}

int gradc_rt_evaluate(gradc_rt_handle* handle, const void* const* inputs,
                      const void* const* targets, int64_t rows, float* loss, float* metrics) {
  return call(handle, [&](Instance& instance) {
    const int status =
        run_supervised(instance, inputs, targets, rows, GRADC_RT_EVALUATE, GRADC_RT_EVALUATE_TAIL);
    if (status != GRADC_RT_OK) return status;
    if (loss != nullptr) *loss = loss_of(instance);
    for (int64_t m = 0; metrics != nullptr && m < instance.count_of(GRADC_RT_METRIC); ++m) {
      const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_METRIC, m));
      metrics[m] = static_cast<float>(instance.scalar(index));
    }
    return status;
  });
}

int gradc_rt_predict(gradc_rt_handle* handle, const void* const* inputs, int64_t rows,
                     void* const* outputs) {
  return call(handle,
              [&](Instance& instance) { return run_predict(instance, inputs, rows, outputs); });
}

int gradc_rt_get_parameter(const gradc_rt_handle* handle, const char* name, void* data,
                           size_t bytes) {
  if (name == nullptr || data == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    size_t index = 0;
    const int status = find_lasting(&instance, name, bytes, &index);
    if (status == GRADC_RT_OK) memcpy(data, instance.data(index), bytes);
    return status;
  });
}

int gradc_rt_set_parameter(gradc_rt_handle* handle, const char* name, const void* data,
                           size_t bytes) {
  if (name == nullptr || data == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    size_t index = 0;
    const int status = find_lasting(&instance, name, bytes, &index);
    if (status == GRADC_RT_OK) memcpy(instance.data(index), data, bytes);
    return status;
  });
}

const char* gradc_rt_class_name(const gradc_rt_handle* handle, int64_t output, int64_t number) {
  const Str* name = name_at(handle, GRADC_RT_OUTPUT, output, &TensorMeaning::classes, number);
  return name != nullptr ? name->c_str() : nullptr;
}

const char* gradc_rt_column_name(const gradc_rt_handle* handle, int64_t input, int64_t column) {
  const Str* name = name_at(handle, GRADC_RT_INPUT, input, &TensorMeaning::columns, column);
  return name != nullptr ? name->c_str() : nullptr;
}

const char* gradc_rt_character(const gradc_rt_handle* handle, int64_t input, int64_t number,
                               size_t* length) {
  const Str* name = name_at(handle, GRADC_RT_INPUT, input, &TensorMeaning::characters, number);
  if (length != nullptr) *length = name != nullptr ? name->size() : 0;
  return name != nullptr ? name->c_str() : nullptr;
}

int gradc_rt_save(gradc_rt_handle* handle, const char* path, int with_optimizer) {
  if (path == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    return file_status(instance, save_tensors(instance, path, with_optimizer != 0));
  });
}

int gradc_rt_load(gradc_rt_handle* handle, const char* path) {
  if (path == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    return file_status(instance, load_tensors(instance, path, true));
  });
}

int gradc_rt_load_weights_only(gradc_rt_handle* handle, const char* path) {
  if (path == nullptr) return GRADC_RT_INVALID_ARGUMENT;
  return call(handle, [&](Instance& instance) {
    return file_status(instance, load_tensors(instance, path, false));
  });
}
