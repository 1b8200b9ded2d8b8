#include "runtime/fitting_weights.h"

#include "runtime/weights.h"

namespace gradc::rt {
namespace {

bool is_weight(const gradc_rt_tensor& tensor) {
  return tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE;
}

// What files of weights hold beside the tensors of a model.
bool is_beside(const Str& name) {
  for (const char* prefix : {"optimizer/", "best/", "data/"})
    if (name.starts_with(prefix)) return true;
  return false;
}

bool has_shape_and_kind(const gradc_rt_tensor& tensor, const Array& array) {
  const Span<const int64_t> dims = tensor_dims(tensor);
  if (is_float(static_cast<Dtype>(tensor.dtype)) != is_float(array.dtype)) return false;
  if (dims.size() != array.dims.size()) return false;
  for (size_t d = 0; d < dims.size(); ++d)
    if (dims[d] != array.dims[d]) return false;
  return true;
}

// Of the file what is the model's; what stands beside that is not the arrays' owner any more.
SafetensorsFile fitting_part(const Instance& instance, SafetensorsFile& file, Str* rest,
                             size_t* taken) {
  SafetensorsFile part;
  for (Array& array : file.arrays) {
    const int64_t index = instance.find(array.name.c_str());
    const bool weight = index >= 0 && is_weight(instance.tensor(static_cast<size_t>(index)));
    if (weight && has_shape_and_kind(instance.tensor(static_cast<size_t>(index)), array)) {
      ++*taken;
      part.arrays.push(static_cast<Array&&>(array));
    } else if (index < 0 && !is_beside(array.name)) {
      rest->appendf("\n  \"%s\" %s is not in the model", array.name.c_str(),
                    array_type_text(array).c_str());
    }
  }
  return part;
}

// Statistics that are still of their size, and meanings, of inputs alone.
void add_input_facts(const Instance& instance, SafetensorsFile& file, SafetensorsFile* part) {
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    if (instance.tensor(i).kind != GRADC_RT_INPUT) continue;
    const size_t count = static_cast<size_t>(instance.statistics(i).count);
    for (const char* what : {"mean", "std"}) {
      const Str name = data_name(instance, i, what);
      for (Array& array : file.arrays)
        if (count > 0 && array.name == name && array.count() == count)
          part->arrays.push(static_cast<Array&&>(array));
    }
    const Str prefix = data_name(instance, i, "");
    for (Metadata& item : file.metadata)
      if (item.key.starts_with(prefix.c_str())) part->metadata.push(static_cast<Metadata&&>(item));
  }
}

}  // namespace

Status load_fitting(Instance& instance, const char* path, Str* report) {
  const WeightsReader& reader = instance.weights_reader();
  SafetensorsFile file;
  GRADC_RT_TRY(reader.read == nullptr ? read_safetensors(path, &file)
                                      : reader.read(reader.self, path, &file));
  Str rest;
  size_t all = 0, taken = 0;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (!is_weight(tensor)) continue;
    ++all;
    const Array* array = file.find(tensor.name);
    if (array != nullptr && has_shape_and_kind(tensor, *array)) continue;
    rest.appendf("\n  \"%s\" %s starts anew: it is %s there", tensor.name,
                 tensor_type_text(tensor).c_str(),
                 array == nullptr ? "not" : array_type_text(*array).c_str());
  }
  SafetensorsFile part = fitting_part(instance, file, &rest, &taken);
  if (taken == 0) {
    return error("%s: nothing of it fits model \"%s\" by name and shape:%s", path,
                 instance.model().name, rest.c_str());
  }
  add_input_facts(instance, file, &part);
  GRADC_RT_TRY(load_tensors(instance, part, path, LoadMode::kPartial, false));
  report->appendf("%s: %zu of the model's %zu tensors are taken%s", path, taken, all, rest.c_str());
  return {};
}

}  // namespace gradc::rt
