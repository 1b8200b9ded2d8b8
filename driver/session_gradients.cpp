// What a host trains by itself with: gradients, losses of its own, the optimizer's step and
// numbers; and sessions of one compiled model.
#include "driver/session_impl.h"
#include "runtime/host_calls.h"
#include "runtime/monitor.h"

namespace gradc {

namespace {

/// The entry behind one of gradients of parameters: its tail is between them.
EntryPoint behind(EntryPoint to_parameters, int further) {
  return static_cast<EntryPoint>(static_cast<int>(to_parameters) + further);
}
constexpr int kToInputs = 2, kToAll = 4;

}  // namespace

SessionStatus SessionImpl::run_gradients(EntryPoint to_parameters,
                                         std::span<const void* const> inputs,
                                         std::span<const void* const> targets,
                                         std::span<const void* const> output_gradients,
                                         const GradientOptions& options) {
  if (!options.parameters && options.inputs.empty())
    return failed("error: gradients of nothing are asked for\n");
  if (!options.inputs.empty()) {
    SessionStatus status = check_count(GRADC_RT_INPUT_GRADIENT, "buffers for gradients of inputs",
                                       options.inputs.size());
    if (!status.ok()) return status;
  }
  const int further = options.inputs.empty() ? 0 : options.parameters ? kToAll : kToInputs;
  const EntryPoint entry = behind(to_parameters, further);
  rt::HostBatch batch;
  batch.inputs = inputs.data();
  batch.targets = targets.data();
  batch.output_gradients = output_gradients.data();
  batch.input_gradients = options.inputs.data();
  batch.rows = options.rows == 0 ? batch_size() : options.rows;
  return from_status(rt::run_host_batch(instance_, runtime_entry(entry), batch));
}

SessionStatus SessionImpl::gradients(std::span<const void* const> inputs,
                                     std::span<const void* const> targets, float* loss,
                                     const GradientOptions& options) {
  return use([&]() -> SessionStatus {
    SessionStatus status = check_lists(EntryPoint::kLossToParameters, inputs, targets);
    if (status.ok())
      status = run_gradients(EntryPoint::kLossToParameters, inputs, targets, {}, options);
    if (!status.ok() || loss == nullptr) return status;
    const int64_t index = instance_.nth(GRADC_RT_LOSS, 0);
    *loss = static_cast<float>(instance_.scalar(static_cast<size_t>(index)));
    return status;
  });
}

SessionStatus SessionImpl::forward(std::span<const void* const> inputs,
                                   std::span<void* const> outputs, int64_t rows) {
  return use([&]() -> SessionStatus {
    SessionStatus status = check_lists(EntryPoint::kForward, inputs, {});
    if (status.ok()) status = check_count(GRADC_RT_OUTPUT, "outputs", outputs.size());
    if (!status.ok()) return status;
    rt::HostBatch batch;
    batch.inputs = inputs.data();
    batch.outputs = outputs.data();
    batch.rows = rows == 0 ? batch_size() : rows;
    return from_status(rt::run_host_batch(instance_, GRADC_RT_FORWARD, batch));
  });
}

SessionStatus SessionImpl::backward(std::span<const void* const> inputs,
                                    std::span<const void* const> output_gradients,
                                    const GradientOptions& options) {
  return use([&]() -> SessionStatus {
    SessionStatus status = check_lists(EntryPoint::kOutputsToParameters, inputs, {});
    if (status.ok())
      status =
          check_count(GRADC_RT_OUTPUT_GRADIENT, "gradients of outputs", output_gradients.size());
    if (!status.ok()) return status;
    return run_gradients(EntryPoint::kOutputsToParameters, inputs, {}, output_gradients, options);
  });
}

SessionStatus SessionImpl::write_numbers() {
  const rt::Status status = instance_.ensure_tensors(GRADC_RT_NUMBER);
  if (status.ok()) numbers_.write(instance_);
  return from_status(status);
}

SessionStatus SessionImpl::apply_gradients() {
  return use([&]() -> SessionStatus {
    SessionStatus status;
    if (!instance_.is_prepared(GRADC_RT_APPLY_GRADIENTS)) {
      status = prepare(EntryPoint::kApplyGradients);
      if (status.ok()) status = write_numbers();
    }
    if (status.ok()) instance_.run(GRADC_RT_APPLY_GRADIENTS);
    return status;
  });
}

std::optional<double> SessionImpl::hyperparameter(const std::string& name) const {
  return numbers_.value(name, instance_.iteration(), rt::rate_factor(instance_));
}

SessionStatus SessionImpl::set_hyperparameter(const std::string& name, double value) {
  return use([&]() -> SessionStatus {
    const Status set = numbers_.set(name, value);
    if (!set.ok()) return failed(render_diagnostics(set.diagnostics(), SourceSet()));
    SessionStatus status = write_numbers();
    if (status.ok()) instance_.set_tuned(true);
    return status;
  });
}

std::unique_ptr<Session> SessionImpl::another(const SessionOptions& options, bool share_weights,
                                              SessionStatus* status) {
  std::shared_ptr<CompiledModel> model = live_->model;
  SessionStatus made = protect([&]() -> SessionStatus {
    if (options.batch_size == 0 || options.batch_size == batch_size()) return {};
    CompileOptions compile = model->options();
    compile.batch_size = options.batch_size;
    auto other = CompiledModel::create(Model(model->model()), compile);
    if (!other.ok()) return failed(render_diagnostics(other.diagnostics(), SourceSet()));
    model = other.take();
    return {};
  });
  if (made.ok()) {
    std::shared_ptr<LiveModel> weights;
    if (share_weights) weights = weights_ != nullptr ? weights_ : live_;
    return make(std::move(model), std::move(weights), options, status);
  }
  if (status != nullptr) *status = std::move(made);
  return nullptr;
}

}  // namespace gradc
