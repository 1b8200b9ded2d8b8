// The C++ host API over a CompiledModel and an Instance of the runtime.
#include "gradc/session.h"

#include "driver/compiled_model.h"
#include "driver/foreign_weights.h"
#include "driver/runtime_status.h"
#include "runtime/commands.h"
#include "runtime/instance.h"
#include "runtime/library.h"
#include "runtime/train_loop.h"
#include "runtime/weights.h"
#include "support/check.h"
#include "support/diagnostic_render.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <type_traits>

namespace gradc {

namespace {

constexpr std::array<gradc_rt_tensor_kind, 10> kKinds = {
    GRADC_RT_PARAMETER, GRADC_RT_STATE,  GRADC_RT_OPTIMIZER_STATE,
    GRADC_RT_INPUT,     GRADC_RT_TARGET, GRADC_RT_OUTPUT,
    GRADC_RT_LOSS,      GRADC_RT_METRIC, GRADC_RT_GRADIENT,
    GRADC_RT_CARRIED};

constexpr const char* kForked =
    "the session belongs to the process that forked this one: its threads are there; make another";

SessionStatus failed(std::string message) {
  return {std::move(message)};
}

SessionStatus from_status(const rt::Status& status) {
  if (status.ok()) return {};
  return failed(fmt::format("error: {}\n", status.text.c_str()));
}

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

/// What ran out or broke on the way, as a status: nothing is thrown at a host. The texts are short
/// enough to need no memory.
template <class Work>
SessionStatus protect(Work&& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return {"out of memory"};
  } catch (const std::exception& failure) {
    try {
      return failed(fmt::format("internal error: {}\n", failure.what()));
    } catch (...) {
      return {"internal error"};
    }
  }
}

class SessionImpl final : public Session {
 public:
  SessionImpl(std::unique_ptr<CompiledModel> model, rt::Instance* instance, bool checked)
      : model_(std::move(model)), instance_(instance) {
    instance_->set_checked(checked);
    instance_->set_weights_reader(weights_reader(foreign_));
  }
  ~SessionImpl() override { rt::Instance::destroy(instance_); }
  SessionImpl(const SessionImpl&) = delete;
  SessionImpl& operator=(const SessionImpl&) = delete;

  SessionStatus warm_up() override {
    return use([&]() -> SessionStatus {
      std::vector<EntryPoint> kinds = {EntryPoint::kPredict};
      if (model_->supports(EntryPoint::kTrainStep)) {
        kinds = {EntryPoint::kTrainStep, EntryPoint::kEvaluate, EntryPoint::kPredict};
      }
      const auto compiled = model_->compile(kinds);
      if (!compiled.ok()) return failed(render_diagnostics(compiled.diagnostics(), SourceSet()));
      for (EntryPoint kind : kinds) {
        const SessionStatus status = prepare(kind);
        if (!status.ok()) return status;
      }
      return {};
    });
  }

  int64_t batch_size() const override { return model_->batch_size(); }
  double compile_milliseconds() const override { return model_->compile_milliseconds(); }

  std::vector<TensorInfo> tensors() const override {
    std::vector<TensorInfo> result;
    for (const gradc_rt_tensor& tensor : model_->tables().tensors()) {
      for (size_t kind = 0; kind < kKinds.size(); ++kind) {
        if (tensor.kind != kKinds[kind]) continue;
        result.push_back({tensor.name, static_cast<TensorKind>(kind),
                          std::string(rt::dtype_name(static_cast<rt::Dtype>(tensor.dtype))),
                          std::vector<int64_t>(tensor.dims, tensor.dims + tensor.rank),
                          tensor.bytes});
      }
    }
    return result;
  }

  SessionStatus step(std::span<const void* const> inputs, std::span<const void* const> targets,
                     float* loss, int64_t rows) override {
    return use([&]() -> SessionStatus {
      rows = rows == 0 ? batch_size() : rows;
      const SessionStatus status =
          prepare(rows == batch_size() ? EntryPoint::kTrainStep : EntryPoint::kTrainStepTail,
                  inputs, targets);
      if (!status.ok()) return status;
      return from_library(gradc_rt_train_step(handle(), inputs.data(), targets.data(), rows, loss));
    });
  }

