// From SPEC to arrays, and from array names to the model's inputs and targets.
#include "runtime/dataset.h"

#include "runtime/safetensors.h"
#include "runtime/weights.h"

namespace gradc::rt {
namespace {

struct IdxName {
  const char* file;
  const char* array;
};

constexpr IdxName kIdxNames[] = {
    {"train-images-idx3-ubyte", "x_train"}, {"train-labels-idx1-ubyte", "y_train"},
    {"t10k-images-idx3-ubyte", "x_test"},   {"t10k-labels-idx1-ubyte", "y_test"},
    {"train-images.idx3-ubyte", "x_train"}, {"train-labels.idx1-ubyte", "y_train"},
    {"t10k-images.idx3-ubyte", "x_test"},   {"t10k-labels.idx1-ubyte", "y_test"},
};

// "train-foo-idx4-ubyte" of other sizes follows the same pattern of names.
const char* idx_array_name(const Str& stem) {
  for (const IdxName& known : kIdxNames) {
    if (stem == known.file) return known.array;
  }
  const bool labels = strstr(stem.c_str(), "labels") != nullptr;
  if (strstr(stem.c_str(), "idx") == nullptr) return nullptr;
  if (stem.starts_with("train-")) return labels ? "y_train" : "x_train";
  if (stem.starts_with("t10k-") || stem.starts_with("test-")) return labels ? "y_test" : "x_test";
  return nullptr;
}

Status load_npy(const char* path, const char* name, Vec<Array>* out) {
  Bytes bytes;
  GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
  Array array;
  GRADC_RT_TRY(parse_npy(bytes.data(), bytes.size(), path, &array));
  array.name = Str(name);
  out->push(static_cast<Array&&>(array));
  return {};
}

Status load_idx(const char* path, const char* name, Vec<Array>* out) {
  Bytes bytes;
  GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
  Array array;
  GRADC_RT_TRY(parse_idx(bytes, path, &array));
  array.name = Str(name);
  out->push(static_cast<Array&&>(array));
  return {};
}

Status load_directory(const char* path, Vec<Array>* out) {
  Vec<Str> names;
  GRADC_RT_TRY(list_directory(path, &names));
  for (const Str& file : names) {
    Str stem = file.ends_with(".gz") ? file.part(0, file.size() - 3) : file.clone();
    const Str full = join_path(path, file.c_str());
    if (const char* array = idx_array_name(stem)) {
      bool twice = false;  // the same file both packed and plain: the first in order is enough
      for (const Array& seen : *out)
        twice = twice || seen.name == array;
      if (!twice) GRADC_RT_TRY(load_idx(full.c_str(), array, out));
    } else if (stem.ends_with(".npy")) {
      stem = stem.part(0, stem.size() - 4);
      GRADC_RT_TRY(load_npy(full.c_str(), stem.c_str(), out));
    }
  }
  if (out->empty()) {
    return error(
        "%s: the directory has no data: IDX files (train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-..., .gz or not) or .npy files were expected",
        path);
  }
  return {};
}

bool has_suffix(const Str& path, const char* suffix) {
  return path.ends_with(suffix) || path.ends_with(format("%s.gz", suffix).c_str());
}

// Splits "file.csv:target=x" at the first colon after the extension.
size_t option_start(const Str& spec) {
  for (const char* extension : {".csv:", ".txt:", ".csv.gz:", ".txt.gz:"}) {
    const char* found = strstr(spec.c_str(), extension);
    if (found != nullptr) {
      return static_cast<size_t>(found - spec.c_str()) + strlen(extension) - 1;
    }
  }
  const char* colon = strrchr(spec.c_str(), ':');
  const bool text =
      colon != nullptr && (strcmp(colon, ":chars") == 0 || strcmp(colon, ":bytes") == 0);
  return text ? static_cast<size_t>(colon - spec.c_str()) : spec.size();
}

Status load_spec(const gradc_rt_model& model, const Str& spec, const Vec<TensorMeaning>* known,
                 Vec<Array>* arrays, Vec<TensorMeaning>* meanings) {
  const size_t colon = option_start(spec);
  const Str path = spec.part(0, colon);
  const Str options = colon < spec.size() ? spec.part(colon + 1, spec.size() - colon - 1) : Str();
  if (has_suffix(path, ".csv")) {
    return load_csv(model, path.c_str(), options.c_str(), known, arrays, meanings);
  }
  if (options == "chars" || options == "bytes") {
    return load_text(model, path.c_str(), options == "chars", known, arrays, meanings);
  }
  if (has_suffix(path, ".txt")) {
    return error("%s: a text file needs its unit: %s:chars or %s:bytes", path.c_str(), path.c_str(),
                 path.c_str());
  }
  return load_arrays_of(spec.c_str(), arrays);
}

Array* find_array(Vec<Array>& arrays, const Str& name) {
  for (Array& array : arrays) {
    if (array.name == name) return &array;
  }
  return nullptr;
}

int64_t count_kind(const gradc_rt_model& model, int64_t kind) {
  int64_t count = 0;
  for (int64_t i = 0; i < model.num_tensors; ++i)
    count += model.tensors[i].kind == kind ? 1 : 0;
  return count;
}

struct PartNames {
  const char* part;   // "train"
  const char* other;  // a second spelling: "valid"
  bool plain;         // the tensor's own name means this part
};

constexpr PartNames kTrain{"train", "training", true};
constexpr PartNames kValidation{"val", "valid", false};
constexpr PartNames kTest{"test", "testing", false};

// The names under which a tensor's array may appear for a part, most specific first.
Vec<Str> candidates(const gradc_rt_model& model, const gradc_rt_tensor& tensor,
                    const PartNames& part) {
  Vec<Str> names;
  const char* own = short_name(tensor);
  for (const char* suffix : {part.part, part.other}) {
    names.push(format("%s_%s", own, suffix));
    names.push(format("%s_%s", suffix, own));
    names.push(format("%s/%s", suffix, own));
  }
  if (part.plain) {
    names.push(Str(tensor.name));
    names.push(Str(own));
  }
  if (count_kind(model, tensor.kind) == 1) {
    const char letter = tensor.kind == GRADC_RT_INPUT ? 'x' : 'y';
    for (const char* suffix : {part.part, part.other})
      names.push(format("%c_%s", letter, suffix));
    if (part.plain) names.push(format("%c", letter));
  }
  return names;
}

Str names_of(const Vec<Array>& arrays) {
  Str text;
  for (const Array& array : arrays)
    text.appendf("%s\"%s\"", text.empty() ? "" : ", ", array.name.c_str());
  return text;
}

Status check_rows(const gradc_rt_model& model, DataPart* part) {
  const Array* first = nullptr;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const Array& array = part->arrays[static_cast<size_t>(i)];
    if (!is_fed(model.tensors[i]) || array.source.empty()) continue;
    if (array.dims.empty()) {
      return error("%s: is a scalar, an array with one row per example was expected",
                   array.source.c_str());
    }
    if (first == nullptr) {
      first = &array;
      part->rows = array.rows();
    } else if (array.rows() != part->rows) {
      return error("%s: has %lld examples, %s has %lld", array.source.c_str(),
                   static_cast<long long>(array.rows()), first->source.c_str(),
                   static_cast<long long>(part->rows));
    }
  }
  if (part->rows == 0) return error("%s: has no examples", first->source.c_str());
  return {};
}

// Finds a part's arrays. Absent altogether is fine; an input without the others is not.
Status assign_part(const gradc_rt_model& model, Vec<Array>& arrays, const PartNames& names,
                   TargetNeed need, const char* where, DataPart* part) {
  part->arrays = Vec<Array>(static_cast<size_t>(model.num_tensors));
  int64_t inputs = 0;
  Status missing;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (!is_fed(tensor)) continue;
    const Vec<Str> wanted = candidates(model, tensor, names);
    Array* found = nullptr;
    for (const Str& name : wanted)
      found = found != nullptr ? found : find_array(arrays, name);
    if (found != nullptr) {
      Str name = found->name.clone();  // stays behind for messages, the data moves
      part->arrays[static_cast<size_t>(i)] = static_cast<Array&&>(*found);
      found->name = static_cast<Str&&>(name);
      inputs += tensor.kind == GRADC_RT_INPUT ? 1 : 0;
    } else if (tensor.kind == GRADC_RT_INPUT || need == TargetNeed::kRequired) {
      add_problem(
          missing, "%s: no array for %s %s: one named \"%s\"%s%s%s was expected, found: %s", where,
          tensor.name, tensor_type_text(tensor).c_str(),
          names.plain ? short_name(tensor) : wanted[0].c_str(),
          count_kind(model, tensor.kind) == 1 ? " or \"" : "",
          count_kind(model, tensor.kind) == 1
              ? format("%c_%s", tensor.kind == GRADC_RT_INPUT ? 'x' : 'y', names.part).c_str()
              : "",
          count_kind(model, tensor.kind) == 1 ? "\"" : "", names_of(arrays).c_str());
    }
  }
  if (inputs == 0 && !names.plain) return {};
  if (!missing.ok()) return missing;
  part->present = true;
  return check_rows(model, part);
}

