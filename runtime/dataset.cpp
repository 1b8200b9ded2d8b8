// From array names to the model's inputs and targets, part by part.
#include "runtime/dataset.h"

#include "runtime/sorted_names.h"
#include "runtime/text.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {
namespace {

int64_t count_kind(const gradc_rt_model& model, int64_t kind) {
  int64_t count = 0;
  for (int64_t i = 0; i < model.num_tensors; ++i)
    count += model.tensors[i].kind == kind && !is_sample_weight(model.tensors[i]) ? 1 : 0;
  return count;
}

// What an array is called by that is the only one of its kind; 0: there are several.
char letter_of(const gradc_rt_model& model, const gradc_rt_tensor& tensor) {
  if (is_sample_weight(tensor)) return 'w';
  if (count_kind(model, tensor.kind) != 1) return '\0';
  return tensor.kind == GRADC_RT_INPUT ? 'x' : 'y';
}

struct PartNames {
  const char* part;   // "train"
  const char* other;  // a second spelling: "valid"
  const char* text;   // in messages
  bool plain;         // the tensor's own name means this part
};

constexpr PartNames kTrain{"train", "training", "training", true};
constexpr PartNames kValidation{"val", "valid", "validation", false};
constexpr PartNames kTest{"test", "testing", "test", false};

// The names under which a tensor's array may appear for a part, most specific first.
Vec<Str> candidates(const gradc_rt_model& model, const gradc_rt_tensor& tensor,
                    const PartNames& part) {
  Vec<Str> names;
  const char* own = short_name(tensor);
  if (part.plain) names.push(Str(tensor.name));  // "input/x": what --input and --target name
  for (const char* suffix : {part.part, part.other}) {
    if (!part.plain) names.push(format("%s_%s", tensor.name, suffix));  // of the rows of a table
    names.push(format("%s_%s", own, suffix));
    names.push(format("%s_%s", suffix, own));
    names.push(format("%s/%s", suffix, own));
  }
  if (part.plain) names.push(Str(own));
  if (const char letter = letter_of(model, tensor); letter != '\0') {
    for (const char* suffix : {part.part, part.other})
      names.push(format("%c_%s", letter, suffix));
    if (part.plain) names.push(format("%c", letter));
  }
  return names;
}

// What a file holds, for messages.
Str found_text(const Vec<Array>& arrays, const ArrayChoice& choice) {
  Vec<Str> names;
  for (const Array& array : arrays)
    names.push(array.name.clone());
  for (const Str& name : choice.skipped)
    names.push(name.clone());
  return names.empty() ? Str("nothing") : shown_list(names);
}

// The arrays of a file and what is said of them.
struct Supply {
  Vec<Array>& arrays;
  const char* where;
  Str found;
};

Status missing_array(const gradc_rt_model& model, const gradc_rt_tensor& tensor,
                     const PartNames& part, const Supply& supply) {
  const Vec<Str> wanted = candidates(model, tensor, part);
  const char letter = letter_of(model, tensor);
  const Str other = letter != '\0' ? format(" or \"%c_%s\"", letter, part.part) : Str();
  const bool table =
      strstr(supply.where, ".csv") != nullptr || strstr(supply.where, ".tsv") != nullptr;
  const bool column = tensor.kind == GRADC_RT_TARGET && table;
  return error("%s: no array for %s %s: one named \"%s\"%s was expected%s, found: %s", supply.where,
               tensor.name, tensor_type_text(tensor).c_str(),
               part.plain ? short_name(tensor) : wanted[1].c_str(), other.c_str(),
               column ? " (:target=COLUMN names a column)" : "", supply.found.c_str());
}

// Every array needs rows, some of them, and as many as the first.
void check_rows(const gradc_rt_model& model, DataPart* part, Status& problems) {
  const Array* first = nullptr;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const Array& array = part->arrays[static_cast<size_t>(i)];
    if (!is_fed(model.tensors[i]) || array.source.empty()) continue;
    part->draws = std::max(part->draws, array.draws);
    if (array.draws > 0)  // the input's windows are the widest
      part->apart = std::max(part->apart, static_cast<int64_t>(array.row_elements()));
    if (array.dims.empty()) {
      add_problem(problems, "%s: is a scalar, an array with one row per example was expected",
                  array.source.c_str());
    } else if (first == nullptr) {
      first = &array;
      part->rows = array.rows();
      if (part->rows == 0) add_problem(problems, "%s: has no examples", array.source.c_str());
    } else if (array.rows() != part->rows) {
      add_problem(problems, "%s: has %lld examples, %s has %lld", array.source.c_str(),
                  static_cast<long long>(array.rows()), first->source.c_str(),
                  static_cast<long long>(part->rows));
    }
  }
}

