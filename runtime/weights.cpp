// Moving tensors between instances and safetensors files.
#include "runtime/weights.h"

#include "runtime/dataset.h"
#include "runtime/json.h"
#include "runtime/number.h"

#include <cmath>

namespace gradc::rt {
namespace {

bool is_lasting(const gradc_rt_tensor& tensor, bool with_optimizer) {
  return tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE ||
         (with_optimizer &&
          (tensor.kind == GRADC_RT_OPTIMIZER_STATE || tensor.kind == GRADC_RT_CARRIED));
}

// A name for something in the model's files that is no tensor of the model: with "_" in front
// where a layer's parameter has this name already.
Str free_name(const Instance& instance, Str name) {
  while (instance.find(name.c_str()) >= 0)
    name = format("_%s", name.c_str());
  return name;
}

bool is_statistics(const Instance& instance, const Str& name) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    if (instance.statistics(i).count == 0) continue;
    for (const char* what : {"mean", "std"})
      if (name == data_name(instance, i, what)) return true;
  }
  return false;
}

Str index_text(const Array& array, size_t element) {
  Str text("[");
  size_t stride = array.count();
  for (size_t d = 0; d < array.dims.size(); ++d) {
    stride /= static_cast<size_t>(array.dims[d]);
    text.appendf("%s%zu", d > 0 ? ", " : "", element / stride);
    element %= stride;
  }
  text.push(']');
  return text;
}

// Weights that are NaN or infinite spoil everything that is computed with them: said at the file.
Status check_finite(const Array& array) {
  if (!is_float(array.dtype)) return {};
  for (size_t i = 0; i < array.count(); ++i) {
    const double value = load_f64(array.data.data(), array.dtype, i);
    if (std::isfinite(value)) continue;
    return error("%s: %s is %s, finite numbers are expected in weights", array.source.c_str(),
                 array.dims.empty() ? "the value" : index_text(array, i).c_str(),
                 std::isnan(value) ? "NaN" : "infinite");
  }
  return {};
}

// The arrays "data/<input>/mean" and "/std" of each tensor, checked; null where there are none.
Status find_statistics(const Instance& instance, Span<const Array> arrays, const char* path,
                       Vec<const Array*>* found) {
  found->resize(2 * instance.num_tensors());
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const DataStatistics& statistics = instance.statistics(i);
    if (statistics.count == 0) continue;
    for (size_t k = 0; k < 2; ++k) {
      const Str name = data_name(instance, i, k == 0 ? "mean" : "std");
      for (const Array& array : arrays) {
        if (!(array.name == name)) continue;
        if (array.count() != static_cast<size_t>(statistics.count)) {
          return error("%s: \"%s\" has %zu values, the model's input needs %lld", path,
                       name.c_str(), array.count(), static_cast<long long>(statistics.count));
        }
        GRADC_RT_TRY(check_finite(array));
        (*found)[2 * i + k] = &array;
      }
    }
  }
  return {};
}

// Those of other weights are none of these: what the file lacks is unknown.
void set_statistics(Instance& instance, const Vec<const Array*>& found) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    DataStatistics& statistics = instance.statistics(i);
    if (statistics.count == 0) continue;
    const Array* mean = found[2 * i];
    const Array* std = found[2 * i + 1];
    statistics.known = mean != nullptr && std != nullptr;
    for (size_t k = 0; statistics.known && k < mean->count(); ++k) {
      statistics.mean[k] = load_f64(mean->data.data(), mean->dtype, k);
      statistics.std[k] = load_f64(std->data.data(), std->dtype, k);
    }
  }
}

bool is_weight_name(const Instance& instance, const Str& name) {
  const int64_t index = instance.find(name.c_str());
  return index >= 0 && is_lasting(instance.tensor(static_cast<size_t>(index)), false);
}

