#include "driver/gir_run.h"

#include "codegen/kernel/kernel_interpreter.h"
#include "driver/gir_program.h"
#include "driver/output.h"
#include "driver/runtime_status.h"
#include "ir/interpreter.h"
#include "runtime/instance.h"
#include "runtime/safetensors.h"
#include "runtime/text.h"
#include "runtime/weights.h"

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace gradc {

namespace {

using Role = GirProgram::Role;

/// All tensors of an instance in double, as the interpreters take and give them.
class DoubleMemory {
 public:
  explicit DoubleMemory(rt::Instance& instance) : instance_(instance) {
    for (size_t i = 0; i < instance.num_tensors(); ++i) {
      const gradc_rt_tensor& tensor = instance.tensor(i);
      const std::vector<int64_t> dims(tensor.dims, tensor.dims + tensor.rank);
      Tensor& values =
          tensors_.emplace_back(TensorType{static_cast<DType>(tensor.dtype), Shape(dims)});
      for (int64_t e = 0; e < values.size(); ++e)
        values[e] = rt::load_f64(instance.data(i), static_cast<rt::Dtype>(tensor.dtype),
                                 static_cast<size_t>(e));
    }
    for (Tensor& tensor : tensors_)
      slots_.push_back(&tensor);
  }
  Tensor& operator[](size_t index) { return tensors_[index]; }
  std::span<Tensor* const> slots() const { return slots_; }

  void write_back() const {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      const auto dtype = static_cast<rt::Dtype>(instance_.tensor(i).dtype);
      for (int64_t e = 0; e < tensors_[i].size(); ++e)
        rt::store_f64(instance_.data(i), dtype, static_cast<size_t>(e), tensors_[i][e]);
    }
  }

 private:
  rt::Instance& instance_;
  std::vector<Tensor> tensors_;
  std::vector<Tensor*> slots_;
};

Status interpret_graph(const Graph& graph, DoubleMemory& memory, const rt::Instance& instance) {
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < graph.inputs().size(); ++i)
    inputs.push_back(memory[i]);
  GRADC_TRY(const InterpretResult result, interpret(graph, inputs));
  for (size_t i = 0; i < result.outputs.size(); ++i)
    memory[graph.inputs().size() + i] = result.outputs[i];
  for (const auto& [name, value] : result.updates)
    memory[static_cast<size_t>(instance.find(name.c_str()))] = value;
  return Ok{};
}

/// Copies what the file has into the instance; all problems at once.
Status set_given(rt::Instance& instance, const GirProgram& program,
                 const rt::SafetensorsFile& given, const std::string& path) {
  rt::Status status;
  std::set<std::string> names;
  for (const rt::Array& array : given.arrays) {
    names.insert(array.name.c_str());
    const int64_t index = instance.find(array.name.c_str());
    if (index < 0) {
      rt::add_problem(status, "%s: the graph has no input \"%s\"", path.c_str(),
                      rt::shown(array.name).c_str());
      continue;
    }
    const rt::Status one = rt::set_tensor(instance, static_cast<size_t>(index), array);
    if (!one.ok()) rt::add_problem(status, "%s", one.text.c_str());
  }
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    if (names.contains(instance.tensor(i).name) || program.has_start(i)) continue;
    rt::add_problem(status, "%s: \"%s\" is missing, and has no initial value", path.c_str(),
                    instance.tensor(i).name);
  }
  return from_runtime(status);
}

Status write_results(const rt::Instance& instance, const GirProgram& program,
                     const std::string& path) {
  rt::Vec<rt::TensorView> views;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const Role role = program.roles()[i];
    if (role != Role::kResult && role != Role::kUpdated) continue;
    const gradc_rt_tensor& tensor = instance.tensor(i);
    views.push({tensor.name, static_cast<rt::Dtype>(tensor.dtype), rt::tensor_dims(tensor),
                instance.data(i), static_cast<size_t>(tensor.bytes)});
  }
  return from_output(rt::write_safetensors(path.c_str(), views.span(), {}));
}

Status run_interpreted(const GirFile& file, const GirProgram& program, rt::Instance& instance,
                       int64_t steps) {
  DoubleMemory memory(instance);  // between steps nothing is rounded
  for (int64_t i = 0; i < steps; ++i) {
    if (file.graph != nullptr) {
      GRADC_TRY_STATUS(interpret_graph(*file.graph, memory, instance));
    } else {
      kernel::interpret(program.program(), program.entry(), memory.slots());
    }
  }
  memory.write_back();
  return Ok{};
}

}  // namespace

Status run_gir(const ExactRun& run) {
  for (const std::string& input : {run.in, run.model})
    GRADC_TRY_STATUS(check_apart(run.out, input));
  GRADC_TRY_STATUS(check_output(run.out));
  rt::SafetensorsFile given;
  GRADC_TRY_STATUS(from_runtime(rt::read_safetensors(run.in.c_str(), &given)));
  GRADC_TRY(GirFile file, read_gir_file(run.model));
  GirOptions options;
  options.entry = run.entry;
  if (run.cache) options.cache = DiskCache::of_user();
  GRADC_TRY(options.target, TargetInfo::host_as(run.cpu));
  options.memory_budget_bytes = run.memory_budget_bytes;
  GRADC_TRY(const auto program, GirProgram::create(file, options));
  if (!run.interpreter) GRADC_TRY_STATUS(program->compile());
  rt::Instance* raw = nullptr;
  GRADC_TRY_STATUS(from_runtime(
      rt::Instance::create(program->runtime_model(), {run.threads}, nullptr, 0, &raw)));
  const std::unique_ptr<rt::Instance, void (*)(rt::Instance*)> instance(
      raw, [](rt::Instance* i) { rt::Instance::destroy(i); });
  GRADC_TRY_STATUS(from_runtime(instance->initialize(run.seed.value_or(0))));
  GRADC_TRY_STATUS(set_given(*instance, *program, given, run.in));
  if (run.interpreter) {
    GRADC_TRY_STATUS(run_interpreted(file, *program, *instance, run.steps));
  } else {
    GRADC_TRY_STATUS(from_runtime(instance->prepare(GRADC_RT_PREDICT)));
    for (int64_t i = 0; i < run.steps; ++i)
      instance->run(GRADC_RT_PREDICT);
  }
  return write_results(*instance, *program, run.out);
}

}  // namespace gradc
