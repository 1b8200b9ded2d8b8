#include "runtime/token_steps.h"

namespace gradc::rt {

void set_token(Instance& instance, size_t tensor, size_t place, int32_t token) {
  const gradc_rt_tensor& input = instance.tensor(tensor);
  const Dtype dtype = static_cast<Dtype>(input.dtype);
  void* data = instance.data(tensor);
  if (input.rank < 3) return store_i64(data, dtype, place, token);
  const auto width = static_cast<size_t>(input.dims[2]);
  for (size_t i = 0; i < width; ++i)
    store_f64(data, dtype, place * width + i, static_cast<size_t>(token) == i ? 1 : 0);
}

bool TokenSteps::possible(const Instance& instance) {
  const auto input = instance.find("step/input");
  return input >= 0 && instance.tensor(static_cast<size_t>(input)).kind == GRADC_RT_STEP &&
         instance.has_entry(GRADC_RT_STEP_ENTRY);
}

Status TokenSteps::prepare(Instance& instance, size_t window) {
  GRADC_RT_TRY(instance.prepare(GRADC_RT_STEP_ENTRY));
  input_ = instance.find("step/input");
  output_ = instance.find("step/output");
  position_ = instance.find("step/position");
  window_ = window;
  taken_ = 0;
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    if (instance.tensor(i).kind == GRADC_RT_STEP)
      memset(instance.data(i), 0, static_cast<size_t>(instance.tensor(i).bytes));
  }
  return {};
}

void TokenSteps::take(Instance& instance, int32_t token) {
  set_token(instance, static_cast<size_t>(input_), 0, token);
  if (position_ >= 0) {
    const auto position = static_cast<size_t>(position_);
    store_i64(instance.data(position), static_cast<Dtype>(instance.tensor(position).dtype), 0,
              static_cast<int64_t>(taken_));
  }
  instance.run(GRADC_RT_STEP_ENTRY);
  ++taken_;
}

}  // namespace gradc::rt