  SessionStatus evaluate(std::span<const void* const> inputs, std::span<const void* const> targets,
                         float* loss, std::span<float> metrics, int64_t rows) override {
    return use([&]() -> SessionStatus {
      if (!metrics.empty()) {
        if (SessionStatus status = check_count(GRADC_RT_METRIC, "metrics", metrics.size());
            !status.ok())
          return status;
      }
      rows = rows == 0 ? batch_size() : rows;
      rt::ScoreSums sums;
      sums.begin(*instance_);
      const SessionStatus status = in_batches(rows, [&](int64_t first, int64_t count) {
        const auto in = at_row(GRADC_RT_INPUT, inputs, first);
        const auto wanted = at_row(GRADC_RT_TARGET, targets, first);
        SessionStatus ready = prepare(
            count == batch_size() ? EntryPoint::kEvaluate : EntryPoint::kEvaluateTail, in, wanted);
        if (!ready.ok()) return ready;
        const bool alone = count == rows;
        ready = from_library(
            gradc_rt_evaluate(handle(), in.data(), wanted.data(), count, alone ? loss : nullptr,
                              alone && !metrics.empty() ? metrics.data() : nullptr));
        if (ready.ok() && !alone) sums.add(*instance_, count);
        return ready;
      });
      if (!status.ok() || rows <= batch_size()) return status;
      const rt::Scores scores = sums.mean(*instance_);
      if (loss != nullptr) *loss = static_cast<float>(scores.loss);
      std::transform(scores.metric, scores.metric + metrics.size(), metrics.begin(),
                     [](double metric) { return static_cast<float>(metric); });
      return status;
    });
  }

  SessionStatus predict(std::span<const void* const> inputs, std::span<void* const> outputs,
                        int64_t rows) override {
    return use([&]() -> SessionStatus {
      SessionStatus status = check_count(GRADC_RT_OUTPUT, "outputs", outputs.size());
      if (status.ok()) status = prepare(EntryPoint::kPredict, inputs, {});
      if (!status.ok()) return status;
      return in_batches(rows == 0 ? batch_size() : rows, [&](int64_t first, int64_t count) {
        const auto in = at_row(GRADC_RT_INPUT, inputs, first);
        const auto out = at_row(GRADC_RT_OUTPUT, outputs, first);
        return from_library(gradc_rt_predict(handle(), in.data(), count, out.data()));
      });
    });
  }

  SessionStatus train(const TrainOptions& options, std::vector<double>* history) override {
    return use([&]() -> SessionStatus {
      rt::TrainCommand command;
      command.data.spec = rt::Str(options.data.c_str());
      command.epochs = options.epochs > 0 ? options.epochs : -1;
      command.validation_split = options.validation_split;
      command.has_seed = true;
      command.seed = instance_->seed();
      command.weights = or_null(options.weights);
      command.out = or_null(options.out);
      command.checkpoint = or_null(options.checkpoint);
      command.resume = options.resume;
      command.overwrite = options.overwrite;
      command.log = or_null(options.log);
      command.quiet = true;
      command.handle_signals = false;
      command.user = history;
      command.on_epoch = [](void* user, const rt::EpochReport& report) {
        if (user != nullptr) static_cast<std::vector<double>*>(user)->push_back(report.scores.loss);
      };
      rt::TrainResult result;
      return from_status(rt::run_train(*instance_, command, &result));
    });
  }

  std::span<std::byte> tensor_memory(const std::string& name) override {
    const int64_t index = instance_->find(name.c_str());
    if (index < 0) return {};
    const gradc_rt_tensor& tensor = instance_->tensor(static_cast<size_t>(index));
    const bool lasting = tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE ||
                         tensor.kind == GRADC_RT_OPTIMIZER_STATE || tensor.kind == GRADC_RT_CARRIED;
    if (!lasting) return {};
    return {static_cast<std::byte*>(instance_->data(static_cast<size_t>(index))),
            static_cast<size_t>(tensor.bytes)};
  }

