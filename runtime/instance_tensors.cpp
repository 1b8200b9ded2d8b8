// The tensors of an instance: by name and kind, bound to a caller's memory, with initial values.
#include "runtime/initializers.h"
#include "runtime/instance.h"

#include <cstring>

namespace gradc::rt {

void Instance::reset_carried() {
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (tensor(i).kind == GRADC_RT_CARRIED)
      memset(data(i), 0, static_cast<size_t>(tensor(i).bytes));
  }
}

namespace {

struct InitializeCall {
  Instance* instance;
  uint64_t seed;
  Status status[ThreadPool::kMaxThreads];
};

bool has_initial_value(const gradc_rt_tensor& tensor) {
  return tensor.kind == GRADC_RT_PARAMETER || tensor.kind == GRADC_RT_STATE ||
         tensor.kind == GRADC_RT_OPTIMIZER_STATE || tensor.kind == GRADC_RT_CARRIED;
}

void initialize_job(void* context, const gradc_rt_thread* thread) {
  InitializeCall* call = static_cast<InitializeCall*>(context);
  Status& status = call->status[thread->index];
  for (size_t i = 0; i < call->instance->num_tensors() && status.ok(); ++i) {
    const gradc_rt_tensor& tensor = call->instance->tensor(i);
    if (!has_initial_value(tensor)) continue;
    status =
        initialize_part(tensor, call->seed, call->instance->data(i), thread->index, thread->count);
  }
}

}  // namespace

Status Instance::initialize(uint64_t seed) {
  set_seed(seed);
  set_meanings({});
  for (size_t i = 0; i < num_tensors(); ++i)
    statistics_[i].known = false;
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (has_initial_value(tensor(i))) memset(data(i), 0, static_cast<size_t>(tensor(i).bytes));
  }
  InitializeCall call{this, seed, {}};
  pool_.run(initialize_job, &call);
  for (Status& status : call.status) {
    if (!status.ok()) return static_cast<Status&&>(status);
  }
  return {};
}

void Instance::set_seed(uint64_t seed) {
  seed_ = seed;
  const int64_t index = nth(GRADC_RT_SEED, 0);
  if (index >= 0) memcpy(data(static_cast<size_t>(index)), &seed, sizeof seed);
}

int64_t Instance::find(const char* name) const {
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (strcmp(tensor(i).name, name) == 0) return static_cast<int64_t>(i);
  }
  return -1;
}

int64_t Instance::nth(gradc_rt_tensor_kind kind, int64_t n) const {
  for (size_t i = 0; i < num_tensors(); ++i) {
    if (tensor(i).kind == kind && n-- == 0) return static_cast<int64_t>(i);
  }
  return -1;
}

int64_t Instance::count_of(gradc_rt_tensor_kind kind) const {
  int64_t count = 0;
  for (size_t i = 0; i < num_tensors(); ++i)
    count += tensor(i).kind == kind ? 1 : 0;
  return count;
}

void Instance::bind(size_t index, void* memory) {
  const int64_t slot = tensor(index).slot;
  void* const place = memory != nullptr ? memory : own_slots_[slot];
  if (slots_[slot] == place) return;
  slots_[slot] = place;
  ++places_;
}

double Instance::scalar(size_t index) const {
  return load_f64(data(index), static_cast<Dtype>(tensor(index).dtype), 0);
}

int64_t Instance::iteration() const {
  const int64_t index = find("optimizer/iteration");
  if (index < 0) return 0;
  const size_t i = static_cast<size_t>(index);
  return load_i64(data(i), static_cast<Dtype>(tensor(i).dtype), 0);
}

}  // namespace gradc::rt
