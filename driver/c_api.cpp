// The C ABI: handles over Session. Training is in c_api_training.cpp.
#include "driver/c_handle.h"
#include "driver/version.h"

#include <array>

using gradc::c_door::guarded;
using gradc::c_door::make_handle;
using gradc::c_door::options_of;
using gradc::c_door::views_of;

namespace {

constexpr std::array<const char*, 12> kKindNames = {
    "parameter", "state",  "optimizer_state", "input",   "target",         "output",
    "loss",      "metric", "gradient",        "carried", "input_gradient", "output_gradient"};

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

gradc_status gradc_session_step(gradc_session* session, const gradc_view* inputs, size_t num_inputs,
                                const gradc_view* targets, size_t num_targets, float* loss) {
  return guarded(session, {inputs, targets}, [&]() -> gradc::SessionStatus {
    return session->session->step(views_of(inputs, num_inputs, session->inputs),
                                  views_of(targets, num_targets, session->targets), loss);
  });
}

gradc_status gradc_session_evaluate(gradc_session* session, const gradc_view* inputs,
                                    size_t num_inputs, const gradc_view* targets,
                                    size_t num_targets, float* loss, float* metrics,
                                    size_t num_metrics) {
  return guarded(session, {inputs, targets}, [&]() -> gradc::SessionStatus {
    return session->session->evaluate(views_of(inputs, num_inputs, session->inputs),
                                      views_of(targets, num_targets, session->targets), loss,
                                      {metrics, metrics == nullptr ? 0 : num_metrics});
  });
}

gradc_status gradc_session_predict(gradc_session* session, const gradc_view* inputs,
                                   size_t num_inputs, const gradc_view* outputs,
                                   size_t num_outputs) {
  return guarded(session, {inputs, outputs}, [&]() -> gradc::SessionStatus {
    return session->session->predict(views_of(inputs, num_inputs, session->inputs),
                                     views_of(outputs, num_outputs, session->outputs));
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
