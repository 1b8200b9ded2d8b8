// Loss and metrics of many batches, each weighing as much as what counts in it.
#include "runtime/train_loop.h"

namespace gradc::rt {

namespace {

// What a score of the last batch is a mean of.
double weight_of(const Instance& instance, const gradc_rt_tensor& score, int64_t examples) {
  if (score.counted_by == 0) return static_cast<double>(examples);
  const int64_t count = instance.nth(GRADC_RT_COUNT, score.counted_by - 1);
  return instance.scalar(static_cast<size_t>(count));
}

}  // namespace

void ScoreSums::add(const Instance& instance, int64_t examples_of_batch) {
  double rest = 0;
  int64_t next = 0;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (tensor.kind != GRADC_RT_METRIC || next >= kMaxMetrics) continue;
    const double weight = weight_of(instance, tensor, examples_of_batch);
    const bool parts =
        i + 2 < instance.num_tensors() && instance.tensor(i + 1).kind == GRADC_RT_METRIC_PART;
    const double value = instance.scalar(i);
    if (parts) {
      metric[next++].add_quotient(instance.scalar(i + 1), instance.scalar(i + 2), weight);
    } else {
      metric[next++].add(value, weight);
    }
    rest -= tensor.share * value;
  }
  const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_LOSS, 0));
  rest += instance.scalar(index);
  loss.add(rest, weight_of(instance, instance.tensor(index), examples_of_batch));
}

Scores ScoreSums::mean(const Instance& instance) const {
  Scores scores;
  scores.metric_count = instance.count_of(GRADC_RT_METRIC);
  if (scores.metric_count > kMaxMetrics) scores.metric_count = kMaxMetrics;
  scores.loss = loss.mean();
  for (int64_t m = 0; m < scores.metric_count; ++m) {
    const size_t index = static_cast<size_t>(instance.nth(GRADC_RT_METRIC, m));
    scores.metric[m] = metric[m].mean();
    scores.loss += instance.tensor(index).share * scores.metric[m];
  }
  return scores;
}

}  // namespace gradc::rt