// Examples that come without weights weigh 1.
void give_ones(const gradc_rt_model& model, DataPart* part) {
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    if (!is_sample_weight(model.tensors[i])) continue;
    Array& array = part->arrays[static_cast<size_t>(i)];
    array.source = Str("weights of 1");
    array.dtype = Dtype::kU8;
    array.dims.push(part->rows);
    array.data.resize(static_cast<size_t>(part->rows));
    for (uint8_t& one : array.data)
      one = 1;
  }
}

// Finds a part's arrays. A part may be absent, all of it; whatever else is not whole is a problem.
void assign_part(const gradc_rt_model& model, const Supply& supply, const PartNames& names,
                 TargetNeed need, DataPart* part, Status& problems) {
  part->arrays = Vec<Array>(static_cast<size_t>(model.num_tensors));
  Status missing;
  Str present;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    if (!is_fed(tensor)) continue;
    Array* found = nullptr;
    for (const Str& name : candidates(model, tensor, names)) {
      for (Array& array : supply.arrays)
        if (found == nullptr && array.name == name) found = &array;
    }
    if (found != nullptr) {
      present.appendf("%s\"%s\"", present.empty() ? "" : ", ", shown(found->name).c_str());
      part->arrays[static_cast<size_t>(i)] = static_cast<Array&&>(*found);
      found->name = Str();  // taken
    } else if (is_sample_weight(tensor)) {
      part->unweighted = true;
    } else if (tensor.kind == GRADC_RT_INPUT || need == TargetNeed::kRequired) {
      add_problem(missing, "%s", missing_array(model, tensor, names, supply).text.c_str());
    }
  }
  if (present.empty()) return;
  if (!missing.ok()) {
    add_problem(problems, "%s: the %s part is not whole, it has %s only", supply.where, names.text,
                present.c_str());
    add_problem(problems, "%s", missing.text.c_str());
  }
  check_rows(model, part, problems);
  if (part->unweighted && need == TargetNeed::kRequired) give_ones(model, part);
  part->present = true;
}

void load_named(const Vec<NamedFile>& files, const char* prefix, Vec<Array>* arrays,
                Status& problems) {
  for (const NamedFile& file : files) {
    Vec<Array> loaded;
    const Status one = load_arrays_of(file.path.c_str(), &loaded);
    if (!one.ok()) {
      add_problem(problems, "%s", one.text.c_str());
    } else if (loaded.size() != 1) {
      add_problem(problems, "%s: holds %zu arrays, one was expected for \"%s\"", file.path.c_str(),
                  loaded.size(), file.name.c_str());
    } else {
      loaded[0].name = format("%s%s", prefix, file.name.c_str());
      arrays->push(static_cast<Array&&>(loaded[0]));
    }
  }
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
    for (const NamedFile& other : files) {
      if (&other == &file || !(other.name == file.name)) continue;
      return error("--%s %s is given twice: %s and %s", what, file.name.c_str(), file.path.c_str(),
                   other.path.c_str());
    }
  }
  return {};
}

// The names that any input or target may have in any part, in byte order.
Vec<Str> wanted_names(const gradc_rt_model& model) {
  Vec<Str> names;
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    if (!is_fed(model.tensors[i])) continue;
    for (const PartNames* part : {&kTrain, &kValidation, &kTest}) {
      for (Str& name : candidates(model, model.tensors[i], *part))
        names.push(static_cast<Str&&>(name));
    }
  }
  sort_names(&names);
  return names;
}

bool is_wanted(const void* context, const Str& name) {
  const Vec<Str>& names = *static_cast<const Vec<Str>*>(context);
  return std::binary_search(names.begin(), names.end(), name);
}

