// What a host trains by itself with: gradients, losses of its own, the optimizer's step and
// numbers; and sessions of one compiled model.
#include "driver/session_impl.h"

namespace gradc {

SessionStatus SessionImpl::check_gradients(const GradientOptions& options) const {
  if (options.inputs.empty()) return {};
  return check_count(GRADC_RT_INPUT_GRADIENT, "buffers for gradients of inputs",
                     options.inputs.size());
}

SessionStatus SessionImpl::gradients(std::span<const void* const> inputs,
                                     std::span<const void* const> targets, float* loss,
                                     const GradientOptions& options) {
  return use([&]() -> SessionStatus {
    SessionStatus status = check_lists(EntryPoint::kLossToParameters, inputs, targets);
    if (status.ok()) status = check_gradients(options);
    if (!status.ok()) return status;
    return from_library(gradc_rt_gradients(handle(), inputs.data(), targets.data(),
                                           rows_of(options.rows), loss, options.parameters,
                                           asked_for(options.inputs)));
  });
}

SessionStatus SessionImpl::forward(std::span<const void* const> inputs,
                                   std::span<void* const> outputs, int64_t rows) {
  return use([&]() -> SessionStatus {
    SessionStatus status = check_lists(EntryPoint::kForward, inputs, {});
    if (status.ok()) status = check_count(GRADC_RT_OUTPUT, "outputs", outputs.size());
    if (!status.ok()) return status;
    return from_library(gradc_rt_forward(handle(), inputs.data(), rows_of(rows), outputs.data()));
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
    if (status.ok()) status = check_gradients(options);
    if (!status.ok()) return status;
    return from_library(gradc_rt_backward(handle(), inputs.data(), output_gradients.data(),
                                          rows_of(options.rows), options.parameters,
                                          asked_for(options.inputs)));
  });
}

SessionStatus SessionImpl::apply_gradients() {
  return use([&]() -> SessionStatus {
    SessionStatus status = prepare(EntryPoint::kApplyGradients);
    return status.ok() ? from_library(gradc_rt_apply_gradients(handle())) : status;
  });
}

std::vector<std::string> SessionImpl::hyperparameters() const {
  std::vector<std::string> names;
  const gradc_rt_model& model = instance_.model();
  for (int64_t i = 0; const char* name = gradc_rt_hyperparameter_name(&model, i); ++i)
    names.emplace_back(name);
  return names;
}

std::optional<double> SessionImpl::hyperparameter(const std::string& name) const {
  double value = 0.0;
  if (gradc_rt_get_hyperparameter(handle(), name.c_str(), &value) != GRADC_RT_OK)
    return std::nullopt;
  return value;
}

SessionStatus SessionImpl::set_hyperparameter(const std::string& name, double value) {
  return use([&]() -> SessionStatus {
    return from_library(gradc_rt_set_hyperparameter(handle(), name.c_str(), value));
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
