// From SPECs, folders and files to arrays.
#include "runtime/byte_stream.h"
#include "runtime/dataset.h"
#include "runtime/example_files.h"
#include "runtime/safetensors.h"
#include "runtime/text.h"

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

// "data_batch_1.bin" and "train.bin", "test_batch.bin" and "test.bin": CIFAR's.
const char* cifar_part(const Str& stem) {
  if (!stem.ends_with(".bin")) return nullptr;
  if (stem.starts_with("data_batch") || stem == "train.bin") return "train";
  return stem.starts_with("test_batch") || stem == "test.bin" ? "test" : nullptr;
}

// One of the files that a part is in; its arrays are called x_train and y_train.
Status load_cifar(const char* path, const char* part, Vec<Array>* out, ArrayChoice* choice) {
  const Str names[] = {format("x_%s", part), format("y_%s", part)};
  Array* arrays[2] = {};
  for (size_t i = 0; i < 2; ++i) {
    for (Array& array : *out)
      if (array.name == names[i]) arrays[i] = &array;
  }
  const bool more = strstr(base_name(path).c_str(), "data_batch") != nullptr;
  if (!more && (arrays[0] != nullptr || arrays[1] != nullptr)) {
    return error("%s: the folder has another %s part", path, part);
  }
  Array fresh[2];
  for (size_t i = 0; i < 2; ++i)
    if (arrays[i] == nullptr) arrays[i] = &fresh[i];
  GRADC_RT_TRY(append_cifar(path, arrays[0], arrays[1]));
  for (size_t i = 0; i < 2; ++i) {
    if (arrays[i] != &fresh[i]) continue;
    fresh[i].name = names[i].clone();
    if (choice == nullptr || choice->takes(names[i])) {
      out->push(static_cast<Array&&>(fresh[i]));
    } else {
      choice->skipped.push(names[i].clone());
    }
  }
  return {};
}

Status load_npy(const char* path, const char* name, Vec<Array>* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open(path));
  Array& array = out->push({});
  array.name = Str(name);
  return read_npy(stream, path, &array);
}

Status load_idx(const char* path, const char* name, Vec<Array>* out) {
  ByteStream stream;
  GRADC_RT_TRY(stream.open(path));
  Array& array = out->push({});
  array.name = Str(name);
  return read_idx(stream, path, &array);
}