  std::span<float> parameter(const std::string& name) override {
    const int64_t index = instance_->find(name.c_str());
    if (index < 0 || instance_->tensor(static_cast<size_t>(index)).dtype != GRADC_RT_F32) return {};
    const std::span<std::byte> bytes = tensor_memory(name);
    return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
  }

  SessionStatus initialize(uint64_t seed) override {
    return use([&]() -> SessionStatus { return from_status(instance_->initialize(seed)); });
  }

  SessionStatus reset_states() override {
    return use([&]() -> SessionStatus {
      instance_->reset_carried();
      return {};
    });
  }

  SessionStatus save(const std::string& path, bool with_optimizer) override {
    return use([&]() -> SessionStatus {
      return from_status(rt::save_tensors(*instance_, path.c_str(), with_optimizer));
    });
  }

  SessionStatus load_weights(const std::string& path, bool with_optimizer) override {
    return use([&]() -> SessionStatus {
      return from_status(rt::load_tensors(*instance_, path.c_str(), with_optimizer));
    });
  }

  void set_checked(bool checked) override { instance_->set_checked(checked); }

  std::vector<std::string> classes(const std::string& output) const override {
    return names_of(GRADC_RT_TARGET, output, &rt::TensorMeaning::classes);
  }
  std::vector<std::string> columns(const std::string& input) const override {
    return names_of(GRADC_RT_INPUT, input, &rt::TensorMeaning::columns);
  }
  std::vector<std::string> characters(const std::string& input) const override {
    return names_of(GRADC_RT_INPUT, input, &rt::TensorMeaning::characters);
  }

  SessionStatus evaluate_data(const std::string& data, double* loss,
                              std::span<double> metrics) override {
    return use([&]() -> SessionStatus {
      if (!metrics.empty()) {
        if (SessionStatus status = check_count(GRADC_RT_METRIC, "metrics", metrics.size());
            !status.ok())
          return status;
      }
      if (!model_->supports(EntryPoint::kEvaluate)) return prepare(EntryPoint::kEvaluate);
      rt::Scores scores;
      rt::EvalCommand command;
      command.data.spec = rt::Str(data.c_str());
      command.quiet = true;
      command.scores = &scores;
      SessionStatus status = from_status(rt::run_eval(*instance_, command));
      if (!status.ok()) return status;
      if (loss != nullptr) *loss = scores.loss;
      std::copy_n(scores.metric, metrics.size(), metrics.begin());
      return status;
    });
  }

  SessionStatus predict_data(const std::string& data, const std::string& out) override {
    return use([&]() -> SessionStatus {
      rt::PredictCommand command;
      command.data.spec = rt::Str(data.c_str());
      command.quiet = true;
      command.out = out.c_str();
      return from_status(rt::run_predict(*instance_, command));
    });
  }

 private:
  /// Calls run(first, count) for each batch of the rows; one batch even of a number that the
  /// library refuses.
  template <class Run>
  SessionStatus in_batches(int64_t rows, Run&& run) const {
    SessionStatus status;
    int64_t first = 0;
    do {
      const int64_t count = std::min(rows - first, batch_size());
      status = run(first, count);
      first += count;
    } while (status.ok() && first < rows);
    return status;
  }

  /// The caller's buffers from a row on.
  template <class Pointer>
  std::vector<Pointer> at_row(gradc_rt_tensor_kind kind, std::span<const Pointer> buffers,
                              int64_t row) const {
    using Byte = std::conditional_t<std::is_const_v<std::remove_pointer_t<Pointer>>,
                                    const std::byte, std::byte>;
    std::vector<Pointer> moved(buffers.begin(), buffers.end());
    for (size_t i = 0; row > 0 && i < moved.size(); ++i) {
      const int64_t index = instance_->nth(kind, static_cast<int64_t>(i));
      const int64_t bytes = instance_->tensor(static_cast<size_t>(index)).bytes / batch_size();
      moved[i] = static_cast<Byte*>(moved[i]) + row * bytes;
    }
    return moved;
  }

