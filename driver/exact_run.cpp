#include "driver/exact_run.h"

#include "driver/compiled_model.h"
#include "driver/output.h"
#include "driver/runtime_status.h"
#include "ir/interpreter.h"
#include "runtime/dataset.h"
#include "runtime/instance.h"
#include "runtime/safetensors.h"
#include "runtime/text.h"
#include "runtime/weights.h"
#include "support/check.h"

#include "exchange/read_model.h"

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <set>

namespace gradc {

namespace {

struct EntryName {
  std::string_view name;
  EntryPoint kind;
};
constexpr std::array<EntryName, 4> kEntries = {{{"predict", EntryPoint::kPredict},
                                                {"loss", EntryPoint::kEvaluate},
                                                {"gradients", EntryPoint::kGradients},
                                                {"train_step", EntryPoint::kTrainStep}}};

struct InstanceDeleter {
  void operator()(rt::Instance* instance) const { rt::Instance::destroy(instance); }
};
using InstancePtr = std::unique_ptr<rt::Instance, InstanceDeleter>;

using rt::is_fed;

/// The first extent of the given inputs of the model.
Result<int64_t> batch_of(const Model& model, const rt::SafetensorsFile& file,
                         const std::string& path) {
  for (const ModelInput& input : model.inputs) {
    const rt::Array* array = file.find(("input/" + input.name).c_str());
    if (array != nullptr && !array->dims.empty() && array->rows() > 0) return array->rows();
  }
  return make_error(
      DiagKind::kInvalidData, {},
      "{}: no tensor named input/NAME with a batch dimension; the batch size is taken from it",
      path);
}

/// One execution of the entry by either engine.
class Engine {
 public:
  Engine(const CompiledModel& model, rt::Instance& instance, EntryPoint kind)
      : model_(model), instance_(instance), kind_(kind) {}

  Status prepare(bool interpreter) {
    if (!interpreter) return from_runtime(instance_.prepare(runtime_entry(kind_)));
    provide_memory();
    GRADC_TRY(StagedEntry entry, build_staged(model_.model(), kind_, model_.batch_size(),
                                              PipelineStage::kGradient, {}));
    graph_ = entry.graph;
    return Ok{};
  }

  Status step() {
    if (graph_ == nullptr) {
      instance_.run(runtime_entry(kind_));
      return Ok{};
    }
    std::vector<Tensor> inputs;
    for (const GraphInput& input : graph_->inputs())
      inputs.push_back(read(input.name, graph_->type(input.value)));
    GRADC_TRY(const InterpretResult result, interpret(*graph_, inputs));
    for (size_t i = 0; i < result.outputs.size(); ++i)
      write(graph_->outputs()[i].name, result.outputs[i]);
    for (const auto& [name, tensor] : result.updates)
      write(name, tensor);
    return Ok{};
  }

 private:
  /// Gradients have memory in the instance only once their entry is prepared, which would compile
  /// it.
  void provide_memory() {
    for (size_t i = 0; i < instance_.num_tensors(); ++i) {
      if (instance_.data(i) != nullptr) continue;
      std::vector<double>& memory =
          memory_.emplace_back(static_cast<size_t>(instance_.tensor(i).bytes + 7) / 8);
      instance_.bind(i, memory.data());
    }
  }

  Tensor read(const std::string& name, const TensorType& type) {
    // Between steps the interpreter keeps its doubles: parameters are not rounded to f32.
    if (const auto it = exact_.find(name); it != exact_.end()) return it->second;
    const int64_t index = instance_.find(name.c_str());
    GRADC_CHECK(index >= 0, "the model has no tensor \"{}\"", name);
    Tensor tensor(type);
    const void* data = instance_.data(static_cast<size_t>(index));
    for (int64_t i = 0; i < tensor.size(); ++i) {
      tensor[i] = rt::load_f64(data, static_cast<rt::Dtype>(type.dtype), static_cast<size_t>(i));
    }
    return tensor;
  }

  void write(const std::string& name, const Tensor& tensor) {
    const int64_t index = instance_.find(name.c_str());
    if (index < 0) return;
    void* data = instance_.data(static_cast<size_t>(index));
    for (int64_t i = 0; i < tensor.size(); ++i) {
      rt::store_f64(data, static_cast<rt::Dtype>(tensor.type.dtype), static_cast<size_t>(i),
                    tensor[i]);
    }
    exact_[name] = tensor;
  }

