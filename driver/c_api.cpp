// The C ABI: handles over Session.
#include "driver/version.h"
#include "gradc/gradc.h"
#include "gradc/session.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

struct gradc_session {
  std::unique_ptr<gradc::Session> session;
  std::vector<gradc::TensorInfo> tensors;
  mutable std::set<std::string> names;  ///< what queries gave: their texts live on
  std::string error;
};

namespace {

constexpr std::array<const char*, 12> kKindNames = {
    "parameter", "state",  "optimizer_state", "input",   "target",         "output",
    "loss",      "metric", "gradient",        "carried", "input_gradient", "output_gradient"};

/// The message into the caller's buffer, always ended.
void write_error(std::string_view message, char* error, size_t error_size) {
  if (error == nullptr || error_size == 0) return;
  const size_t count = std::min(message.size(), error_size - 1);
  std::memcpy(error, message.data(), count);
  error[count] = '\0';
}

/// Calls make(status), which gives a session or nothing. No exception leaves it.
template <class Make>
gradc_session* make_handle(char* error, size_t error_size, Make&& make) noexcept {
  write_error("", error, error_size);
  try {
    gradc::SessionStatus status;
    std::unique_ptr<gradc::Session> session = make(status);
    write_error(status.message, error, error_size);
    if (session == nullptr) return nullptr;
    auto handle = std::make_unique<gradc_session>();
    handle->tensors = session->tensors();
    handle->session = std::move(session);
    return handle.release();
  } catch (const std::bad_alloc&) {
    write_error("error: out of memory\n", error, error_size);
  } catch (const std::exception& failure) {
    write_error(failure.what(), error, error_size);
  } catch (...) {
    write_error("error: an unknown exception\n", error, error_size);
  }
  return nullptr;
}

gradc::SessionOptions options_of(const gradc_options* options) {
  gradc::SessionOptions result;
  if (options == nullptr) return result;
  result.batch_size = options->batch_size;
  result.threads = options->threads;
  result.seed = options->seed;
  result.has_seed = options->has_seed != 0;
  result.checked = options->checked != 0;
  result.cache = options->cache != 0;
  return result;
}

gradc::GradientOptions gradient_options(int64_t rows, int32_t parameters,
                                        void* const* input_gradients, size_t num_input_gradients) {
  return {.parameters = parameters != 0,
          .inputs = {input_gradients, input_gradients == nullptr ? 0 : num_input_gradients},
          .rows = rows};
}

bool any_null(std::initializer_list<const void*> pointers) {
  return std::find(pointers.begin(), pointers.end(), nullptr) != pointers.end();
}

/// Calls work(), which gives a SessionStatus or a gradc_status; its message is the handle's last
/// error. No exception leaves it.
template <class Work>
gradc_status guarded(gradc_session* handle, std::initializer_list<const void*> arguments,
                     Work&& work) noexcept {
  if (handle == nullptr) return GRADC_INVALID_ARGUMENT;
  const auto keep = [handle](const char* text) noexcept {
    try {
      handle->error = text;
    } catch (...) {
      handle->error.assign("out of memory", 13);  // short enough to need none
    }
    return GRADC_ERROR;
  };
  try {
    if (any_null(arguments)) {
      handle->error = "error: an argument is NULL\n";
      return GRADC_INVALID_ARGUMENT;
    }
    if constexpr (std::is_same_v<decltype(work()), gradc_status>) {
      return work();
    } else {
      handle->error = work().message;
      return handle->error.empty() ? GRADC_OK : GRADC_ERROR;
    }
  } catch (const std::bad_alloc&) {
    return keep("out of memory");
  } catch (const std::exception& failure) {
    return keep(failure.what());
  } catch (...) {
    return keep("an unknown exception");
  }
}

/// The bytes of a tensor, or empty with the reason kept as the last error.
std::span<std::byte> memory_of(gradc_session* handle, const char* name, size_t bytes) {
  const std::span<std::byte> memory = handle->session->tensor_memory(name);
  if (memory.empty()) {
    handle->error = std::string("error: no parameter or state is named \"") + name + "\"\n";
  } else if (memory.size() != bytes) {
    handle->error = std::string("error: \"") + name + "\" has " + std::to_string(memory.size()) +
                    " bytes, " + std::to_string(bytes) + " were given\n";
    return {};
  }
  return memory;
}

/// The short name of the n-th tensor of a kind; empty when there is none.
std::string nth_name(const gradc_session& handle, gradc::TensorKind kind, size_t n) {
  for (const gradc::TensorInfo& tensor : handle.tensors) {
    if (tensor.kind == kind && n-- == 0) return tensor.name.substr(tensor.name.find('/') + 1);
  }
  return {};
}

/// A name that the session knows, kept with the handle; null when there is none, or no memory.
const char* name_at(const gradc_session* handle, gradc::TensorKind kind, size_t n,
                    std::vector<std::string> (gradc::Session::*names)(const std::string&) const,
                    size_t number, size_t* length) noexcept {
  if (length != nullptr) *length = 0;
  if (handle == nullptr) return nullptr;
  try {
    const std::vector<std::string> list =
        (handle->session.get()->*names)(nth_name(*handle, kind, n));
    if (number >= list.size()) return nullptr;
    const std::string& kept = *handle->names.insert(list[number]).first;
    if (length != nullptr) *length = kept.size();
    return kept.c_str();
  } catch (...) {
    return nullptr;
  }
}

}  // namespace

