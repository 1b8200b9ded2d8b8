// A Session over a CompiledModel and an Instance of the runtime. What every host does is in
// session.cpp, what its buffers are checked for in session_views.cpp, gradients and the optimizer's
// numbers in session_gradients.cpp, training in session_train.cpp, what a session says of its code
// in session_report.cpp.
#pragma once

#include "driver/compiled_model.h"
#include "driver/foreign_weights.h"
#include "driver/runtime_status.h"
#include "gradc/session.h"
#include "runtime/dataset.h"
#include "runtime/instance.h"
#include "runtime/library.h"
#include "support/diagnostic_render.h"

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace gradc {

inline SessionStatus failed(std::string message, SessionCode code = SessionCode::kError) {
  return {std::move(message), code};
}

inline SessionCode code_of(rt::Code code) {
  switch (code) {
    case rt::Code::kOk:
      return SessionCode::kOk;
    case rt::Code::kUserError:
    case rt::Code::kUsage:
    case rt::Code::kStopped:
      return SessionCode::kError;
    case rt::Code::kOutOfMemory:
      return SessionCode::kOutOfMemory;
    case rt::Code::kInternal:
      return SessionCode::kInternal;
  }
  return SessionCode::kInternal;
}

inline SessionStatus from_status(const rt::Status& status) {
  if (status.ok()) return {};
  return failed(fmt::format("error: {}\n", status.text.c_str()), code_of(status.code));
}

/// What ran out or broke on the way, as a status: nothing is thrown at a host. The texts are short
/// enough to need no memory.
template <class Work>
SessionStatus protect(Work&& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return failed("out of memory", SessionCode::kOutOfMemory);
  } catch (const std::exception& failure) {
    try {
      return failed(fmt::format("internal error: {}\n", failure.what()), SessionCode::kInternal);
    } catch (...) {
      return failed("internal error", SessionCode::kInternal);
    }
  }
}

/// An instance with the model that its code is of, which sessions may share, and the threads that
/// run it.
struct LiveModel {
  explicit LiveModel(std::shared_ptr<CompiledModel> compiled, RunOnThreads threads)
      : model(std::move(compiled)), run(std::move(threads)) {}
  ~LiveModel() { rt::Instance::destroy(instance); }
  LiveModel(const LiveModel&) = delete;
  LiveModel& operator=(const LiveModel&) = delete;

  /// The host's threads as the runtime calls them; none where there are none.
  rt::HostThreads host_threads() {
    if (!run) return {};
    return {[](void* user, void (*work)(void*, int32_t), void* argument, int32_t threads) {
              static_cast<LiveModel*>(user)->run(
                  threads, [work, argument](int thread) { work(argument, thread); });
            },
            this};
  }

  std::shared_ptr<CompiledModel> model;
  RunOnThreads run;
  rt::Instance* instance = nullptr;
};

class SessionImpl final : public Session {
 public:
  /// `weights` is whose parameters and states these are; null: its own.
  SessionImpl(std::shared_ptr<LiveModel> live, std::shared_ptr<LiveModel> weights,
              const SessionOptions& options);

  /// A session of a compiled model; its weights are initial ones, or those of `weights`.
  static std::unique_ptr<Session> make(std::shared_ptr<CompiledModel> model,
                                       std::shared_ptr<LiveModel> weights,
                                       const SessionOptions& options, SessionStatus* status);

  SessionStatus warm_up() override;
  int64_t batch_size() const override { return model_.batch_size(); }
  double compile_milliseconds() const override { return model_.compile_milliseconds(); }
  std::vector<TensorInfo> tensors() const override;

  SessionStatus step(const Buffers& inputs, const Buffers& targets, float* loss) override;
  SessionStatus evaluate(const Buffers& inputs, const Buffers& targets, float* loss,
                         std::span<float> metrics) override;
  SessionStatus predict(const Buffers& inputs, const MutableBuffers& outputs) override;
  SessionStatus train(const TrainOptions& options, std::vector<double>* history) override;

  SessionStatus gradients(const Buffers& inputs, const Buffers& targets, float* loss,
                          const GradientOptions& options) override;
  SessionStatus forward(const Buffers& inputs, const MutableBuffers& outputs) override;
  SessionStatus backward(const Buffers& inputs, const Buffers& output_gradients,
                         const GradientOptions& options) override;
  SessionStatus apply_gradients() override;
  std::string dump(const std::string& stage, const std::string& entry,
                   SessionStatus* status) override;
  std::string profile(double seconds, SessionStatus* status) override;
  std::vector<std::string> hyperparameters() const override;
  std::optional<double> hyperparameter(const std::string& name) const override;
  SessionStatus set_hyperparameter(const std::string& name, double value) override;
  std::unique_ptr<Session> another(const SessionOptions& options, bool share_weights,
                                   SessionStatus* status) override;

  MutableView tensor(const std::string& name) override;
  std::span<std::byte> tensor_memory(const std::string& name) override;
  SessionStatus initialize(uint64_t seed) override;
  SessionStatus reset_states() override;
  SessionStatus save(const std::string& path, bool with_optimizer) override;
  SessionStatus load_weights(const std::string& path, bool with_optimizer) override;
  void set_checked(bool checked) override { instance_.set_checked(checked); }

