#include "runtime/known_data.h"

#include "runtime/text.h"
#include "runtime/weights.h"

namespace gradc::rt {
namespace {

const TensorMeaning* known_of(const Instance& instance, size_t index) {
  return instance.meanings() != nullptr ? &(*instance.meanings())[index] : nullptr;
}

// A target that came from a table without class names had numbers.
Status check_numbered(const Instance& instance, size_t index, const TensorMeaning& seen,
                      const DataSource& source) {
  const TensorMeaning* known = known_of(instance, index);
  if (seen.classes.empty() || known == nullptr || known->columns.empty() ||
      !known->classes.empty()) {
    return {};
  }
  return error("%s: the classes of \"%s\" are names (\"%s\"), the model was trained with numbers",
               source.spec.c_str(), short_name(instance.tensor(index)),
               shown(seen.classes[0]).c_str());
}

// Numbers of tokens follow from the data that a model was trained with: no others will do.
Status check_vocabulary(const Instance& instance, size_t index, const TensorMeaning& seen,
                        const DataSource& source, const char* weights) {
  const TensorMeaning* known = known_of(instance, index);
  if (instance.tensor(index).kind != GRADC_RT_INPUT) return {};
  const bool lacks = known == nullptr || known->tokens.empty();
  if (weights != nullptr && (known == nullptr || known->columns.empty()) &&
      (!seen.categories.empty() || !seen.fill.empty())) {
    return error("%s does not hold what the columns of \"%s\" mean: train on a table, with --out",
                 shown(weights).c_str(), short_name(instance.tensor(index)));
  }
  if (!seen.tokens.empty() && lacks && weights != nullptr) {
    return error("%s holds no vocabulary of \"%s\": the words of %s have no numbers",
                 shown(weights).c_str(), short_name(instance.tensor(index)),
                 shown(source.spec).c_str());
  }
  if (!seen.characters.empty() && !lacks) {
    return error("%s is read by characters, the model was trained with words (:words)",
                 shown(source.spec).c_str());
  }
  return {};
}

void warn_position(const Warnings& warnings, const char* weights, const char* what,
                   const char* tensor, const DataSource& source, const char* how) {
  warn(warnings, WarningKind::kByPosition, "%s does not name the %s of \"%s\": those of %s are %s",
       shown(weights).c_str(), what, shown(tensor).c_str(), shown(source.spec).c_str(), how);
}

void say_positions(const Instance& instance, size_t index, const TensorMeaning& seen,
                   const DataSource& source, const char* weights, const Warnings& warnings) {
  const TensorMeaning none;
  const TensorMeaning* told = known_of(instance, index);
  const TensorMeaning& known = told != nullptr ? *told : none;
  const gradc_rt_tensor& tensor = instance.tensor(index);
  const char* name = short_name(tensor);
  if (tensor.kind == GRADC_RT_INPUT && !seen.columns.empty() && known.columns.empty())
    warn_position(warnings, weights, "columns", name, source, "matched by position");
  if (!seen.classes.empty() && known.classes.empty())
    warn_position(warnings, weights, "classes", name, source, "numbered in sorted order");
  const bool bytes = seen.characters.size() == 256;  // their numbers are nobody's choice
  if (tensor.kind == GRADC_RT_INPUT && !seen.characters.empty() && !bytes &&
      known.characters.empty()) {
    warn_position(warnings, weights, "characters", name, source, "numbered in byte order");
  }
}

}  // namespace

Status load_known_dataset(const Instance& instance, const DataSource& source, TargetNeed need,
                          const char* weights, const Warnings* warnings, DataSet* out,
                          double held_out) {
  GRADC_RT_TRY(load_dataset(instance.model(), source, need, out, instance.meanings(), held_out));
  for (const Str& text : out->unknown)
    if (warnings != nullptr) warn(*warnings, WarningKind::kUnknownCategory, "%s", text.c_str());
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    GRADC_RT_TRY(check_numbered(instance, i, out->meanings[i], source));
    GRADC_RT_TRY(check_vocabulary(instance, i, out->meanings[i], source, weights));
    if (weights != nullptr && warnings != nullptr)
      say_positions(instance, i, out->meanings[i], source, weights, *warnings);
  }
  return {};
}

void learn_meanings(Instance& instance, Vec<TensorMeaning> meanings) {
  bool any = false;
  for (size_t i = 0; i < meanings.size(); ++i) {
    const TensorMeaning* known = known_of(instance, i);
    if (known != nullptr && meanings[i].empty()) meanings[i] = known->clone();
    any = any || !meanings[i].empty();
  }
  if (any) instance.set_meanings(static_cast<Vec<TensorMeaning>&&>(meanings));
}

}  // namespace gradc::rt
