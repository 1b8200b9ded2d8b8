#include "runtime/class_counts.h"

#include "runtime/number.h"
#include "runtime/text.h"
#include "runtime/weights.h"

#include <algorithm>
#include <cmath>

namespace gradc::rt {

Vec<double> count_classes(const gradc_rt_tensor& target, const ClassRows& rows) {
  const gradc_rt_data& data = *target.data;
  const size_t classes = static_cast<size_t>(data.classes);
  const size_t elements = rows.array->row_elements();
  size_t expected = 1;
  for (int64_t d = 1; d < target.rank; ++d)
    expected *= static_cast<size_t>(target.dims[d]);
  const bool spread = data.one_hot_depth > 0 && elements == expected;
  const size_t width = spread ? classes : 1;
  Vec<double> counts(classes);
  const size_t first = rows.first * rows.array->step();
  for (size_t i = first; i < first + rows.array->stored(rows.count); i += width) {
    double best = load_f64(rows.array->bytes(), rows.array->dtype, i);
    if (data.has_ignored != 0 && best == static_cast<double>(data.ignored)) continue;
    size_t chosen = spread ? 0 : static_cast<size_t>(std::max(0.0, std::round(best)));
    for (size_t k = 1; k < width; ++k) {
      const double value = load_f64(rows.array->bytes(), rows.array->dtype, i + k);
      if (value > best) chosen = k;
      best = std::max(best, value);
    }
    if (chosen < classes) counts[chosen] += 1;
  }
  return counts;
}

namespace {

Str class_name(const TensorMeaning& meaning, size_t number) {
  return number < meaning.classes.size() ? shown(meaning.classes[number]) : format("%zu", number);
}

Vec<double> balanced(const Vec<double>& counts) {
  double total = 0;
  double present = 0;
  for (const double count : counts) {
    total += count;
    present += count > 0 ? 1 : 0;
  }
  Vec<double> weights(counts.size());
  for (size_t c = 0; c < counts.size(); ++c)
    weights[c] = counts[c] > 0 ? total / (present * counts[c]) : 1;
  return weights;
}

// By name; a number where no class has it for a name.
Status given(const gradc_rt_tensor& target, const TensorMeaning& meaning, Vec<double>* weights) {
  const gradc_rt_data& data = *target.data;
  Status problems;
  for (double& weight : *weights)
    weight = 1;
  for (int64_t i = 0; i < data.num_class_weights; ++i) {
    const gradc_rt_class_weight& one = data.class_weights[i];
    size_t c = 0;
    while (c < meaning.classes.size() && !(meaning.classes[c] == one.name))
      ++c;
    int64_t number = -1;
    if (c == meaning.classes.size()) {
      const bool known = parse_integer(one.name, &number) && number >= 0 && number < data.classes;
      c = known ? static_cast<size_t>(number) : weights->size();
    }
    if (c < weights->size()) {
      (*weights)[c] = one.weight;
    } else {
      add_problem(
          problems, "class \"%s\" of target \"%s\" has a weight, the data have %s",
          shown(Str(one.name)).c_str(), short_name(target),
          meaning.classes.empty() ? "no names of classes" : shown_list(meaning.classes).c_str());
    }
  }
  return problems;
}

}  // namespace

namespace {

// One class for each example: [batch], or a row for each.
bool is_class_of_example(const gradc_rt_tensor& target) {
  if (target.kind != GRADC_RT_TARGET || target.data == nullptr || target.data->classes < 2)
    return false;
  const bool rows = target.data->one_hot_depth > 0;
  return target.rank == (rows ? 2 : 1) || (!rows && target.rank == 2 && target.dims[1] == 1);
}

void append_count(Str& line, const TensorMeaning& meaning, const Vec<double>& counts, size_t c) {
  line.appendf("%s (%.0f)", class_name(meaning, c).c_str(), counts[c]);
}

}  // namespace

Str class_text(const gradc_rt_model& model, const DataSet& set, int64_t train_rows) {
  constexpr size_t kShown = 20;
  Str text;
  for (size_t t = 0; t < set.train.arrays.size(); ++t) {
    const gradc_rt_tensor& target = model.tensors[t];
    const Array& array = set.train.arrays[t];
    if (array.source.empty() || !is_class_of_example(target)) continue;
    const Vec<double> counts = count_classes(target, {&array, 0, static_cast<size_t>(train_rows)});
    const TensorMeaning& meaning = set.meanings[t];
    text.appendf("%sclasses of %s: ", text.empty() ? "" : "\n", short_name(target));
    if (counts.size() > kShown) {
      const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
      text.appendf("%zu, from ", counts.size());
      append_count(text, meaning, counts, static_cast<size_t>(least - counts.begin()));
      text.append(" to ");
      append_count(text, meaning, counts, static_cast<size_t>(most - counts.begin()));
      continue;
    }
    for (size_t c = 0; c < counts.size(); ++c) {
      if (c > 0) text.append(", ");
      append_count(text, meaning, counts, c);
    }
  }
  return text;
}

Status set_class_weights(Instance& instance, const DataSet& set, int64_t train_rows, Str* text) {
  Status problems;
  for (size_t t = 0; t < instance.num_tensors(); ++t) {
    const gradc_rt_tensor& target = instance.tensor(t);
    if (target.data == nullptr || target.data->weighted_by == 0) continue;
    const Array& array = set.train.arrays[t];
    Vec<double> weights(static_cast<size_t>(target.data->classes));
    if (target.data->num_class_weights > 0) {
      const Status one = given(target, set.meanings[t], &weights);
      if (!one.ok()) add_problem(problems, "%s", one.text.c_str());
    } else {
      weights = balanced(count_classes(target, {&array, 0, static_cast<size_t>(train_rows)}));
      text->appendf("%sclass weights of %s:", text->empty() ? "" : "\n", short_name(target));
      constexpr size_t kShown = 20;
      for (size_t c = 0; c < std::min(weights.size(), kShown); ++c) {
        text->appendf("%s %s %.4g", c > 0 ? "," : "", class_name(set.meanings[t], c).c_str(),
                      weights[c]);
      }
      if (weights.size() > kShown) text->appendf(", and %zu more", weights.size() - kShown);
    }
    const size_t state = static_cast<size_t>(target.data->weighted_by - 1);
    for (size_t c = 0; c < weights.size(); ++c)
      store_f64(instance.data(state), Dtype::kF32, c, weights[c]);
  }
  return problems;
}

}  // namespace gradc::rt
