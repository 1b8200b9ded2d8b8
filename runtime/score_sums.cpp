// Loss and metrics of many batches, each weighing as much as what counts in it.
#include "runtime/metric_formulas.h"
#include "runtime/train_loop.h"

namespace gradc::rt {

namespace {

constexpr size_t kMostParts = 4;

size_t elements_of(const gradc_rt_tensor& part) {
  return static_cast<size_t>(part.bytes) / sizeof(float);
}

bool is_part(const Instance& instance, size_t index) {
  return index < instance.num_tensors() && instance.tensor(index).kind == GRADC_RT_METRIC_PART;
}

// What a score of the last batch is a mean of.
double weight_of(const Instance& instance, const gradc_rt_tensor& score, int64_t examples) {
  if (score.counted_by == 0) return static_cast<double>(examples);
  const int64_t count = instance.nth(GRADC_RT_COUNT, score.counted_by - 1);
  return instance.scalar(static_cast<size_t>(count));
}

}  // namespace

void ScoreSums::begin(const Instance& instance) {
  size_t count = 0;
  for (size_t i = 0; i < instance.num_tensors(); ++i)
    count += is_part(instance, i) ? elements_of(instance.tensor(i)) : 0;
  loss = {};
  for (WeightedSum& one : metric)
    one = {};
  parts.resize(count);
  for (double& part : parts)
    part = 0;
}

void ScoreSums::add(const Instance& instance, int64_t examples_of_batch) {
  double rest = 0;
  int64_t next = 0;
  size_t at = 0;
  double weight = 0;  // of the metric before
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (tensor.kind == GRADC_RT_METRIC_PART) {
      const float* values = static_cast<const float*>(instance.data(i));
      for (size_t k = 0; k < elements_of(tensor); ++k)
        parts[at++] += static_cast<double>(values[k]) * weight;
    }
    if (tensor.kind != GRADC_RT_METRIC || next >= kMaxMetrics) continue;
    weight = weight_of(instance, tensor, examples_of_batch);
    const double value = instance.scalar(i);
    metric[next++].add(value, weight);
    if (tensor.share != 0) rest -= tensor.share * value;  // others may be infinite
  }
  const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_LOSS, 0));
  rest += instance.scalar(index);
  loss.add(rest, weight_of(instance, instance.tensor(index), examples_of_batch));
}

Scores ScoreSums::mean(const Instance& instance) const {
  Scores scores;
  scores.metric_count = instance.count_of(GRADC_RT_METRIC);
  if (scores.metric_count > kMaxMetrics) scores.metric_count = kMaxMetrics;
  scores.loss = mean_loss(instance);
  size_t at = 0;
  for (int64_t m = 0; m < scores.metric_count; ++m) {
    const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_METRIC, m));
    const gradc_rt_tensor& tensor = instance.tensor(index);
    MetricPart list[kMostParts];
    size_t count = 0;
    while (!parts.empty() && count < kMostParts && is_part(instance, index + 1 + count)) {
      list[count] = {parts.begin() + at, elements_of(instance.tensor(index + 1 + count))};
      at += list[count++].size;
    }
    const bool follows = tensor.formula != GRADC_RT_FORMULA_MEAN && count > 0;
    scores.metric[m] = !follows ? metric[m].mean()
                       : metric[m].weight > 0
                           ? metric_of(tensor.formula, metric[m].weight, {list, count})
                           : 0;
  }
  return scores;
}

double ScoreSums::mean_loss(const Instance& instance) const {
  double total = loss.mean();
  int64_t next = 0;
  for (size_t i = 0; i < instance.num_tensors() && next < kMaxMetrics; ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (tensor.kind != GRADC_RT_METRIC) continue;
    const double mean = metric[next++].mean();
    if (tensor.share != 0) total += tensor.share * mean;
  }
  return total;
}

}  // namespace gradc::rt
