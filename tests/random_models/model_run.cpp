#include "tests/random_models/model_run.h"

#include "ir/element.h"
#include "passes/pass_manager.h"
#include "runtime/dtype.h"
#include "runtime/feed.h"
#include "runtime/weights.h"
#include "tests/random_models/random_component.h"
#include "tests/support/noise.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace gradc::testing {

namespace {

bool lasts(int64_t kind) {
  return kind == GRADC_RT_PARAMETER || kind == GRADC_RT_STATE || kind == GRADC_RT_OPTIMIZER_STATE ||
         kind == GRADC_RT_CARRIED;
}

bool is_result(int64_t tensor, EntryPoint entry) {
  if (entry == EntryPoint::kPredict) return tensor == GRADC_RT_OUTPUT;
  if (entry == EntryPoint::kStep) return tensor == GRADC_RT_STEP;
  if (tensor == GRADC_RT_LOSS) return true;
  if (entry == EntryPoint::kEvaluate || entry == EntryPoint::kEvaluateTail)
    return tensor == GRADC_RT_METRIC;
  if (entry == EntryPoint::kGradients) return tensor == GRADC_RT_GRADIENT;
  return lasts(tensor);
}

/// Targets: classes, rows with one 1, or shares between 0 and 1; inputs around 0.
double random_number(Random& random, bool target) {
  const double x = static_cast<double>(random.between(-64, 64)) / 32.0;
  if (!target) return x;
  return random.chance(0.5) ? static_cast<double>(random.below(2)) : std::abs(x) / 2.0;
}

/// How many rows an integer input may name, or classes an integer target has.
int64_t values_of(const Model& model, std::string_view name) {
  for (const Call& call : model.calls) {
    const Layer& layer = model.layers[call.layer];
    if (call.name == name) return call.output().shape.back();
    if (layer.component.def->type == "embedding" && model.value_name(call.inputs[0]) == name)
      return layer.component.options.integer("input_dim");
  }
  return 2;
}

}  // namespace

std::vector<EntryCall> entry_calls(int64_t batch) {
  return {{EntryPoint::kPredict, batch},          {EntryPoint::kEvaluate, batch},
          {EntryPoint::kEvaluateTail, batch - 1}, {EntryPoint::kGradients, batch},
          {EntryPoint::kTrainStep, batch},        {EntryPoint::kTrainStepTail, batch - 1},
          {EntryPoint::kTrainStep, batch},        {EntryPoint::kPredict, batch}};
}

std::map<std::string, std::string> random_batch(const Model& model, const gradc_rt_model& tables,
                                                uint64_t seed) {
  Random random(seed);
  std::map<std::string, std::string> batch;
  for (int64_t i = 0; i < tables.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = tables.tensors[i];
    if (!rt::is_fed(tensor)) continue;
    const auto dtype = static_cast<rt::Dtype>(tensor.dtype);
    std::string bytes(static_cast<size_t>(tensor.bytes), '\0');
    const size_t count = bytes.size() / rt::dtype_bytes(dtype);
    const bool integers = tensor.dtype == GRADC_RT_I32 || tensor.dtype == GRADC_RT_I64;
    for (size_t k = 0; k < count; ++k) {
      const double value =
          integers ? static_cast<double>(random.below(values_of(model, rt::short_name(tensor))))
                   : random_number(random, tensor.kind == GRADC_RT_TARGET);
      rt::store_f64(bytes.data(), dtype, k, value);
    }
    batch[tensor.name] = std::move(bytes);
  }
  return batch;
}

JitRun::JitRun(const CompiledModel& model, const std::map<std::string, std::string>& batch,
               int threads, uint64_t seed)
    : batch_(batch) {
  rt::Instance* raw = nullptr;
  const rt::Status status =
      rt::Instance::create(model.runtime_model(), {threads}, nullptr, 0, &raw);
  GRADC_CHECK(status.ok(), "{}", status.text.c_str());
  instance_.reset(raw);
  const rt::Status initialized = instance_->initialize(seed);
  GRADC_CHECK(initialized.ok(), "{}", initialized.text.c_str());
}