extern "C" {

const char* gradc_version(void) {
  return gradc::version_number();
}

gradc_session* gradc_session_load(const char* path, const gradc_options* options, char* error,
                                  size_t error_size) {
  return make_handle(error, error_size, [&](gradc::SessionStatus& status) {
    if (path == nullptr) status.message = "error: the path is NULL\n";
    return path == nullptr ? nullptr : gradc::Session::load(path, options_of(options), &status);
  });
}

gradc_session* gradc_session_parse(const char* json, const gradc_options* options, char* error,
                                   size_t error_size) {
  return make_handle(error, error_size, [&](gradc::SessionStatus& status) {
    if (json == nullptr) status.message = "error: the text is NULL\n";
    return json == nullptr
               ? nullptr
               : gradc::Session::parse(json, "model.json", options_of(options), &status);
  });
}

void gradc_session_destroy(gradc_session* session) {
  delete session;
}

const char* gradc_last_error(const gradc_session* session) {
  return session == nullptr ? "" : session->error.c_str();
}

gradc_status gradc_session_warm_up(gradc_session* session) {
  return guarded(session, {}, [&] { return session->session->warm_up(); });
}

int64_t gradc_session_batch_size(const gradc_session* session) {
  return session == nullptr ? 0 : session->session->batch_size();
}

size_t gradc_session_num_tensors(const gradc_session* session) {
  return session == nullptr ? 0 : session->tensors.size();
}

gradc_status gradc_session_tensor(const gradc_session* session, size_t index,
                                  gradc_tensor_info* info) {
  if (session == nullptr || info == nullptr || index >= session->tensors.size())
    return GRADC_INVALID_ARGUMENT;
  const gradc::TensorInfo& tensor = session->tensors[index];
  *info = {tensor.name.c_str(),  kKindNames[static_cast<size_t>(tensor.kind)],
           tensor.dtype.c_str(), static_cast<int32_t>(tensor.shape.size()),
           tensor.shape.data(),  tensor.bytes};
  return GRADC_OK;
}

gradc_status gradc_session_step(gradc_session* session, const void* const* inputs,
                                size_t num_inputs, const void* const* targets, size_t num_targets,
                                int64_t rows, float* loss) {
  return guarded(session, {inputs, targets}, [&]() -> gradc::SessionStatus {
    return session->session->step({inputs, num_inputs}, {targets, num_targets}, loss, rows);
  });
}

gradc_status gradc_session_evaluate(gradc_session* session, const void* const* inputs,
                                    size_t num_inputs, const void* const* targets,
                                    size_t num_targets, int64_t rows, float* loss, float* metrics,
                                    size_t num_metrics) {
  return guarded(session, {inputs, targets}, [&]() -> gradc::SessionStatus {
    return session->session->evaluate({inputs, num_inputs}, {targets, num_targets}, loss,
                                      {metrics, metrics == nullptr ? 0 : num_metrics}, rows);
  });
}

gradc_status gradc_session_predict(gradc_session* session, const void* const* inputs,
                                   size_t num_inputs, int64_t rows, void* const* outputs,
                                   size_t num_outputs) {
  return guarded(session, {inputs, outputs}, [&]() -> gradc::SessionStatus {
    return session->session->predict({inputs, num_inputs}, {outputs, num_outputs}, rows);
  });
}

gradc_status gradc_session_train(gradc_session* session, const gradc_train_options* options,
                                 double* losses, size_t num_losses, size_t* epochs) {
  if (epochs != nullptr) *epochs = 0;
  return guarded(session, {options}, [&]() -> gradc::SessionStatus {
    const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
    gradc::TrainOptions train;
    train.data = text(options->data);
    train.epochs = options->epochs;
    if (options->has_validation_split != 0) train.validation_split = options->validation_split;
    train.weights = text(options->weights);
    train.out = text(options->out);
    train.checkpoint = text(options->checkpoint);
    train.resume = options->resume != 0;
    train.overwrite = options->overwrite != 0;
    train.log = text(options->log);
    std::vector<double> history;
    gradc::SessionStatus status = session->session->train(train, &history);
    if (epochs != nullptr) *epochs = history.size();
    if (losses != nullptr)
      std::copy_n(history.begin(), std::min(num_losses, history.size()), losses);
    return status;
  });
}

gradc_status gradc_session_gradients(gradc_session* session, const void* const* inputs,
                                     size_t num_inputs, const void* const* targets,
                                     size_t num_targets, int64_t rows, float* loss,
                                     int32_t parameters, void* const* input_gradients,
                                     size_t num_input_gradients) {
  return guarded(session, {inputs, targets}, [&]() -> gradc::SessionStatus {
    return session->session->gradients(
        {inputs, num_inputs}, {targets, num_targets}, loss,
        gradient_options(rows, parameters, input_gradients, num_input_gradients));
  });
}

gradc_status gradc_session_apply_gradients(gradc_session* session) {
  return guarded(session, {}, [&] { return session->session->apply_gradients(); });
}

gradc_status gradc_session_forward(gradc_session* session, const void* const* inputs,
                                   size_t num_inputs, int64_t rows, void* const* outputs,
                                   size_t num_outputs) {
  return guarded(session, {inputs, outputs}, [&]() -> gradc::SessionStatus {
    return session->session->forward({inputs, num_inputs}, {outputs, num_outputs}, rows);
  });
}

gradc_status gradc_session_backward(gradc_session* session, const void* const* inputs,
                                    size_t num_inputs, const void* const* output_gradients,
                                    size_t num_output_gradients, int64_t rows, int32_t parameters,
                                    void* const* input_gradients, size_t num_input_gradients) {
  return guarded(session, {inputs, output_gradients}, [&]() -> gradc::SessionStatus {
    return session->session->backward(
        {inputs, num_inputs}, {output_gradients, num_output_gradients},
        gradient_options(rows, parameters, input_gradients, num_input_gradients));
  });
}

const char* gradc_session_hyperparameter_name(const gradc_session* session, size_t index) {
  if (session == nullptr) return nullptr;
  try {
    const std::vector<std::string> names = session->session->hyperparameters();
    return index < names.size() ? session->names.insert(names[index]).first->c_str() : nullptr;
  } catch (...) {
    return nullptr;
  }
}

gradc_status gradc_session_hyperparameter(gradc_session* session, const char* name, double* value) {
  return guarded(session, {name, value}, [&] {
    const std::optional<double> found = session->session->hyperparameter(name);
    if (!found) {
      session->error = std::string("error: the optimizer has no number \"") + name + "\" to set\n";
      return GRADC_INVALID_ARGUMENT;
    }
    *value = *found;
    return GRADC_OK;
  });
}

gradc_status gradc_session_set_hyperparameter(gradc_session* session, const char* name,
                                              double value) {
  return guarded(session, {name}, [&]() -> gradc::SessionStatus {
    return session->session->set_hyperparameter(name, value);
  });
}

gradc_session* gradc_session_another(gradc_session* session, const gradc_options* options,
                                     int32_t share_weights, char* error, size_t error_size) {
  return make_handle(error, error_size, [&](gradc::SessionStatus& status) {
    if (session == nullptr) status.message = "error: the session is NULL\n";
    return session == nullptr
               ? nullptr
               : session->session->another(options_of(options), share_weights != 0, &status);
  });
}

void* gradc_session_memory(gradc_session* session, const char* name, size_t* bytes) {
  if (bytes != nullptr) *bytes = 0;
  void* memory = nullptr;
  guarded(session, {name}, [&] {
    const std::span<std::byte> found = session->session->tensor_memory(name);
    if (found.empty()) {
      session->error = std::string("error: no parameter or state is named \"") + name + "\"\n";
      return GRADC_INVALID_ARGUMENT;
    }
    if (bytes != nullptr) *bytes = found.size();
    memory = found.data();
    return GRADC_OK;
  });
  return memory;
}

gradc_status gradc_session_get(gradc_session* session, const char* name, void* data, size_t bytes) {
  return guarded(session, {name, data}, [&] {
    const std::span<std::byte> memory = memory_of(session, name, bytes);
    if (memory.empty()) return GRADC_INVALID_ARGUMENT;
    std::memcpy(data, memory.data(), bytes);
    return GRADC_OK;
  });
}

gradc_status gradc_session_set(gradc_session* session, const char* name, const void* data,
                               size_t bytes) {
  return guarded(session, {name, data}, [&] {
    const std::span<std::byte> memory = memory_of(session, name, bytes);
    if (memory.empty()) return GRADC_INVALID_ARGUMENT;
    std::memcpy(memory.data(), data, bytes);
    return GRADC_OK;
  });
}

gradc_status gradc_session_initialize(gradc_session* session, uint64_t seed) {
  return guarded(session, {}, [&] { return session->session->initialize(seed); });
}

gradc_status gradc_session_reset_states(gradc_session* session) {
  return guarded(session, {}, [&] { return session->session->reset_states(); });
}

gradc_status gradc_session_save(gradc_session* session, const char* path, int32_t with_optimizer) {
  return guarded(session, {path}, [&]() -> gradc::SessionStatus {
    return session->session->save(path, with_optimizer != 0);
  });
}

gradc_status gradc_session_load_weights(gradc_session* session, const char* path) {
  return guarded(session, {path},
                 [&]() -> gradc::SessionStatus { return session->session->load_weights(path); });
}

gradc_status gradc_session_load_weights_only(gradc_session* session, const char* path) {
  return guarded(session, {path}, [&]() -> gradc::SessionStatus {
    return session->session->load_weights(path, false);
  });
}

gradc_status gradc_session_set_checked(gradc_session* session, int32_t checked) {
  return guarded(session, {}, [&]() -> gradc::SessionStatus {
    session->session->set_checked(checked != 0);
    return {};
  });
}

const char* gradc_session_class_name(const gradc_session* session, size_t output, size_t number) {
  return name_at(session, gradc::TensorKind::kOutput, output, &gradc::Session::classes, number,
                 nullptr);
}

const char* gradc_session_column_name(const gradc_session* session, size_t input, size_t column) {
  return name_at(session, gradc::TensorKind::kInput, input, &gradc::Session::columns, column,
                 nullptr);
}

const char* gradc_session_character(const gradc_session* session, size_t input, size_t number,
                                    size_t* length) {
  return name_at(session, gradc::TensorKind::kInput, input, &gradc::Session::characters, number,
                 length);
}

gradc_status gradc_session_evaluate_data(gradc_session* session, const char* data, double* loss,
                                         double* metrics, size_t num_metrics) {
  return guarded(session, {data}, [&]() -> gradc::SessionStatus {
    return session->session->evaluate_data(data, loss, {metrics, num_metrics});
  });
}

gradc_status gradc_session_predict_data(gradc_session* session, const char* data, const char* out) {
  return guarded(session, {data, out}, [&]() -> gradc::SessionStatus {
    return session->session->predict_data(data, out);
  });
}

}  // extern "C"