  std::vector<std::string> classes(const std::string& output) const override;
  std::vector<std::string> columns(const std::string& input) const override;
  std::vector<std::string> characters(const std::string& input) const override;
  SessionStatus evaluate_data(const std::string& data, double* loss,
                              std::span<double> metrics) override;
  SessionStatus predict_data(const std::string& data, const std::string& out) override;

 private:
  /// Calls work(), which gives a status, unless the session cannot be used.
  template <class Work>
  SessionStatus use(Work&& work) {
    return protect([&]() -> SessionStatus {
      if (!instance_.usable())
        return failed("error: " + std::string(kForked) + "\n", SessionCode::kAfterFork);
      return work();
    });
  }

  /// Calls run(count) for each batch of the rows; one batch even of a number that the library
  /// refuses.
  template <class Run>
  SessionStatus in_batches(int64_t rows, Run&& run) const {
    SessionStatus status;
    int64_t first = 0;
    do {
      const int64_t count = std::min(rows - first, batch_size());
      status = run(count);
      first += count;
    } while (status.ok() && first < rows);
    return status;
  }

  /// A caller's buffers in the model's order. Kept by the session: no call allocates for them.
  template <class Void>
  struct Taken {
    std::vector<Void*> pointers;
    std::vector<const BasicView<Void>*> ordered;

    void reserve(size_t count) {
      pointers.reserve(count);
      ordered.reserve(count);
    }
  };
  /// How many rows a call is of, and what said so.
  struct Rows {
    bool known = false;
    int64_t count = 0;
    const char* what = nullptr;
    std::string_view name{};
  };
  /// Checks buffers against the model's tensors of a kind, and the rows against what is known of
  /// them. What files may hold may have other types and shapes.
  template <class Void>
  SessionStatus take(gradc_rt_tensor_kind kind, const BasicBuffers<Void>& buffers,
                     Taken<Void>& taken, Rows& rows, bool as_in_files = false) const;
  /// Likewise of a call's inputs, and of its targets where the entry has any.
  SessionStatus take_call(EntryPoint kind, const Buffers& inputs, const Buffers& targets,
                          Rows& rows);
  SessionStatus take_gradients(const GradientOptions& options, Rows& rows);
  template <class Void>
  SessionStatus order_views(gradc_rt_tensor_kind kind, std::span<const BasicView<Void>> views,
                            std::vector<const BasicView<Void>*>& ordered) const;
  template <class Void>
  int64_t place_of(gradc_rt_tensor_kind kind, const BasicView<Void>& view, int64_t position) const;
  const gradc_rt_tensor& tensor_at(gradc_rt_tensor_kind kind, int64_t n) const;
  std::string names_text(gradc_rt_tensor_kind kind) const;
  /// The host's arrays as a data set, checked.
  SessionStatus lend(const TrainOptions& options, rt::DataSource& source) const;
  /// train() by a session of the same weights and another batch size.
  SessionStatus train_in_batches(const TrainOptions& options, std::vector<double>* history);

  /// Moves buffers on by so many rows.
  template <class Void>
  void advance(gradc_rt_tensor_kind kind, Taken<Void>& taken, int64_t rows) const {
    using Byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
    for (size_t i = 0; i < taken.pointers.size(); ++i) {
      const int64_t bytes = tensor_at(kind, static_cast<int64_t>(i)).bytes / batch_size();
      taken.pointers[i] = static_cast<Byte*>(taken.pointers[i]) + rows * bytes;
    }
  }

  std::vector<std::string> names_of(gradc_rt_tensor_kind kind, const std::string& name,
                                    rt::Vec<rt::Str> rt::TensorMeaning::* list) const;
  SessionStatus prepare(EntryPoint kind);
  SessionStatus check_supported(EntryPoint kind) const;
  SessionStatus check_count(gradc_rt_tensor_kind kind, const char* what, size_t given) const;
  int64_t rows_of(int64_t rows) const { return rows == 0 ? batch_size() : rows; }
  /// No buffers: not asked for.
  static void* const* asked_for(const Taken<void>& buffers) {
    return buffers.pointers.empty() ? nullptr : buffers.pointers.data();
  }

  /// The library's functions on the same instance: what a compiled library exports.
  gradc_rt_handle* handle() const { return reinterpret_cast<gradc_rt_handle*>(&instance_); }
  SessionStatus from_library(int status) const {
    if (status == GRADC_RT_OK) return {};
    const SessionCode code = status == GRADC_RT_OUT_OF_MEMORY ? SessionCode::kOutOfMemory
                             : status == GRADC_RT_INTERNAL    ? SessionCode::kInternal
                             : status == GRADC_RT_AFTER_FORK  ? SessionCode::kAfterFork
                                                              : SessionCode::kError;
    return failed(fmt::format("error: {}\n", gradc_rt_last_error(handle())), code);
  }

  static constexpr const char* kForked =
      "the session belongs to the process that forked this one: its threads are there; make "
      "another";

  std::shared_ptr<LiveModel> live_;
  std::shared_ptr<LiveModel> weights_;
  CompiledModel& model_;
  rt::Instance& instance_;
  ForeignWeights foreign_;
  SessionOptions options_;
  Taken<const void> inputs_;
  Taken<const void> targets_;                ///< or gradients of outputs
  Taken<void> outputs_;                      ///< or gradients of inputs
  std::unique_ptr<Session> of_other_batch_;  ///< that train() was last asked for
};

}  // namespace gradc
