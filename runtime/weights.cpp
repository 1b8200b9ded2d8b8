// Moving tensors between instances and safetensors files.
#include "runtime/weights.h"

namespace gradc::rt {
namespace {

constexpr char kMeanSuffix[] = "/mean";
constexpr char kStdSuffix[] = "/std";

bool is_lasting(const gradc_rt_tensor& tensor, bool with_optimizer) {
  return tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE ||
         (with_optimizer && tensor.kind == GRADC_RT_OPTIMIZER_STATE);
}

bool starts_with(const Str& text, const char* prefix) {
  return text.starts_with(prefix);
}

// "data/<input>/mean" and "/std" go into the instance's statistics.
Status load_statistics(Instance& instance, Span<const Array> arrays, const char* path) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    DataStatistics& statistics = instance.statistics(i);
    if (statistics.count == 0) continue;
    const Str prefix = format("data/%s", short_name(instance.tensor(i)));
    int found = 0;
    for (const Array& array : arrays) {
      if (!array.name.starts_with(prefix.c_str())) continue;
      const char* rest = array.name.c_str() + prefix.size();
      double* values = strcmp(rest, kMeanSuffix) == 0  ? statistics.mean
                       : strcmp(rest, kStdSuffix) == 0 ? statistics.std
                                                       : nullptr;
      if (values == nullptr) continue;
      if (array.count() != static_cast<size_t>(statistics.count)) {
        return error("%s: \"%s\" has %zu values, the model's input needs %lld", path,
                     array.name.c_str(), array.count(), static_cast<long long>(statistics.count));
      }
      for (size_t k = 0; k < array.count(); ++k)
        values[k] = load_f64(array.data.data(), array.dtype, k);
      ++found;
    }
    if (found == 2) statistics.known = true;
  }
  return {};
}

void check_missing(const Instance& instance, Span<const Array> arrays, const char* path,
                   bool with_optimizer, Status& problems) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (!is_lasting(tensor, with_optimizer)) continue;
    bool found = false;
    for (const Array& array : arrays)
      found = found || array.name == tensor.name;
    if (!found) {
      add_problem(problems, "%s: tensor \"%s\" %s is missing", path, tensor.name,
                  tensor_type_text(tensor).c_str());
    }
  }
}

}  // namespace

const char* short_name(const gradc_rt_tensor& tensor) {
  for (const char* prefix : {"input/", "target/", "output/", "metric/"}) {
    if (strncmp(tensor.name, prefix, strlen(prefix)) == 0) return tensor.name + strlen(prefix);
  }
  return tensor.name;
}

Span<const int64_t> tensor_dims(const gradc_rt_tensor& tensor) {
  return {tensor.dims, static_cast<size_t>(tensor.rank)};
}

Str tensor_type_text(const gradc_rt_tensor& tensor) {
  Str text(dtype_name(static_cast<Dtype>(tensor.dtype)));
  text.append(dims_text(tensor_dims(tensor)));
  return text;
}

namespace {

Status check_tensor(const gradc_rt_tensor& tensor, const Array& array) {
  const Dtype dtype = static_cast<Dtype>(tensor.dtype);
  const Span<const int64_t> dims = tensor_dims(tensor);
  const bool same_kind = is_float(dtype) == is_float(array.dtype);
  bool same_shape = dims.size() == array.dims.size();
  for (size_t d = 0; same_shape && d < dims.size(); ++d)
    same_shape = dims[d] == array.dims[d];
  if (!same_kind || !same_shape) {
    return error("%s: is %s, the model's tensor is %s", array.source.c_str(),
                 array_type_text(array).c_str(), tensor_type_text(tensor).c_str());
  }
  return {};
}

}  // namespace

Status set_tensor(Instance& instance, size_t index, const Array& array) {
  const gradc_rt_tensor& tensor = instance.tensor(index);
  const Dtype dtype = static_cast<Dtype>(tensor.dtype);
  GRADC_RT_TRY(check_tensor(tensor, array));
  void* out = instance.data(index);
  if (dtype == array.dtype) {
    memcpy(out, array.data.data(), array.data.size());
    return {};
  }
  for (size_t i = 0; i < array.count(); ++i) {
    if (is_float(dtype)) {
      store_f64(out, dtype, i, load_f64(array.data.data(), array.dtype, i));
    } else {
      store_i64(out, dtype, i, load_i64(array.data.data(), array.dtype, i));
    }
  }
  return {};
}