// Is this array, which is no tensor of the model, known to the files of the model all the same?
// Examples, statistics, the best weights of a checkpoint, the state of another optimizer.
bool is_known(const Instance& instance, const Str& name, bool with_optimizer) {
  if (is_statistics(instance, name)) return true;
  size_t skip = 0;
  while (skip < name.size() && name[skip] == '_')
    ++skip;
  const Str bare = name.part(skip, name.size() - skip);
  if (bare.starts_with("best/") && is_weight_name(instance, bare.part(5, bare.size() - 5)))
    return true;
  constexpr size_t kPrefix = sizeof "optimizer/" - 1;
  if (with_optimizer || !name.starts_with("optimizer/")) return false;
  if (name == "optimizer/iteration" || name == "optimizer/rate_factor") return true;
  const size_t slash = static_cast<size_t>(strrchr(name.c_str(), '/') - name.c_str());
  return slash > kPrefix && is_weight_name(instance, name.part(kPrefix, slash - kPrefix));
}

struct MeaningKind {
  const char* what;
  Vec<Str> TensorMeaning::* names;
};

constexpr MeaningKind kMeanings[] = {{"columns", &TensorMeaning::columns},
                                     {"classes", &TensorMeaning::classes},
                                     {"characters", &TensorMeaning::characters},
                                     {"categories", &TensorMeaning::categories},
                                     {"fill", &TensorMeaning::fill},
                                     {"tokens", &TensorMeaning::tokens}};

Status read_meanings(const Instance& instance, const SafetensorsFile& file, const char* path,
                     Vec<TensorMeaning>* out) {
  Vec<TensorMeaning> meanings(instance.num_tensors());
  bool any = false;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    if (!is_fed(instance.tensor(i))) continue;
    for (const MeaningKind& kind : kMeanings) {
      const Str key = data_name(instance, i, kind.what);
      const Metadata* item = file.find_meta(key.c_str());
      if (item == nullptr) continue;
      any = true;
      if (!parse_json_strings(item->value.c_str(), item->value.size(),
                              &(meanings[i].*kind.names))) {
        return error("%s: the metadata \"%s\" is no JSON array of strings", path, key.c_str());
      }
    }
  }
  if (any) *out = static_cast<Vec<TensorMeaning>&&>(meanings);
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
  const bool has_prefix = tensor.kind == GRADC_RT_INPUT || tensor.kind == GRADC_RT_TARGET ||
                          tensor.kind == GRADC_RT_OUTPUT || tensor.kind == GRADC_RT_METRIC;
  const char* slash = has_prefix ? strchr(tensor.name, '/') : nullptr;
  return slash != nullptr ? slash + 1 : tensor.name;
}

int64_t target_of_output(const gradc_rt_model& model, size_t output) {
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind == GRADC_RT_TARGET &&
        strcmp(short_name(tensor), short_name(model.tensors[output])) == 0)
      return i;
  }
  return -1;
}

Str data_name(const Instance& instance, size_t index, const char* what) {
  const gradc_rt_tensor& tensor = instance.tensor(index);
  const char* name = short_name(tensor);
  for (size_t i = 0; i < index; ++i) {  // an output named as an input: the later one's whole name
    if (is_fed(instance.tensor(i)) && strcmp(short_name(instance.tensor(i)), name) == 0)
      name = tensor.name;
  }
  return free_name(instance, format("data/%s/%s", name, what));
}