// Files that nobody asks for are not opened.
Status load_directory(const char* path, Vec<Array>* out, ArrayChoice* choice) {
  Vec<Str> names;
  GRADC_RT_TRY(list_directory(path, &names));
  Status problems;
  bool any = false;
  Str last;  // of CIFAR's: the same file both packed and plain is read once
  for (const Str& file : names) {
    const Str stem = file.ends_with(".gz") ? file.part(0, file.size() - 3) : file.clone();
    const Str full = join_path(path, file.c_str());
    if (const char* part = cifar_part(stem); part != nullptr) {
      if (stem == last) continue;
      last = stem.clone();
      const Status one = load_cifar(full.c_str(), part, out, choice);
      if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
      any = true;
      continue;
    }
    const char* idx = idx_array_name(stem);
    if (idx == nullptr && !stem.ends_with(".npy")) continue;
    const Str array = idx != nullptr ? Str(idx) : stem.part(0, stem.size() - 4);
    bool twice = false;  // the same file both packed and plain: the first in order is enough
    for (const Array& seen : *out)
      twice = twice || seen.name == array;
    any = true;
    if (twice) continue;
    if (choice != nullptr && !choice->takes(array)) {
      choice->skipped.push(array.clone());
      continue;
    }
    const Status one = idx != nullptr ? load_idx(full.c_str(), array.c_str(), out)
                                      : load_npy(full.c_str(), array.c_str(), out);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  if (!any) {
    return error(
        "%s: the directory has no data: IDX files (train-images-idx3-ubyte, "
        "train-labels-idx1-ubyte, t10k-..., .gz or not), CIFAR's (data_batch_1.bin, "
        "test_batch.bin, "
        "train.bin, test.bin) or .npy files were expected (a folder of images or recordings for "
        "each class is read by the gradc command, not by compiled programs)",
        path);
  }
  return problems;
}

bool has_suffix(const Str& path, const char* suffix) {
  return path.ends_with(suffix) || path.ends_with(format("%s.gz", suffix).c_str());
}

constexpr const char* kUnits[] = {"chars", "bytes", "words", "u16", "u32", "tokens"};

// Where "chars" or "words:stride=2" begins; the SPEC's size where it does not end in a unit.
size_t unit_start(const Str& spec) {
  size_t at = spec.size();
  for (size_t colon = 0; colon < spec.size(); ++colon) {
    if (spec[colon] != ':') continue;
    const char* word = spec.c_str() + colon + 1;
    for (const char* unit : kUnits) {
      const size_t length = strlen(unit);
      const bool here =
          strncmp(word, unit, length) == 0 && (word[length] == '\0' || word[length] == ':');
      if (here) at = colon;
    }
  }
  return at;
}

// Splits "file.csv:target=x" at the first colon after the extension.
size_t option_start(const Str& spec) {
  size_t first = spec.size();
  for (const char* extension : {".csv:", ".tsv:", ".csv.gz:", ".tsv.gz:"}) {
    const char* found = strstr(spec.c_str(), extension);
    if (found == nullptr) continue;
    const size_t colon = static_cast<size_t>(found - spec.c_str()) + strlen(extension) - 1;
    if (colon < first) first = colon;
  }
  return first < spec.size() ? first : unit_start(spec);
}

// What a text without a unit is cut into: what the model's data rule says.
const char* unit_of_rule(const gradc_rt_model& model) {
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (tensor.kind != GRADC_RT_INPUT || tensor.data == nullptr) continue;
    if (tensor.data->text_split == GRADC_RT_TEXT_WORDS) return "words";
    if (tensor.data->text_split == GRADC_RT_TEXT_BYTES) return "chars";
  }
  return nullptr;
}

}  // namespace

bool is_table(const Str& path) {
  return has_suffix(path, ".csv") || has_suffix(path, ".tsv");
}

bool is_table_spec(const Str& spec, Str* path, Str* options) {
  const size_t colon = option_start(spec);
  *path = spec.part(0, colon);
  *options = colon < spec.size() ? spec.part(colon + 1, spec.size() - colon - 1) : Str();
  return is_table(*path);
}

Status load_spec(const Loading& loading, const Str& spec, ArrayChoice* choice) {
  Str path, options;
  if (is_table_spec(spec, &path, &options)) return load_csv(loading, path.c_str(), options.c_str());
  if (!options.empty()) return load_text(loading, path.c_str(), options.c_str());
  if (has_suffix(path, ".txt")) {
    const char* unit = unit_of_rule(loading.model);
    if (unit != nullptr) return load_text(loading, path.c_str(), unit);
    return error("%s: a text file needs its unit: %s:chars, %s:bytes or %s:words", path.c_str(),
                 path.c_str(), path.c_str(), path.c_str());
  }
  if (loading.files != nullptr && loading.files->reads(spec.c_str()))
    return loading.files->load(loading, spec.c_str());
  return load_arrays_of(spec.c_str(), loading.arrays, choice);
}

Status load_arrays_of(const char* path, Vec<Array>* out, ArrayChoice* choice) {
  if (is_directory(path)) return load_directory(path, out, choice);
  const Str name(path);
  if (has_suffix(name, ".npy")) return load_npy(path, "x", out);
  if (has_suffix(name, ".npz") || has_suffix(name, ".safetensors")) {
    Bytes bytes;
    GRADC_RT_TRY(read_maybe_gzip(path, &bytes));
    if (has_suffix(name, ".npz")) return parse_npz(bytes, path, out, choice);
    SafetensorsFile file;
    GRADC_RT_TRY(parse_safetensors(bytes, path, &file, choice));
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

}  // namespace gradc::rt