  std::vector<std::string> names_of(gradc_rt_tensor_kind kind, const std::string& name,
                                    rt::Vec<rt::Str> rt::TensorMeaning::* list) const {
    std::vector<std::string> names;
    for (size_t i = 0; instance_->meanings() != nullptr && i < instance_->num_tensors(); ++i) {
      const gradc_rt_tensor& tensor = instance_->tensor(i);
      if (tensor.kind != kind || name != rt::short_name(tensor)) continue;
      for (const rt::Str& text : (*instance_->meanings())[i].*list)
        names.emplace_back(text.c_str(), text.size());
    }
    return names;
  }

  template <class Work>
  SessionStatus use(Work&& work) {
    return protect([&]() -> SessionStatus {
      if (!instance_->usable()) return failed("error: " + std::string(kForked) + "\n");
      return work();
    });
  }

  SessionStatus prepare(EntryPoint kind) {
    if (!model_->supports(kind)) return failed("error: the model has no \"training\" section\n");
    return from_status(instance_->prepare(runtime_entry(kind)));
  }

  /// Checks the caller's lists and makes the entry ready to run.
  SessionStatus prepare(EntryPoint kind, std::span<const void* const> inputs,
                        std::span<const void* const> targets) {
    SessionStatus status = check_count(GRADC_RT_INPUT, "inputs", inputs.size());
    if (status.ok() && needs_training(kind))
      status = check_count(GRADC_RT_TARGET, "targets", targets.size());
    return status.ok() ? prepare(kind) : status;
  }

  SessionStatus check_count(gradc_rt_tensor_kind kind, const char* what, size_t given) const {
    const int64_t count = instance_->count_of(kind);
    if (static_cast<int64_t>(given) == count) return {};
    return failed(fmt::format("error: {} {} were given, the model has {}\n", given, what, count));
  }

  /// The library's functions on the same instance: what a compiled library exports.
  gradc_rt_handle* handle() const { return reinterpret_cast<gradc_rt_handle*>(instance_); }
  SessionStatus from_library(int status) const {
    if (status == GRADC_RT_OK) return {};
    return failed(fmt::format("error: {}\n", gradc_rt_last_error(handle())));
  }

  std::unique_ptr<CompiledModel> model_;
  ForeignWeights foreign_{*model_};
  rt::Instance* instance_;
};

/// open(compile options, sources) gives the model.
template <class Open>
std::unique_ptr<Session> make_session(const SessionOptions& options, SessionStatus* status,
                                      Open&& open) {
  std::unique_ptr<Session> result;
  SessionStatus made = protect([&]() -> SessionStatus {
    SourceSet sources;
    CompileOptions compile;
    compile.batch_size = options.batch_size;
    if (options.cache) compile.cache = DiskCache::of_user();
    Result<std::unique_ptr<CompiledModel>> model = open(compile, sources);
    if (!model.ok()) return failed(render_diagnostics(model.diagnostics(), sources));
    rt::Instance* instance = nullptr;
    const gradc_rt_model& table = (*model)->runtime_model();
    const rt::Status created =
        rt::Instance::create(table, {options.threads}, nullptr, 0, &instance);
    if (!created.ok()) return from_status(created);
    const uint64_t seed = options.has_seed ? options.seed : table.training.seed;
    std::unique_ptr<Session> session;
    try {
      session = std::make_unique<SessionImpl>(model.take(), instance, options.checked);
    } catch (...) {
      rt::Instance::destroy(instance);
      throw;
    }
    SessionStatus started = session->initialize(seed);
    if (started.ok()) result = std::move(session);
    return started;
  });
  if (status != nullptr) *status = std::move(made);
  return result;
}

}  // namespace

std::unique_ptr<Session> Session::load(const std::string& path, const SessionOptions& options,
                                       SessionStatus* status) {
  return make_session(options, status, [&](const CompileOptions& compile, SourceSet& sources) {
    return CompiledModel::open(path, compile, sources);
  });
}

std::unique_ptr<Session> Session::parse(const std::string& json, const std::string& name,
                                        const SessionOptions& options, SessionStatus* status) {
  return make_session(options, status, [&](const CompileOptions& compile, SourceSet& sources) {
    return CompiledModel::parse(name, json, compile, sources);
  });
}

}  // namespace gradc