Status load_named(const Vec<NamedFile>& files, const char* prefix, Vec<Array>* arrays) {
  for (const NamedFile& file : files) {
    Vec<Array> loaded;
    GRADC_RT_TRY(load_arrays_of(file.path.c_str(), &loaded));
    if (loaded.size() != 1) {
      return error("%s: holds %zu arrays, one was expected for \"%s\"", file.path.c_str(),
                   loaded.size(), file.name.c_str());
    }
    loaded[0].name = format("%s%s", prefix, file.name.c_str());
    arrays->push(static_cast<Array&&>(loaded[0]));
  }
  return {};
}

Status check_file_names(const gradc_rt_model& model, const Vec<NamedFile>& files, int64_t kind,
                        const char* what) {
  for (const NamedFile& file : files) {
    bool known = false;
    Str names;
    for (int64_t i = 0; i < model.num_tensors; ++i) {
      if (model.tensors[i].kind != kind) continue;
      known = known || file.name == short_name(model.tensors[i]);
      names.appendf("%s\"%s\"", names.empty() ? "" : ", ", short_name(model.tensors[i]));
    }
    if (!known) {
      return error("--%s %s=%s: the model has no such %s, it has %s", what, file.name.c_str(),
                   file.path.c_str(), what, names.empty() ? "none" : names.c_str());
    }
  }
  return {};
}

}  // namespace