Array get_tensor(const Instance& instance, size_t index) {
  const gradc_rt_tensor& tensor = instance.tensor(index);
  Array array;
  array.name = Str(tensor.name);
  array.source = Str(tensor.name);
  array.dtype = static_cast<Dtype>(tensor.dtype);
  array.dims.append(tensor.dims, static_cast<size_t>(tensor.rank));
  array.data.append(static_cast<const uint8_t*>(instance.data(index)),
                    static_cast<size_t>(tensor.bytes));
  return array;
}

Status load_arrays(Instance& instance, Span<const Array> arrays, const char* path, LoadMode mode,
                   bool with_optimizer) {
  Status problems;
  for (const Array& array : arrays) {
    const int64_t index = instance.find(array.name.c_str());
    const bool elsewhere = starts_with(array.name, "input/") ||
                           starts_with(array.name, "target/") || starts_with(array.name, "best/") ||
                           starts_with(array.name, "data/");
    if (index < 0) {
      if (!elsewhere && !(starts_with(array.name, "optimizer/") && !with_optimizer)) {
        add_problem(problems, "%s: tensor \"%s\" %s is not in model \"%s\"", path,
                    array.name.c_str(), array_type_text(array).c_str(), instance.model().name);
      }
      continue;
    }
    const gradc_rt_tensor& tensor = instance.tensor(static_cast<size_t>(index));
    if (!is_lasting(tensor, with_optimizer)) continue;
    const Status one = check_tensor(tensor, array);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  if (mode == LoadMode::kComplete) check_missing(instance, arrays, path, with_optimizer, problems);
  if (!problems.ok()) return problems;
  GRADC_RT_TRY(load_statistics(instance, arrays, path));
  for (const Array& array : arrays) {  // nothing is written before everything is known to fit
    const int64_t index = instance.find(array.name.c_str());
    if (index < 0 || !is_lasting(instance.tensor(static_cast<size_t>(index)), with_optimizer)) {
      continue;
    }
    GRADC_RT_TRY(set_tensor(instance, static_cast<size_t>(index), array));
  }
  return {};
}

namespace {

bool is_optimizer_state(const Instance& instance, const Str& name) {
  const int64_t index = instance.find(name.c_str());
  return index >= 0 && instance.tensor(static_cast<size_t>(index)).kind == GRADC_RT_OPTIMIZER_STATE;
}

}  // namespace

Status load_weights(Instance& instance, const char* path, LoadMode mode) {
  SafetensorsFile file;
  GRADC_RT_TRY(read_safetensors(path, &file));
  return load_arrays(instance, {file.arrays.data(), file.arrays.size()}, path, mode, false);
}

Status load_tensors(Instance& instance, const char* path, bool with_optimizer) {
  SafetensorsFile file;
  GRADC_RT_TRY(read_safetensors(path, &file));
  bool there = false;
  for (const Array& array : file.arrays)
    there = there || is_optimizer_state(instance, array.name);
  return load_arrays(instance, {file.arrays.data(), file.arrays.size()}, path, LoadMode::kComplete,
                     with_optimizer && there);
}

void collect_tensors(const Instance& instance, bool with_optimizer, Vec<TensorView>* views,
                     Vec<Str>* names) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (!is_lasting(tensor, with_optimizer)) continue;
    views->push({tensor.name, static_cast<Dtype>(tensor.dtype), tensor_dims(tensor),
                 instance.data(i), static_cast<size_t>(tensor.bytes)});
  }
  // Names first: the views keep pointers into them.
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    if (!instance.statistics(i).known) continue;
    const char* name = short_name(instance.tensor(i));
    names->push(format("data/%s%s", name, kMeanSuffix));
    names->push(format("data/%s%s", name, kStdSuffix));
  }
  size_t next = 0;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const DataStatistics& statistics = instance.statistics(i);
    if (!statistics.known) continue;
    for (const double* values : {statistics.mean, statistics.std}) {
      views->push({(*names)[next++].c_str(),
                   Dtype::kF64,
                   {&statistics.count, 1},
                   values,
                   static_cast<size_t>(statistics.count) * sizeof(double)});
    }
  }
}

Status save_weights(const Instance& instance, const char* path) {
  return save_tensors(instance, path, false);
}

Status save_tensors(const Instance& instance, const char* path, bool with_optimizer) {
  Vec<TensorView> views;
  Vec<Str> names;
  collect_tensors(instance, with_optimizer, &views, &names);
  Vec<Metadata> metadata;
  metadata.push({Str("format"), Str("gradc-weights/1")});
  metadata.push({Str("model"), Str(instance.model().name)});
  return write_safetensors(path, {views.data(), views.size()}, {metadata.data(), metadata.size()});
}

}  // namespace gradc::rt