  const CompiledModel& model_;
  rt::Instance& instance_;
  EntryPoint kind_;
  std::shared_ptr<Graph> graph_;
  std::map<std::string, Tensor> exact_;
  std::deque<std::vector<double>> memory_;
};

/// Copies the given tensors into the instance; all problems at once.
Status set_given(rt::Instance& instance, const rt::SafetensorsFile& file, const std::string& path,
                 EntryPoint kind) {
  rt::Status status;
  std::set<std::string> given;
  for (const rt::Array& array : file.arrays) {
    given.insert(array.name.c_str());
    const int64_t index = instance.find(array.name.c_str());
    if (index < 0) {
      rt::add_problem(status, "%s: the model has no tensor \"%s\"", path.c_str(),
                      rt::shown(array.name).c_str());
      continue;
    }
    const auto tensor = static_cast<size_t>(index);
    const gradc_rt_tensor& to = instance.tensor(tensor);
    const size_t count =
        static_cast<size_t>(to.bytes) / rt::dtype_bytes(static_cast<rt::Dtype>(to.dtype));
    rt::Status one;
    if (is_fed(to) && array.count() == count) {  // as given: what the model means by the value
      one = rt::check_values(instance.model(), tensor, array.dtype, array.data.data(), array.rows(),
                             array.source.c_str());
    }
    if (one.ok()) one = rt::set_tensor(instance, tensor, array);
    if (!one.ok()) rt::add_problem(status, "%s", one.text.c_str());
  }
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    const bool wanted =
        is_fed(tensor) && (tensor.kind == GRADC_RT_INPUT || kind != EntryPoint::kPredict);
    if (wanted && !given.contains(tensor.name)) {
      rt::add_problem(status, "%s: \"%s\" is missing: %s needs it", path.c_str(), tensor.name,
                      std::string(entry_name(kind)).c_str());
    }
  }
  return from_runtime(status);
}

/// What `run` writes of the entries that it runs.
bool is_result(int64_t tensor_kind, EntryPoint kind) {
  if (kind == EntryPoint::kPredict) return tensor_kind == GRADC_RT_OUTPUT;
  if (kind == EntryPoint::kEvaluate)
    return tensor_kind == GRADC_RT_LOSS || tensor_kind == GRADC_RT_METRIC;
  if (kind == EntryPoint::kGradients)
    return tensor_kind == GRADC_RT_LOSS || tensor_kind == GRADC_RT_GRADIENT;
  GRADC_CHECK(kind == EntryPoint::kTrainStep, "run has no entry {}", entry_name(kind));
  return tensor_kind == GRADC_RT_PARAMETER || tensor_kind == GRADC_RT_STATE ||
         tensor_kind == GRADC_RT_OPTIMIZER_STATE || tensor_kind == GRADC_RT_CARRIED;
}

Status write_results(const rt::Instance& instance, const ExactRun& run, EntryPoint kind,
                     const std::vector<float>& losses) {
  rt::Vec<rt::TensorView> views;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (!is_result(tensor.kind, kind)) continue;
    views.push({tensor.name, static_cast<rt::Dtype>(tensor.dtype), rt::tensor_dims(tensor),
                instance.data(i), static_cast<size_t>(tensor.bytes)});
  }
  const std::array<int64_t, 1> dims = {static_cast<int64_t>(losses.size())};
  if (kind == EntryPoint::kTrainStep) {
    views.push(
        {"loss", rt::Dtype::kF32, {dims.data(), 1}, losses.data(), losses.size() * sizeof(float)});
  }
  return from_output(rt::write_safetensors(run.out.c_str(), views.span(), {}));
}

}  // namespace

Status run_exact(const ExactRun& run, SourceSet& sources) {
  const auto* entry = std::find_if(kEntries.begin(), kEntries.end(),
                                   [&](const EntryName& e) { return e.name == run.entry; });
  GRADC_CHECK(entry != kEntries.end(), "unknown entry {}", run.entry);
  for (const std::string& input : {run.in, run.model})
    GRADC_TRY_STATUS(check_apart(run.out, input));
  GRADC_TRY_STATUS(check_output(run.out));
  rt::SafetensorsFile file;
  GRADC_TRY_STATUS(from_runtime(rt::read_safetensors(run.in.c_str(), &file)));
  CompileOptions options;
  if (run.cache) options.cache = DiskCache::of_user();
  GRADC_TRY(options.target, TargetInfo::host_as(run.cpu));
  options.memory_budget_bytes = run.memory_budget_bytes;
  GRADC_TRY(Model description, exchange::read_model(run.model, sources, run.given));
  GRADC_TRY(options.batch_size, batch_of(description, file, run.in));
  GRADC_TRY(auto model, CompiledModel::create(std::move(description), options));
  if (!model->supports(entry->kind)) {
    return make_error(DiagKind::kInvalidUsage, {run.model, "", false},
                      "the model has no \"training\" section, which --entry {} needs", run.entry);
  }
  const std::array kinds = {entry->kind};
  if (!run.interpreter) GRADC_TRY_STATUS(model->compile(kinds));
  rt::Instance* raw = nullptr;
  GRADC_TRY_STATUS(
      from_runtime(rt::Instance::create(model->runtime_model(), {run.threads}, nullptr, 0, &raw)));
  const InstancePtr instance(raw);
  GRADC_TRY_STATUS(
      from_runtime(instance->initialize(run.seed.value_or(model->runtime_model().training.seed))));
  GRADC_TRY_STATUS(set_given(*instance, file, run.in, entry->kind));

  Engine engine(*model, *instance, entry->kind);
  GRADC_TRY_STATUS(engine.prepare(run.interpreter));
  const int64_t loss = instance->nth(GRADC_RT_LOSS, 0);
  const int64_t steps = entry->kind == EntryPoint::kTrainStep ? run.steps : 1;
  std::vector<float> losses;
  for (int64_t i = 0; i < steps; ++i) {
    GRADC_TRY_STATUS(engine.step());
    if (loss >= 0)
      losses.push_back(static_cast<float>(instance->scalar(static_cast<size_t>(loss))));
  }
  return write_results(*instance, run, entry->kind, losses);
}

}  // namespace gradc
