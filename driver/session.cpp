// The C++ host API: loading, training, prediction, weights.
#include "driver/session_impl.h"
#include "runtime/commands.h"
#include "runtime/train_loop.h"
#include "runtime/weights.h"
#include "support/check.h"

#include <array>
#include <cstring>

namespace gradc {

namespace {

constexpr std::array<gradc_rt_tensor_kind, 12> kKinds = {
    GRADC_RT_PARAMETER, GRADC_RT_STATE,          GRADC_RT_OPTIMIZER_STATE,
    GRADC_RT_INPUT,     GRADC_RT_TARGET,         GRADC_RT_OUTPUT,
    GRADC_RT_LOSS,      GRADC_RT_METRIC,         GRADC_RT_GRADIENT,
    GRADC_RT_CARRIED,   GRADC_RT_INPUT_GRADIENT, GRADC_RT_OUTPUT_GRADIENT};

}  // namespace

SessionImpl::SessionImpl(std::shared_ptr<LiveModel> live, std::shared_ptr<LiveModel> weights,
                         const SessionOptions& options)
    : live_(std::move(live)),
      weights_(std::move(weights)),
      model_(*live_->model),
      instance_(*live_->instance),
      foreign_{model_},
      options_(options) {
  instance_.set_checked(options.checked);
  instance_.set_weights_reader(weights_reader(foreign_));
  for (Taken<const void>* list : {&inputs_, &targets_})
    list->reserve(instance_.num_tensors());
  outputs_.reserve(instance_.num_tensors());
}

SessionStatus SessionImpl::warm_up() {
  return use([&]() -> SessionStatus {
    std::vector<EntryPoint> kinds = {EntryPoint::kPredict};
    if (model_.supports(EntryPoint::kTrainStep)) {
      kinds = {static_cast<EntryPoint>(instance_.step_entry()), EntryPoint::kEvaluate,
               EntryPoint::kPredict};
    }
    const auto compiled = model_.compile(kinds);
    if (!compiled.ok()) return failed(render_diagnostics(compiled.diagnostics(), SourceSet()));
    for (EntryPoint kind : kinds) {
      const SessionStatus status = prepare(kind);
      if (!status.ok()) return status;
    }
    return {};
  });
}

std::vector<TensorInfo> SessionImpl::tensors() const {
  std::vector<TensorInfo> result;
  for (const gradc_rt_tensor& tensor : model_.tables().tensors()) {
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

SessionStatus SessionImpl::step(const Buffers& inputs, const Buffers& targets, float* loss) {
  return use([&]() -> SessionStatus {
    Rows rows;
    SessionStatus status = take_call(EntryPoint::kTrainStep, inputs, targets, rows);
    if (!status.ok()) return status;
    status = prepare(static_cast<EntryPoint>(rows.count == batch_size() ? instance_.step_entry()
                                                                        : instance_.tail_entry()));
    if (!status.ok()) return status;
    return from_library(gradc_rt_train_step(handle(), inputs_.pointers.data(),
                                            targets_.pointers.data(), rows.count, loss));
  });
}

SessionStatus SessionImpl::evaluate(const Buffers& inputs, const Buffers& targets, float* loss,
                                    std::span<float> metrics) {
  return use([&]() -> SessionStatus {
    if (!metrics.empty()) {
      if (SessionStatus status = check_count(GRADC_RT_METRIC, "metrics", metrics.size());
          !status.ok())
        return status;
    }
    Rows rows;
    SessionStatus taken = take_call(EntryPoint::kEvaluate, inputs, targets, rows);
    if (!taken.ok()) return taken;
    rt::ScoreSums sums;
    sums.begin(instance_);
    const SessionStatus status = in_batches(rows.count, [&](int64_t count) {
      SessionStatus ready =
          prepare(count == batch_size() ? EntryPoint::kEvaluate : EntryPoint::kEvaluateTail);
      if (!ready.ok()) return ready;
      const bool alone = count == rows.count;
      ready = from_library(gradc_rt_evaluate(
          handle(), inputs_.pointers.data(), targets_.pointers.data(), count,
          alone ? loss : nullptr, alone && !metrics.empty() ? metrics.data() : nullptr));
      if (ready.ok() && !alone) {
        sums.add(instance_, count);
        advance(GRADC_RT_INPUT, inputs_, count);
        advance(GRADC_RT_TARGET, targets_, count);
      }
      return ready;
    });
    if (!status.ok() || rows.count <= batch_size()) return status;
    const rt::Scores scores = sums.mean(instance_);
    if (loss != nullptr) *loss = static_cast<float>(scores.loss);
    std::transform(scores.metric, scores.metric + metrics.size(), metrics.begin(),
                   [](double metric) { return static_cast<float>(metric); });
    return status;
  });
}

SessionStatus SessionImpl::predict(const Buffers& inputs, const MutableBuffers& outputs) {
  return use([&]() -> SessionStatus {
    Rows rows;
    SessionStatus status = take_call(EntryPoint::kPredict, inputs, {}, rows);
    if (status.ok()) status = take(GRADC_RT_OUTPUT, outputs, outputs_, rows);
    if (status.ok()) status = prepare(EntryPoint::kPredict);
    if (!status.ok()) return status;
    return in_batches(rows.count, [&](int64_t count) {
      const SessionStatus done = from_library(
          gradc_rt_predict(handle(), inputs_.pointers.data(), count, outputs_.pointers.data()));
      advance(GRADC_RT_INPUT, inputs_, count);
      advance(GRADC_RT_OUTPUT, outputs_, count);
      return done;
    });
  });
}

MutableView SessionImpl::tensor(const std::string& name) {
  size_t bytes = 0;
  void* const memory = gradc_rt_tensor_memory(handle(), name.c_str(), &bytes);
  if (memory == nullptr) return {};
  const gradc_rt_tensor& found =
      instance_.tensor(static_cast<size_t>(instance_.find(name.c_str())));
  return {memory, rt::dtype_name(static_cast<rt::Dtype>(found.dtype)),
          Extents(std::span<const int64_t>(found.dims, static_cast<size_t>(found.rank)))};
}

std::span<std::byte> SessionImpl::tensor_memory(const std::string& name) {
  size_t bytes = 0;
  auto* const memory =
      static_cast<std::byte*>(gradc_rt_tensor_memory(handle(), name.c_str(), &bytes));
  return {memory, bytes};
}

SessionStatus SessionImpl::initialize(uint64_t seed) {
  return use([&]() -> SessionStatus { return from_status(instance_.initialize(seed)); });
}

SessionStatus SessionImpl::reset_states() {
  return use([&]() -> SessionStatus {
    instance_.reset_carried();
    return {};
  });
}

SessionStatus SessionImpl::save(const std::string& path, bool with_optimizer) {
  return use([&]() -> SessionStatus {
    return from_status(rt::save_tensors(instance_, path.c_str(), with_optimizer));
  });
}

SessionStatus SessionImpl::load_weights(const std::string& path, bool with_optimizer) {
  return use([&]() -> SessionStatus {
    return from_status(rt::load_tensors(instance_, path.c_str(), with_optimizer));
  });
}

std::vector<std::string> SessionImpl::classes(const std::string& output) const {
  return names_of(GRADC_RT_TARGET, output, &rt::TensorMeaning::classes);
}
std::vector<std::string> SessionImpl::columns(const std::string& input) const {
  return names_of(GRADC_RT_INPUT, input, &rt::TensorMeaning::columns);
}
std::vector<std::string> SessionImpl::characters(const std::string& input) const {
  return names_of(GRADC_RT_INPUT, input, &rt::TensorMeaning::characters);
}

SessionStatus SessionImpl::evaluate_data(const std::string& data, double* loss,
                                         std::span<double> metrics) {
  return use([&]() -> SessionStatus {
    if (!metrics.empty()) {
      if (SessionStatus status = check_count(GRADC_RT_METRIC, "metrics", metrics.size());
          !status.ok())
        return status;
    }
    if (!model_.supports(EntryPoint::kEvaluate)) return prepare(EntryPoint::kEvaluate);
    rt::Scores scores;
    rt::EvalCommand command;
    command.data.spec = rt::Str(data.c_str());
    command.quiet = true;
    command.scores = &scores;
    SessionStatus status = from_status(rt::run_eval(instance_, command));
    if (!status.ok()) return status;
    if (loss != nullptr) *loss = scores.loss;
    std::copy_n(scores.metric, metrics.size(), metrics.begin());
    return status;
  });
}

SessionStatus SessionImpl::predict_data(const std::string& data, const std::string& out) {
  return use([&]() -> SessionStatus {
    rt::PredictCommand command;
    command.data.spec = rt::Str(data.c_str());
    command.quiet = true;
    command.out = out.c_str();
    return from_status(rt::run_predict(instance_, command));
  });
}

std::vector<std::string> SessionImpl::names_of(gradc_rt_tensor_kind kind, const std::string& name,
                                               rt::Vec<rt::Str> rt::TensorMeaning::* list) const {
  std::vector<std::string> names;
  for (size_t i = 0; instance_.meanings() != nullptr && i < instance_.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance_.tensor(i);
    if (tensor.kind != kind || name != rt::short_name(tensor)) continue;
    for (const rt::Str& text : (*instance_.meanings())[i].*list)
      names.emplace_back(text.c_str(), text.size());
  }
  return names;
}

SessionStatus SessionImpl::prepare(EntryPoint kind) {
  SessionStatus status = check_supported(kind);
  if (!status.ok()) return status;
  const gradc_rt_entry_kind entry = runtime_entry(kind);
  return instance_.is_prepared(entry) ? SessionStatus{} : from_status(instance_.prepare(entry));
}

SessionStatus SessionImpl::check_supported(EntryPoint kind) const {
  return model_.supports(kind) ? SessionStatus{}
                               : failed("error: the model has no \"training\" section\n");
}

SessionStatus SessionImpl::take_call(EntryPoint kind, const Buffers& inputs, const Buffers& targets,
                                     Rows& rows) {
  SessionStatus status = check_supported(kind);
  if (status.ok()) status = take(GRADC_RT_INPUT, inputs, inputs_, rows);
  if (status.ok() && needs_training(kind)) status = take(GRADC_RT_TARGET, targets, targets_, rows);
  return status;
}

SessionStatus SessionImpl::check_count(gradc_rt_tensor_kind kind, const char* what,
                                       size_t given) const {
  const int64_t count = instance_.count_of(kind);
  if (static_cast<int64_t>(given) == count) return {};
  return failed(fmt::format("error: {} {} were given, the model has {}\n", given, what, count));
}

std::unique_ptr<Session> SessionImpl::make(std::shared_ptr<CompiledModel> model,
                                           std::shared_ptr<LiveModel> weights,
                                           const SessionOptions& options, SessionStatus* status) {
  std::unique_ptr<Session> result;
  SessionStatus made = protect([&]() -> SessionStatus {
    const auto live = std::make_shared<LiveModel>(model, options.run);
    rt::InstanceOptions instance_options;
    instance_options.threads = options.threads;
    instance_options.host_threads = live->host_threads();
    if (weights != nullptr) instance_options.weights_of = weights->instance;
    const rt::Status created = model->create_instance(instance_options, &live->instance);
    if (!created.ok()) return from_status(created);
    rt::Instance* const instance = live->instance;
    const uint64_t otherwise =
        weights != nullptr ? weights->instance->seed() : model->runtime_model().training.seed;
    const uint64_t seed = options.has_seed ? options.seed : otherwise;
    auto session = std::make_unique<SessionImpl>(live, weights, options);
    if (weights == nullptr) {
      SessionStatus started = session->initialize(seed);
      if (!started.ok()) return started;
    } else {
      instance->set_seed(seed);
    }
    result = std::move(session);
    return {};
  });
  if (status != nullptr) *status = std::move(made);
  return result;
}

namespace {

/// open(compile options, sources) gives the model.
template <class Open>
std::unique_ptr<Session> make_session(const SessionOptions& options, SessionStatus* status,
                                      Open&& open) {
  std::shared_ptr<CompiledModel> compiled;
  SessionStatus read = protect([&]() -> SessionStatus {
    SourceSet sources;
    CompileOptions compile;
    compile.batch_size = options.batch_size;
    auto target = options.target.empty() ? TargetInfo::host_as(options.cpu)
                                         : TargetInfo::from(options.target, options.cpu, "");
    if (!target.ok()) return failed(render_diagnostics(target.diagnostics(), sources));
    compile.target = target.take();
    if (options.memory_budget < 0)
      return failed(fmt::format("error: the memory budget is {} bytes\n", options.memory_budget));
    if (options.memory_budget > 0) compile.memory_budget_bytes = options.memory_budget;
    if (options.cache) compile.cache = DiskCache::of_user();
    compile.for_hosts = true;
    Result<std::unique_ptr<CompiledModel>> model = open(compile, sources);
    if (!model.ok()) return failed(render_diagnostics(model.diagnostics(), sources));
    compiled = model.take();
    return {};
  });
  if (read.ok()) return SessionImpl::make(std::move(compiled), nullptr, options, status);
  if (status != nullptr) *status = std::move(read);
  return nullptr;
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
