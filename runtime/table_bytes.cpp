#include "runtime/table_bytes.h"

#include <cstring>

namespace gradc::rt {
namespace {

int64_t text_bytes(const char* text) {
  return text == nullptr ? 0 : static_cast<int64_t>(strlen(text)) + 1;
}

template <class Row>
int64_t rows(int64_t count) {
  return count * static_cast<int64_t>(sizeof(Row));
}

int64_t rule_bytes(const gradc_rt_data& rule) {
  const int64_t numbers = rule.standardize == GRADC_RT_STANDARDIZE_GIVEN ? 2 * rule.stat_count : 0;
  int64_t bytes =
      rows<gradc_rt_data>(1) + rows<double>(numbers) + rows<int64_t>(2 * rule.num_ranges);
  for (int64_t i = 0; i < rule.num_columns; ++i) {
    bytes += rows<gradc_rt_column>(1) + text_bytes(rule.columns[i].name);
    bytes += text_bytes(rule.columns[i].fill_text) + text_bytes(rule.columns[i].date_format);
  }
  return bytes;
}

int64_t tensor_bytes(const gradc_rt_tensor& tensor) {
  int64_t bytes = rows<gradc_rt_tensor>(1) + text_bytes(tensor.name);
  if (tensor.initializer != nullptr) {
    bytes += rows<gradc_rt_initializer>(1);
    if (tensor.initializer->kind == GRADC_RT_INIT_DATA) bytes += tensor.bytes;
  }
  if (tensor.data != nullptr) bytes += rule_bytes(*tensor.data);
  return bytes;
}

int64_t entry_bytes(const gradc_rt_entry& entry) {
  int64_t bytes = rows<gradc_rt_entry>(1) + text_bytes(entry.name);
  if (entry.steps == nullptr) return bytes;
  bytes += rows<gradc_rt_step>(entry.num_steps) + rows<gradc_rt_argument>(entry.num_arguments);
  for (int64_t i = 0; i < entry.num_steps; ++i)
    bytes += rows<gradc_rt_stride>(entry.steps[i].num_strides);
  return bytes;
}

}  // namespace

int64_t table_bytes(const gradc_rt_model& model) {
  int64_t bytes = rows<gradc_rt_model>(1) + text_bytes(model.name);
  for (int64_t i = 0; i < model.num_tensors; ++i)
    bytes += tensor_bytes(model.tensors[i]);
  for (int64_t i = 0; i < GRADC_RT_ENTRY_COUNT; ++i)
    bytes += entry_bytes(model.entries[i]);
  for (int64_t i = 0; i < model.num_facts; ++i) {
    bytes += rows<gradc_rt_fact>(1) + text_bytes(model.facts[i].name);
    bytes += text_bytes(model.facts[i].value);
  }
  for (int64_t i = 0; i < model.num_hyperparameters; ++i)
    bytes += rows<gradc_rt_hyperparameter>(1) + text_bytes(model.hyperparameters[i].name);
  return bytes + rows<gradc_rt_number>(model.num_numbers);
}

}  // namespace gradc::rt