void JitRun::prepare(const EntryCall& call) {
  const rt::Status status = instance_->prepare(runtime_entry(call.kind));
  GRADC_CHECK(status.ok(), "{}", status.text.c_str());
  const int64_t batch = instance_->model().batch_size;
  for (size_t i = 0; i < instance_->num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance_->tensor(i);
    if (!rt::is_fed(tensor)) continue;
    const std::string& bytes = batch_.at(tensor.name);
    const size_t row = bytes.size() / static_cast<size_t>(batch);
    for (int64_t r = 0; r < batch; ++r) {
      std::memcpy(static_cast<char*>(instance_->data(i)) + static_cast<size_t>(r) * row,
                  bytes.data() + static_cast<size_t>(r % call.rows) * row, row);
    }
  }
  if (is_tail(call.kind)) rt::set_tail_weight(*instance_, call.rows);
}

void JitRun::run(const EntryCall& call) {
  instance_->run(runtime_entry(call.kind));
}

NamedBytes JitRun::results(const EntryCall& call) const {
  NamedBytes results;
  for (size_t i = 0; i < instance_->num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance_->tensor(i);
    if (!is_result(tensor.kind, call.kind)) continue;
    results[tensor.name] = {static_cast<const char*>(instance_->data(i)),
                            static_cast<size_t>(tensor.bytes)};
  }
  return results;
}

bool JitRun::read(const std::string& name, const TensorType& type, Tensor* tensor) const {
  const int64_t found = instance_->find(name.c_str());
  if (found < 0) return false;
  const auto index = static_cast<size_t>(found);
  *tensor = Tensor(type);
  for (int64_t i = 0; i < tensor->size(); ++i) {
    (*tensor)[i] =
        rt::load_f64(instance_->data(index), static_cast<rt::Dtype>(instance_->tensor(index).dtype),
                     static_cast<size_t>(i));
  }
  return true;
}

// ---- interpreter

struct InterpreterRun::Parts {
  std::shared_ptr<Graph> graph;
  NamedNumbers numbers;
  std::map<std::string, Bound> bounds;
};

InterpreterRun::InterpreterRun(const CompiledModel& model, const EntryCall& call,
                               const JitRun& before, uint64_t seed)
    : parts_(std::make_unique<Parts>()) {
  auto entry =
      build_staged(model.model(), call.kind, model.batch_size(), PipelineStage::kGradient, {});
  GRADC_CHECK(entry.ok(), "{}", entry.message());
  Graph& graph = *entry->graph;
  PassContext context;
  const Status status = run_passes(graph, "expand_composites", context);
  GRADC_CHECK(status.ok(), "{}", status.message());
  expand_steps(graph);
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs()) {
    const bool known = before.read(input.name, graph.type(input.value), &inputs.emplace_back());
    GRADC_CHECK(known, "the model has no tensor {}", input.name);
  }
  auto result = interpret(graph, inputs);
  GRADC_CHECK(result.ok(), "{}", result.message());
  parts_->numbers = named_numbers(graph, result.take());
  parts_->bounds = bounds_of(graph, inputs, parts_->numbers, 5e-7, seed);
  parts_->graph = entry->graph;
}

InterpreterRun::~InterpreterRun() = default;

bool InterpreterRun::leaves_its_types() const {
  return std::ranges::any_of(parts_->numbers, [](const auto& entry) {
    const Tensor& value = entry.second;
    for (int64_t i = 0; i < value.size(); ++i) {
      if (std::isfinite(value[i]) && std::isinf(as_element(value[i], value.type.dtype)))
        return true;
    }
    return false;
  });
}

std::string InterpreterRun::difference(const JitRun& after, Comparison* comparison) const {
  NamedNumbers actual;
  NamedNumbers expected;
  for (const auto& [key, value] : parts_->numbers) {
    const size_t prefix = key.starts_with("update of ") ? 10 : 7;  // "output "
    Tensor& tensor = actual[key];
    if (!after.read(key.substr(prefix), value.type, &tensor)) {
      actual.erase(key);  // the learning rate, gradients that an optimizer used up
      continue;
    }
    expected[key] = value;
    const Bound& bound = parts_->bounds.at(key);
    const double allowed = 2e-6 * bound.magnitude + 4 * bound.noise + 1e-30;
    ++comparison->numbers;
    if (allowed > 0.01 * bound.magnitude && bound.magnitude > 0.0) ++comparison->loose;
    for (int64_t i = 0; i < value.size(); ++i) {
      const double d = std::abs(tensor[i] - value[i]);
      if (std::isfinite(d)) comparison->worst = std::max(comparison->worst, d / allowed);
    }
  }
  return difference_beyond(actual, expected, parts_->bounds, 2e-6, 4.0);
}

}  // namespace gradc::testing