Str best_name(const Instance& instance, size_t index) {
  return free_name(instance, format("best/%s", instance.tensor(index).name));
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
  for (size_t i = 0; dtype != array.dtype && i < array.count(); ++i) {
    if (fits(array.data.data(), array.dtype, i, dtype)) continue;
    const Str value =
        is_float(dtype)
            ? number_text(load_f64(array.data.data(), array.dtype, i))
            : format("%lld", static_cast<long long>(load_i64(array.data.data(), array.dtype, i)));
    return error("%s: element %zu is %s, beyond %s, the type of the model's tensor",
                 array.source.c_str(), i, value.c_str(), dtype_name(dtype));
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

Status load_data_facts(Instance& instance, const SafetensorsFile& file, const char* path) {
  Vec<const Array*> statistics;
  Vec<TensorMeaning> meanings;
  GRADC_RT_TRY(find_statistics(instance, file.arrays.span(), path, &statistics));
  GRADC_RT_TRY(read_meanings(instance, file, path, &meanings));
  // Nothing takes memory from here on: what outlives this call is whole or as it was.
  set_statistics(instance, statistics);
  instance.set_meanings(static_cast<Vec<TensorMeaning>&&>(meanings));
  return {};
}

Status load_tensors(Instance& instance, const SafetensorsFile& file, const char* path,
                    LoadMode mode, bool with_optimizer) {
  const Span<const Array> arrays = file.arrays.span();
  Status problems;
  for (const Array& array : arrays) {
    const int64_t index = instance.find(array.name.c_str());
    if (index < 0) {
      if (!is_known(instance, array.name, with_optimizer)) {
        add_problem(problems, "%s: tensor \"%s\" %s is not in model \"%s\"", path,
                    array.name.c_str(), array_type_text(array).c_str(), instance.model().name);
      }
      continue;
    }
    const gradc_rt_tensor& tensor = instance.tensor(static_cast<size_t>(index));
    if (!is_lasting(tensor, with_optimizer)) continue;
    Status one = check_tensor(tensor, array);
    if (one.ok()) one = check_finite(array);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  if (mode == LoadMode::kComplete) check_missing(instance, arrays, path, with_optimizer, problems);
  if (!problems.ok()) return problems;
  GRADC_RT_TRY(load_data_facts(instance, file, path));
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

namespace {

Status read_weights(const Instance& instance, const char* path, SafetensorsFile* out) {
  const WeightsReader& reader = instance.weights_reader();
  return reader.read == nullptr ? read_safetensors(path, out) : reader.read(reader.self, path, out);
}

}  // namespace

Status load_weights(Instance& instance, const char* path, LoadMode mode) {
  SafetensorsFile file;
  GRADC_RT_TRY(read_weights(instance, path, &file));
  return load_tensors(instance, file, path, mode, false);
}

Status load_tensors(Instance& instance, const char* path, bool with_optimizer) {
  SafetensorsFile file;
  GRADC_RT_TRY(read_weights(instance, path, &file));
  bool there = false;
  for (const Array& array : file.arrays)
    there = there || is_optimizer_state(instance, array.name);
  return load_tensors(instance, file, path, LoadMode::kComplete, with_optimizer && there);
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
    for (const char* what : {"mean", "std"})
      names->push(data_name(instance, i, what));
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

void put_meanings(const Instance& instance, Vec<Metadata>* metadata) {
  if (instance.meanings() == nullptr) return;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    for (const MeaningKind& kind : kMeanings) {
      const Vec<Str>& names = (*instance.meanings())[i].*kind.names;
      if (names.empty()) continue;
      Str value;
      append_json_strings(value, names);
      metadata->push({data_name(instance, i, kind.what), static_cast<Str&&>(value)});
    }
  }
}

Status save_weights(const Instance& instance, const char* path) {
  const WeightsWriter& writer = instance.weights_writer();
  if (writer.prepare != nullptr) {
    bool takes = false;
    Str main_file;
    GRADC_RT_TRY(writer.prepare(writer.self, path, &takes, &main_file));
    if (takes) return writer.write(writer.self, instance, path);
  }
  return save_tensors(instance, path, false);
}

Status save_tensors(const Instance& instance, const char* path, bool with_optimizer) {
  Vec<TensorView> views;
  Vec<Str> names;
  collect_tensors(instance, with_optimizer, &views, &names);
  Vec<Metadata> metadata;
  metadata.push({Str("format"), Str("gradc-weights/1")});
  metadata.push({Str("model"), Str(instance.model().name)});
  put_meanings(instance, &metadata);
  return write_safetensors(path, {views.data(), views.size()}, {metadata.data(), metadata.size()});
}

}  // namespace gradc::rt
