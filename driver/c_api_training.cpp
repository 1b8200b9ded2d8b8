// The C ABI: training from files and by hand, and what a session says of its code.
#include "driver/c_handle.h"

using gradc::c_door::guarded;
using gradc::c_door::make_handle;
using gradc::c_door::options_of;
using gradc::c_door::views_of;

namespace {

/// A C host's callback.
std::function<bool(const gradc::TrainReport&)> callback_of(
    int32_t (*call)(void* user, const gradc_train_report* report), void* user) {
  if (call == nullptr) return {};
  return [call, user](const gradc::TrainReport& report) {
    gradc_train_report given = {};
    given.epoch = report.epoch;
    given.epochs = report.epochs;
    given.step = report.step;
    given.loss = report.loss;
    given.metrics = report.metrics.data();
    given.num_metrics = report.metrics.size();
    given.has_validation = report.has_validation ? 1 : 0;
    given.validation_loss = report.validation_loss;
    given.validation_metrics = report.validation_metrics.data();
    given.seconds = report.seconds;
    given.examples_per_second = report.examples_per_second;
    return call(user, &given) != 0;
  };
}

}  // namespace

extern "C" {

gradc_status gradc_session_train(gradc_session* session, const gradc_train_options* options,
                                 double* losses, size_t num_losses, size_t* epochs) {
  if (epochs != nullptr) *epochs = 0;
  return guarded(session, {options}, [&]() -> gradc::SessionStatus {
    const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
    gradc::TrainOptions train;
    views_of(options->inputs, options->num_inputs, train.inputs);
    views_of(options->targets, options->num_targets, train.targets);
    views_of(options->validation_inputs, options->num_validation_inputs, train.validation_inputs);
    views_of(options->validation_targets, options->num_validation_targets,
             train.validation_targets);
    train.as_in_files = options->as_in_files != 0;
    train.go_on = options->go_on != 0;
    train.batch_size = options->batch_size;
    if (options->has_shuffle != 0) train.shuffle = options->shuffle != 0;
    if (options->has_seed != 0) train.seed = options->seed;
    train.data = text(options->data);
    train.epochs = options->epochs;
    if (options->has_validation_split != 0) train.validation_split = options->validation_split;
    train.weights = text(options->weights);
    train.out = text(options->out);
    train.checkpoint = text(options->checkpoint);
    train.resume = options->resume != 0;
    train.overwrite = options->overwrite != 0;
    train.log = text(options->log);
    train.on_step = callback_of(options->on_step, options->user);
    train.on_epoch = callback_of(options->on_epoch, options->user);
    std::vector<double> history;
    gradc::SessionStatus status = session->session->train(train, &history);
    if (epochs != nullptr) *epochs = history.size();
    if (losses != nullptr)
      std::copy_n(history.begin(), std::min(num_losses, history.size()), losses);
    return status;
  });
}

gradc_status gradc_session_gradients(gradc_session* session, const gradc_view* inputs,
                                     size_t num_inputs, const gradc_view* targets,
                                     size_t num_targets, float* loss, int32_t parameters,
                                     const gradc_view* input_gradients,
                                     size_t num_input_gradients) {
  return guarded(session, {inputs, targets}, [&]() -> gradc::SessionStatus {
    return session->session->gradients(
        views_of(inputs, num_inputs, session->inputs),
        views_of(targets, num_targets, session->targets), loss,
        {.parameters = parameters != 0,
         .inputs = views_of(input_gradients, num_input_gradients, session->outputs)});
  });
}

gradc_status gradc_session_apply_gradients(gradc_session* session) {
  return guarded(session, {}, [&] { return session->session->apply_gradients(); });
}

gradc_status gradc_session_forward(gradc_session* session, const gradc_view* inputs,
                                   size_t num_inputs, const gradc_view* outputs,
                                   size_t num_outputs) {
  return guarded(session, {inputs, outputs}, [&]() -> gradc::SessionStatus {
    return session->session->forward(views_of(inputs, num_inputs, session->inputs),
                                     views_of(outputs, num_outputs, session->outputs));
  });
}

gradc_status gradc_session_backward(gradc_session* session, const gradc_view* inputs,
                                    size_t num_inputs, const gradc_view* output_gradients,
                                    size_t num_output_gradients, int32_t parameters,
                                    const gradc_view* input_gradients, size_t num_input_gradients) {
  return guarded(session, {inputs, output_gradients}, [&]() -> gradc::SessionStatus {
    return session->session->backward(
        views_of(inputs, num_inputs, session->inputs),
        views_of(output_gradients, num_output_gradients, session->targets),
        {.parameters = parameters != 0,
         .inputs = views_of(input_gradients, num_input_gradients, session->outputs)});
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

const char* gradc_session_dump(gradc_session* session, const char* stage, const char* entry) {
  const gradc_status status = guarded(session, {stage}, [&]() -> gradc::SessionStatus {
    gradc::SessionStatus dumped;
    session->report =
        session->session->dump(stage, entry == nullptr ? "train_step" : entry, &dumped);
    return dumped;
  });
  return status == GRADC_OK ? session->report.c_str() : nullptr;
}

const char* gradc_session_profile(gradc_session* session, double seconds) {
  const gradc_status status = guarded(session, {}, [&]() -> gradc::SessionStatus {
    gradc::SessionStatus measured;
    session->report = session->session->profile(seconds, &measured);
    return measured;
  });
  return status == GRADC_OK ? session->report.c_str() : nullptr;
}

}  // extern "C"