// The SPEC's arrays that the model has a use for; one array of any name is a single input.
Status load_wanted(const Loading& loading, const DataSource& source, TargetNeed need,
                   ArrayChoice* choice) {
  const gradc_rt_model& model = loading.model;
  Vec<Array>* arrays = loading.arrays;
  const Vec<Str> names = wanted_names(model);
  *choice = {is_wanted, &names, {}};
  const size_t before = arrays->size();
  GRADC_RT_TRY(load_spec(loading, source.spec, choice));
  choice->wants = nullptr;  // the names live here
  const bool single = need == TargetNeed::kOptional && count_kind(model, GRADC_RT_INPUT) == 1 &&
                      source.inputs.empty();
  if (!single || arrays->size() + choice->skipped.size() != before + 1) return {};
  if (arrays->size() == before) {
    GRADC_RT_TRY(load_spec(loading, source.spec, nullptr));
  }
  arrays->back().name = Str("x");
  return {};
}

void check_twice(const Vec<Array>& arrays, const char* where, Status& problems) {
  Vec<const Str*> names;
  for (const Array& array : arrays)
    names.push(&array.name);
  sort_names(&names);
  for (size_t i = 1; i < names.size(); ++i) {
    if (*names[i - 1] == *names[i])
      add_problem(problems, "%s: there are two arrays \"%s\"", where, shown(*names[i]).c_str());
  }
}

}  // namespace

int64_t DataPart::rows_before(int64_t end) const {
  int64_t count = end;
  for (const Array& array : arrays) {
    if (array.row_step == 0) continue;
    const size_t reach = (array.row_elements() + array.row_step - 1) / array.row_step;
    count = std::min(count, end - static_cast<int64_t>(reach) + 1);
  }
  return std::max<int64_t>(count, 0);
}

size_t Loading::training_rows(size_t rows, bool has_validation) const {
  const double fraction = held_out >= 0    ? held_out
                          : has_validation ? 0
                                           : model.training.validation_split;
  return static_cast<size_t>(std::floor(static_cast<double>(rows) * (1.0 - fraction)));
}

Status parse_named_file(const char* text, const char* option, NamedFile* out) {
  const char* equals = strchr(text, '=');
  if (equals == nullptr || equals == text || equals[1] == '\0') {
    return usage_error("%s \"%s\": expected NAME=FILE", option, text);
  }
  out->name = Str(text, static_cast<size_t>(equals - text));
  out->path = Str(equals + 1);
  return {};
}

Status load_dataset(const gradc_rt_model& model, const DataSource& source, TargetNeed need,
                    DataSet* out, const Vec<TensorMeaning>* known, double held_out) {
  GRADC_RT_TRY(check_file_names(model, source.inputs, GRADC_RT_INPUT, "input"));
  GRADC_RT_TRY(check_file_names(model, source.targets, GRADC_RT_TARGET, "target"));
  out->meanings = Vec<TensorMeaning>(static_cast<size_t>(model.num_tensors));
  Vec<Array> arrays;
  for (const Array& array : source.lent)
    arrays.push(array.clone());
  out->train.given = out->validation.given = source.given;
  ArrayChoice choice;
  Status problems;
  load_named(source.inputs, "input/", &arrays, problems);
  load_named(source.targets, "target/", &arrays, problems);
  if (!source.spec.empty()) {
    const Loading loading{model,   known,          held_out,      need == TargetNeed::kOptional,
                          &arrays, &out->meanings, &out->unknown, source.files};
    const Status one = load_wanted(loading, source, need, &choice);
    if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
  }
  const char* where = source.spec.empty() ? "--input/--target" : source.spec.c_str();
  check_twice(arrays, where, problems);
  if (!problems.ok()) return problems;
  const Supply supply{arrays, where, found_text(arrays, choice)};
  assign_part(model, supply, kValidation, need, &out->validation, problems);
  assign_part(model, supply, kTest, need, &out->test, problems);
  assign_part(model, supply, kTrain, need, &out->train, problems);
  if (!problems.ok() || out->train.present || out->test.present) return problems;
  if (out->validation.present) {
    return error("%s: has a validation part only, found: %s", where, supply.found.c_str());
  }
  for (int64_t i = 0; i < model.num_tensors; ++i) {
    const gradc_rt_tensor& tensor = model.tensors[i];
    const bool needed = tensor.kind == GRADC_RT_INPUT ||
                        (tensor.kind == GRADC_RT_TARGET && need == TargetNeed::kRequired);
    if (needed) {
      add_problem(problems, "%s", missing_array(model, tensor, kTrain, supply).text.c_str());
    }
  }
  return problems;
}

}  // namespace gradc::rt
