// The compiled library of a model through its C functions.
#include "driver/aot.h"
#include "driver/c_names.h"
#include "runtime/weights.h"
#include "tests/random_models/model_run.h"

#include <dlfcn.h>

namespace gradc::testing {

namespace {

struct Handle;

/// The functions of one library that is loaded, as its header declares them.
class Library {
 public:
  Library(const std::string& path, const std::string& name)
      : loaded_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)), name_(name) {
    GRADC_CHECK(loaded_ != nullptr, "{}: {}", path, dlerror());
  }
  ~Library() { dlclose(loaded_); }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  template <class F>
  F* function(const char* suffix) const {
    void* symbol = dlsym(loaded_, (name_ + "_" + suffix).c_str());
    GRADC_CHECK(symbol != nullptr, "the library has no {}", suffix);
    return reinterpret_cast<F*>(symbol);
  }

 private:
  void* loaded_;
  std::string name_;
};

void check(int status, const char* what) {
  GRADC_CHECK(status == 0, "{} gives status {}", what, status);
}

std::vector<const void*> pointers(const gradc_rt_model& tables, int64_t kind,
                                  const std::map<std::string, std::string>& batch) {
  std::vector<const void*> result;
  for (int64_t i = 0; i < tables.num_tensors; ++i) {
    if (tables.tensors[i].kind == kind) result.push_back(batch.at(tables.tensors[i].name).data());
  }
  return result;
}

/// Room for the results of a kind, by name; and pointers to it in the model's order.
std::vector<void*> room(const gradc_rt_model& tables, int64_t kind, NamedBytes& results) {
  std::vector<void*> pointers;
  for (int64_t i = 0; i < tables.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = tables.tensors[i];
    if (tensor.kind != kind) continue;
    std::string& bytes = results[tensor.name];
    bytes.assign(static_cast<size_t>(tensor.bytes), '\0');
    pointers.push_back(bytes.data());
  }
  return pointers;
}

void get_lasting(const Library& library, const gradc_rt_model& tables, const Handle* handle,
                 NamedBytes& results) {
  const auto get =
      library.function<int(const Handle*, const char*, void*, size_t)>("get_parameter");
  for (const int64_t kind :
       {GRADC_RT_PARAMETER, GRADC_RT_STATE, GRADC_RT_OPTIMIZER_STATE, GRADC_RT_CARRIED}) {
    room(tables, kind, results);
  }
  for (auto& [name, bytes] : results) {
    if (name != "loss") check(get(handle, name.c_str(), bytes.data(), bytes.size()), name.c_str());
  }
}

}  // namespace

std::vector<NamedBytes> library_results(const Model& model, const gradc_rt_model& tables,
                                        const std::map<std::string, std::string>& batch,
                                        uint64_t seed, const std::string& folder) {
  AotOptions options;
  options.output = folder + "/lib" + model.name + ".so";
  options.emit = EmitKind::kShared;
  options.compile.batch_size = tables.batch_size;
  const auto compiled = compile_to_files(model, options);
  GRADC_CHECK(compiled.ok(), "{}", compiled.message());
  const Library library(options.output, c_identifier(model.name));
  Handle* handle = nullptr;
  check(library.function<int(void*, size_t, int32_t, Handle**)>("create")(nullptr, 0, 2, &handle),
        "create");
  check(library.function<int(Handle*, uint64_t)>("init")(handle, seed), "init");
  const auto inputs = pointers(tables, GRADC_RT_INPUT, batch);
  const auto targets = pointers(tables, GRADC_RT_TARGET, batch);
  using In = const void* const*;
  std::vector<NamedBytes> all;
  for (const EntryCall& call : entry_calls(tables.batch_size)) {
    NamedBytes& results = all.emplace_back();
    float loss = 0.0F;
    if (call.kind == EntryPoint::kPredict) {
      const auto outputs = room(tables, GRADC_RT_OUTPUT, results);
      check(library.function<int(Handle*, In, int64_t, void* const*)>("predict")(
                handle, inputs.data(), call.rows, outputs.data()),
            "predict");
    } else if (call.kind == EntryPoint::kEvaluate || call.kind == EntryPoint::kEvaluateTail) {
      const size_t count = room(tables, GRADC_RT_METRIC, results).size();
      std::vector<float> metrics(count);
      check(library.function<int(Handle*, In, In, int64_t, float*, float*)>("evaluate")(
                handle, inputs.data(), targets.data(), call.rows, &loss, metrics.data()),
            "evaluate");
      size_t next = 0;
      for (int64_t i = 0; i < tables.num_tensors; ++i) {
        if (tables.tensors[i].kind == GRADC_RT_METRIC)
          results[tables.tensors[i].name].assign(reinterpret_cast<const char*>(&metrics[next++]),
                                                 4);
      }
    } else if (call.kind != EntryPoint::kGradients) {
      check(library.function<int(Handle*, In, In, int64_t, float*)>("train_step")(
                handle, inputs.data(), targets.data(), call.rows, &loss),
            "train_step");
      get_lasting(library, tables, handle, results);
    }
    if (needs_training(call.kind) && call.kind != EntryPoint::kGradients)
      results["loss"].assign(reinterpret_cast<const char*>(&loss), sizeof loss);
  }
  library.function<void(Handle*)>("destroy")(handle);
  return all;
}

}  // namespace gradc::testing
