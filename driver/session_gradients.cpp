// What a host trains by itself with: gradients, losses of its own, the optimizer's step and
// numbers; and sessions of one compiled model.
#include "driver/session_impl.h"

namespace gradc {

SessionStatus SessionImpl::take_gradients(const GradientOptions& options, Rows& rows) {
  outputs_.pointers.clear();
  if (options.inputs.empty()) return {};
  return take(GRADC_RT_INPUT_GRADIENT, options.inputs, outputs_, rows);
}

SessionStatus SessionImpl::gradients(const Buffers& inputs, const Buffers& targets, float* loss,
                                     const GradientOptions& options) {
  return use([&]() -> SessionStatus {
    Rows rows;
    SessionStatus status = take_call(EntryPoint::kLossToParameters, inputs, targets, rows);
    if (status.ok()) status = take_gradients(options, rows);
    if (!status.ok()) return status;
    return from_library(gradc_rt_gradients(handle(), inputs_.pointers.data(),
                                           targets_.pointers.data(), rows.count, loss,
                                           options.parameters, asked_for(outputs_)));
  });
}

SessionStatus SessionImpl::forward(const Buffers& inputs, const MutableBuffers& outputs) {
  return use([&]() -> SessionStatus {
    Rows rows;
    SessionStatus status = take_call(EntryPoint::kForward, inputs, {}, rows);
    if (status.ok()) status = take(GRADC_RT_OUTPUT, outputs, outputs_, rows);
    if (!status.ok()) return status;
    return from_library(
        gradc_rt_forward(handle(), inputs_.pointers.data(), rows.count, outputs_.pointers.data()));
  });
}

SessionStatus SessionImpl::backward(const Buffers& inputs, const Buffers& output_gradients,
                                    const GradientOptions& options) {
  return use([&]() -> SessionStatus {
    Rows rows;
    SessionStatus status = take_call(EntryPoint::kOutputsToParameters, inputs, {}, rows);
    if (status.ok()) status = take(GRADC_RT_OUTPUT_GRADIENT, output_gradients, targets_, rows);
    if (status.ok()) status = take_gradients(options, rows);
    if (!status.ok()) return status;
    return from_library(gradc_rt_backward(handle(), inputs_.pointers.data(),
                                          targets_.pointers.data(), rows.count, options.parameters,
                                          asked_for(outputs_)));
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