Status parse_named_file(const char* text, const char* option, NamedFile* out) {
  const char* equals = strchr(text, '=');
  if (equals == nullptr || equals == text || equals[1] == '\0') {
    return usage_error("%s \"%s\": expected NAME=FILE", option, text);
  }
  out->name = Str(text, static_cast<size_t>(equals - text));
  out->path = Str(equals + 1);
  return {};
}

Status load_arrays_of(const char* path, Vec<Array>* out) {
  if (is_directory(path)) return load_directory(path, out);
  const Str name(path);
  if (has_suffix(name, ".npy")) return load_npy(path, "x", out);
  if (has_suffix(name, ".npz") || has_suffix(name, ".safetensors")) {
    Bytes bytes;
    GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
    if (has_suffix(name, ".npz")) return parse_npz(bytes, path, out);
    SafetensorsFile file;
    GRADC_RT_TRY(parse_safetensors(bytes, path, &file));
    *out = static_cast<Vec<Array>&&>(file.arrays);
    return {};
  }
  if (strstr(base_name(path).c_str(), "idx") != nullptr) return load_idx(path, "x", out);
  if (!file_exists(path)) return error("%s: no such file or directory", path);
  return error(
      "%s: unknown kind of data: expected a directory, .npy, .npz, .safetensors, .csv, .txt "
      "or an IDX file",
      path);
}

Status load_dataset(const gradc_rt_model& model, const DataSource& source, TargetNeed need,
                    DataSet* out, const Vec<TensorMeaning>* known) {
  GRADC_RT_TRY(check_file_names(model, source.inputs, GRADC_RT_INPUT, "input"));
  GRADC_RT_TRY(check_file_names(model, source.targets, GRADC_RT_TARGET, "target"));
  out->meanings = Vec<TensorMeaning>(static_cast<size_t>(model.num_tensors));
  Vec<Array> arrays;
  GRADC_RT_TRY(load_named(source.inputs, "input/", &arrays));
  GRADC_RT_TRY(load_named(source.targets, "target/", &arrays));
  if (!source.spec.empty()) {
    GRADC_RT_TRY(load_spec(model, source.spec, known, &arrays, &out->meanings));
  }
  // One array and one input need no name to meet (predict).
  if (need == TargetNeed::kOptional && arrays.size() == 1 &&
      count_kind(model, GRADC_RT_INPUT) == 1) {
    arrays[0].name = Str("x");
  }
  const char* where = source.spec.empty() ? "--input/--target" : source.spec.c_str();
  GRADC_RT_TRY(assign_part(model, arrays, kValidation, need, where, &out->validation));
  GRADC_RT_TRY(assign_part(model, arrays, kTest, need, where, &out->test));
  Status train = assign_part(model, arrays, kTrain, need, where, &out->train);
  // A file with only a test part is fine for evaluation; the training command asks for `train`
  // itself.
  if (!train.ok() && !out->test.present) return train;
  return {};
}

}  // namespace gradc::rt
