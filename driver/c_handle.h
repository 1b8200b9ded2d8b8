// Handles of the C ABI over Session: what its functions have in common.
#pragma once

#include "gradc/gradc.h"
#include "gradc/session.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

struct gradc_session {
  std::unique_ptr<gradc::Session> session;
  std::vector<gradc::TensorInfo> tensors;
  mutable std::set<std::string> names;  ///< what queries gave: their texts live on
  std::string error;
  std::string report;               ///< of the last dump or profile
  std::vector<gradc::View> inputs;  ///< of the call that runs: no step allocates for them
  std::vector<gradc::View> targets;
  std::vector<gradc::MutableView> outputs;
};

namespace gradc::c_door {

/// The message into the caller's buffer, always ended.
inline void write_error(std::string_view message, char* error, size_t error_size) {
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
    SessionStatus status;
    std::unique_ptr<Session> session = make(status);
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

/// A C host's threads.
struct HostRun {
  void (*run)(void* user, void (*work)(void* argument, int32_t thread), void* argument,
              int32_t threads);
  void* user;
  using Work = std::function<void(int)>;

  void operator()(int threads, const Work& work) const {
    run(
        user, [](void* argument, int32_t thread) { (*static_cast<const Work*>(argument))(thread); },
        const_cast<Work*>(&work), threads);
  }
};

inline SessionOptions options_of(const gradc_options* options) {
  SessionOptions result;
  if (options == nullptr) return result;
  result.batch_size = options->batch_size;
  result.threads = options->threads;
  result.seed = options->seed;
  result.has_seed = options->has_seed != 0;
  result.checked = options->checked != 0;
  result.cache = options->cache != 0;
  if (options->cpu != nullptr) result.cpu = options->cpu;
  if (options->target != nullptr) result.target = options->target;
  result.memory_budget = options->memory_budget;
  if (options->run != nullptr) result.run = HostRun{options->run, options->run_user};
  return result;
}

inline bool any_null(std::initializer_list<const void*> pointers) {
  return std::find(pointers.begin(), pointers.end(), nullptr) != pointers.end();
}

/// A C host's views, kept in `views`. More axes than any tensor has stay too many.
template <class Void>
std::span<const BasicView<Void>> views_of(const gradc_view* given, size_t count,
                                          std::vector<BasicView<Void>>& views) {
  const auto text = [](const char* word) { return std::string_view(word == nullptr ? "" : word); };
  views.clear();
  for (size_t i = 0; given != nullptr && i < count; ++i) {
    const bool shaped = given[i].shape != nullptr && given[i].rank > 0;
    const std::span<const int64_t> shape(given[i].shape,
                                         shaped ? static_cast<size_t>(given[i].rank) : 0);
    views.push_back({given[i].data, text(given[i].dtype), Extents(shape), text(given[i].name)});
  }
  return views;
}

inline gradc_status status_of(SessionCode code) {
  switch (code) {
    case SessionCode::kOk:
      return GRADC_OK;
    case SessionCode::kError:
      return GRADC_ERROR;
    case SessionCode::kOutOfMemory:
      return GRADC_OUT_OF_MEMORY;
    case SessionCode::kInternal:
      return GRADC_INTERNAL;
    case SessionCode::kAfterFork:
      return GRADC_AFTER_FORK;
  }
  return GRADC_INTERNAL;
}

/// Calls work(), which gives a SessionStatus or a gradc_status; its message is the handle's last
/// error. No exception leaves it.
template <class Work>
gradc_status guarded(gradc_session* handle, std::initializer_list<const void*> arguments,
                     Work&& work) noexcept {
  if (handle == nullptr) return GRADC_INVALID_ARGUMENT;
  const auto keep = [handle](const char* text, gradc_status status) noexcept {
    try {
      handle->error = text;
    } catch (...) {
      handle->error.assign("out of memory", 13);  // short enough to need none
    }
    return status;
  };
  try {
    if (any_null(arguments)) {
      handle->error = "error: an argument is NULL\n";
      return GRADC_INVALID_ARGUMENT;
    }
    if constexpr (std::is_same_v<decltype(work()), gradc_status>) {
      return work();
    } else {
      SessionStatus status = work();
      handle->error = std::move(status.message);
      return status_of(status.code);
    }
  } catch (const std::bad_alloc&) {
    return keep("out of memory", GRADC_OUT_OF_MEMORY);
  } catch (const std::exception& failure) {
    return keep(failure.what(), GRADC_INTERNAL);
  } catch (...) {
    return keep("an unknown exception", GRADC_INTERNAL);
  }
}

}  // namespace gradc::c_door
