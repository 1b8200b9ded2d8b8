// The fake model's entries and tables, and helpers shared by the runtime tests.
#include "tests/unit/runtime/fake_model.h"

#include "runtime/philox.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace gradc::rt::testing {
namespace {

enum Slot {
  kX,
  kY,
  kW,
  kB,
  kVelocity,
  kIteration,
  kPrediction,
  kLoss,
  kMae,
  kTail,
  kSeed,
  kGradW,
  kSlots
};

// Compiled into real models; here those of the FakeModel made last.
struct Constants {
  int64_t batch;
  int64_t features;
  double rate;
  bool classes;
};

Constants constants;

// Every kernel has the slots and then the arena as its arguments.
constexpr int64_t kArguments = kSlots + 1;

struct Frame {
  const float* x;
  float* w;
  float* b;
  float* error;  // [batch] in the arena
  const Constants* k;
  void* const* slots;
};

Frame open_frame(void* const* arguments) {
  return {static_cast<const float*>(arguments[kX]),
          static_cast<float*>(arguments[kW]),
          static_cast<float*>(arguments[kB]),
          static_cast<float*>(arguments[kSlots]),
          &constants,
          arguments};
}

float target_of(const Frame& f, int64_t row) {
  return f.k->classes ? static_cast<float>(static_cast<const int32_t*>(f.slots[kY])[row])
                      : static_cast<const float*>(f.slots[kY])[row];
}

float predict_row(const Frame& f, int64_t row) {
  float sum = f.b[0];
  for (int64_t j = 0; j < f.k->features; ++j)
    sum += f.x[row * f.k->features + j] * f.w[j];
  return sum;
}

float row_weight(const Frame& f, int64_t row, bool tail) {
  return tail ? static_cast<const float*>(f.slots[kTail])[row]
              : 1.0f / static_cast<float>(f.k->batch);
}

void errors(void* const* arguments, int32_t thread, int32_t threads, void*) {
  const Frame f = open_frame(arguments);
  const int64_t begin = f.k->batch * thread / threads;
  const int64_t end = f.k->batch * (thread + 1) / threads;
  for (int64_t r = begin; r < end; ++r)
    f.error[r] = predict_row(f, r) - target_of(f, r);
}

template <bool kTailRows>
void loss_and_metric(void* const* arguments, int32_t, int32_t, void*) {
  const Frame f = open_frame(arguments);
  float loss = 0;
  float mae = 0;
  for (int64_t r = 0; r < f.k->batch; ++r) {
    loss += row_weight(f, r, kTailRows) * f.error[r] * f.error[r];
    mae += row_weight(f, r, kTailRows) * std::fabs(f.error[r]);
  }
  *static_cast<float*>(f.slots[kLoss]) = loss;
  *static_cast<float*>(f.slots[kMae]) = mae;
}

float weight_gradient(const Frame& f, int64_t j, bool tail) {
  float g = 0;
  for (int64_t r = 0; r < f.k->batch; ++r)
    g += row_weight(f, r, tail) * 2.0f * f.error[r] * f.x[r * f.k->features + j];
  return g;
}

template <bool kTailRows>
void update(void* const* arguments, int32_t thread, int32_t threads, void*) {
  const Frame f = open_frame(arguments);
  const float rate = static_cast<float>(f.k->rate);
  float* velocity = static_cast<float*>(f.slots[kVelocity]);
  for (int64_t j = thread; j < f.k->features; j += threads) {
    velocity[j] = 0.9f * velocity[j] - rate * weight_gradient(f, j, kTailRows);
    f.w[j] += velocity[j];
  }
  if (thread != 0) return;
  float g = 0;
  for (int64_t r = 0; r < f.k->batch; ++r)
    g += row_weight(f, r, kTailRows) * 2.0f * f.error[r];
  f.b[0] -= rate * g;
  *static_cast<int64_t*>(f.slots[kIteration]) += 1;
}

void prediction(void* const* arguments, int32_t thread, int32_t threads, void*) {
  const Frame f = open_frame(arguments);
  for (int64_t r = thread; r < f.k->batch; r += threads)
    static_cast<float*>(f.slots[kPrediction])[r] = predict_row(f, r);
}

void gradient(void* const* arguments, int32_t thread, int32_t threads, void*) {
  const Frame f = open_frame(arguments);
  for (int64_t j = thread; j < f.k->features; j += threads)
    static_cast<float*>(f.slots[kGradW])[j] = weight_gradient(f, j, false);
}

enum Kernel { kErrors, kLossOf, kTailLossOf, kUpdate, kTailUpdate, kPredict, kGradient };
constexpr gradc_rt_kernel kKernels[] = {
    {errors, 1, 0},        {loss_and_metric<false>, 0, 0}, {loss_and_metric<true>, 0, 0},
    {update<false>, 1, 0}, {update<true>, 1, 0},           {prediction, 1, 0},
    {gradient, 1, 0}};

constexpr gradc_rt_step call_of(Kernel kernel, int64_t barriers) {
  return {GRADC_RT_CALL, barriers, kernel, 0, kArguments, 0, 0, 0, 0};
}
constexpr gradc_rt_step kFirst = call_of(kErrors, 0);

constexpr gradc_rt_step kPredictSteps[] = {call_of(kPredict, 0)};
constexpr gradc_rt_step kEvaluateSteps[] = {kFirst, call_of(kLossOf, GRADC_RT_BARRIER_BEFORE)};
constexpr gradc_rt_step kEvaluateTailSteps[] = {kFirst,
                                                call_of(kTailLossOf, GRADC_RT_BARRIER_BEFORE)};
constexpr gradc_rt_step kTrainSteps[] = {kFirst, call_of(kLossOf, GRADC_RT_BARRIER_BEFORE),
                                         call_of(kUpdate, 0)};
constexpr gradc_rt_step kTrainTailSteps[] = {kFirst, call_of(kTailLossOf, GRADC_RT_BARRIER_BEFORE),
                                             call_of(kTailUpdate, 0)};
constexpr gradc_rt_step kGradientSteps[] = {kFirst, call_of(kLossOf, GRADC_RT_BARRIER_BEFORE),
                                            call_of(kGradient, 0)};
struct Steps {
  const gradc_rt_step* steps;
  int64_t count;
};
constexpr Steps kSteps[GRADC_RT_ENTRY_COUNT] = {{kPredictSteps, 1},      {kEvaluateSteps, 2},
                                                {kEvaluateTailSteps, 2}, {kTrainSteps, 3},
                                                {kTrainTailSteps, 3},    {kGradientSteps, 3}};

std::vector<gradc_rt_argument> all_arguments() {
  std::vector<gradc_rt_argument> arguments;
  for (int64_t slot = 0; slot < kSlots; ++slot)
    arguments.push_back({slot, 0});
  arguments.push_back({GRADC_RT_ARENA, 0});
  return arguments;
}

gradc_rt_entry entry_of(const char* name, size_t kind, int64_t batch) {
  static const std::vector<gradc_rt_argument> arguments = all_arguments();
  return {name,
          1,
          batch * 4,
          64,
          0,
          kSteps[kind].count,
          kSteps[kind].steps,
          kArguments,
          arguments.data(),
          nullptr,
          kKernels,
          nullptr};
}

constexpr const char* kNames[GRADC_RT_ENTRY_COUNT] = {
    "predict", "evaluate", "evaluate_tail", "train_step", "train_step_tail", "gradients", "step"};

}  // namespace

void FakeModel::add(const char* name, int64_t kind, int64_t dtype, std::vector<int64_t> dims,
                    const gradc_rt_initializer* initializer) {
  gradc_rt_tensor t{};
  t.name = name;
  t.kind = kind;
  t.dtype = dtype;
  t.rank = static_cast<int64_t>(dims.size());
  t.bytes = static_cast<int64_t>(dtype_bytes(static_cast<Dtype>(dtype)));
  for (size_t d = 0; d < dims.size(); ++d) {
    t.dims[d] = dims[d];
    t.bytes *= dims[d];
  }
  t.slot = static_cast<int64_t>(tensors_.size());
  t.initializer = initializer;
  tensors_.push_back(t);
}

FakeModel::FakeModel(const FakeModelOptions& options) : options_(options) {
  constants = {options.batch, options.features,
               options.learning_rate < 0 ? 0.05 : options.learning_rate, options.classes};
  weight_init_.kind = GRADC_RT_INIT_VARIANCE_SCALING;
  weight_init_.a = 1;
  weight_init_.mode = GRADC_RT_FAN_AVG;
  weight_init_.distribution = GRADC_RT_DIST_UNIFORM;
  weight_init_.fan_in = options.features;
  weight_init_.fan_out = 1;
  weight_init_.stream = 1;
  input_data_.scale = target_data_.scale = 1;
  const int64_t b = options.batch;
  const int64_t n = options.features;
  add("input/x", GRADC_RT_INPUT, GRADC_RT_F32, {b, n});
  add("target/y", GRADC_RT_TARGET, options.classes ? GRADC_RT_I32 : GRADC_RT_F32, {b});
  add("linear/kernel", GRADC_RT_PARAMETER, GRADC_RT_F32, {n, 1}, &weight_init_);
  add("linear/bias", GRADC_RT_PARAMETER, GRADC_RT_F32, {1});
  add("optimizer/linear/kernel/momentum", GRADC_RT_OPTIMIZER_STATE, GRADC_RT_F32, {n, 1});
  add("optimizer/iteration", GRADC_RT_OPTIMIZER_STATE, GRADC_RT_I64, {});
  add("output/y", GRADC_RT_OUTPUT, GRADC_RT_F32, {b});
  add("loss", GRADC_RT_LOSS, GRADC_RT_F32, {});
  add("metric/mae", GRADC_RT_METRIC, GRADC_RT_F32, {});
  add("tail/weight", GRADC_RT_TAIL_WEIGHT, GRADC_RT_F32, {b});
  add("seed", GRADC_RT_SEED, GRADC_RT_I64, {});
  add("gradient/linear/kernel", GRADC_RT_GRADIENT, GRADC_RT_F32, {n, 1});
  tensors_[kX].data = &input_data_;
  tensors_[kY].data = &target_data_;
  for (int e = 0; e < GRADC_RT_ENTRY_COUNT; ++e)
    entries_[e] = entry_of(kNames[e] != nullptr ? kNames[e] : "of_hosts", static_cast<size_t>(e),
                           options.batch);
  for (gradc_rt_entry& entry : entries_) {
    if (options.lazy) entry.compiled = 0;
  }
  model_.abi_version = GRADC_RT_ABI_VERSION;
  model_.name = "fake";
  model_.batch_size = b;
  model_.num_tensors = static_cast<int64_t>(tensors_.size());
  model_.tensors = tensors_.data();
  model_.num_slots = kSlots;
  model_.entries = entries_;
  model_.training.epochs = 3;
  model_.training.shuffle = 1;
  model_.compiler = "test";
  if (options.lazy) {
    model_.ensure_entry = ensure;
    model_.user = this;
  }
}

int64_t FakeModel::ensure(void* self, int64_t kind, const char** message) {
  FakeModel* model = static_cast<FakeModel*>(self);
  if (kind == GRADC_RT_GRADIENTS && model->options_.learning_rate < 0) {
    *message = "no gradients today";
    return 1;
  }
  model->entries_[kind].compiled = 1;
  ++model->compiled_;
  return 0;
}

gradc_rt_tensor& FakeModel::tensor(const char* name) {
  for (gradc_rt_tensor& t : tensors_) {
    if (std::string(t.name) == name) return t;
  }
  abort();
}

OwnedInstance::OwnedInstance(const gradc_rt_model& model, int32_t threads) {
  const Status status = Instance::create(model, {threads}, nullptr, 0, &it);
  if (!status.ok()) {
    fprintf(stderr, "%s\n", status.text.c_str());
    abort();
  }
}

std::vector<float> OwnedInstance::values(const char* name) const {
  const size_t index = static_cast<size_t>(it->find(name));
  const float* data = static_cast<const float*>(it->data(index));
  return {data, data + it->tensor(index).bytes / 4};
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "gradc-test-XXXXXX").string();
  path_ = mkdtemp(pattern.data());
}

TempDir::~TempDir() {
  std::filesystem::remove_all(path_);
}

void write_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

Array make_array(const std::string& name, Dtype dtype, std::vector<int64_t> dims,
                 const std::vector<double>& values) {
  Array array;
  array.name = Str(name.c_str());
  array.source = Str(("memory: " + name).c_str());
  array.dtype = dtype;
  array.dims.append(dims.data(), dims.size());
  array.data.resize(array.count() * dtype_bytes(dtype));
  for (size_t i = 0; i < values.size(); ++i)
    store_f64(array.data.data(), dtype, i, values[i]);
  return array;
}

DataPart make_part(const FakeModel& model, int64_t rows, uint64_t seed) {
  const int64_t features = model.get().tensors[kX].dims[1];
  RandomStream random(seed, 1);
  std::vector<double> x;
  std::vector<double> y;
  for (int64_t r = 0; r < rows; ++r) {
    double sum = 1;
    for (int64_t j = 0; j < features; ++j) {
      x.push_back(random.normal());
      sum += x.back() * (j == 0 ? 2.0 : j == 1 ? -1.0 : 0.5);
    }
    y.push_back(sum);
  }
  DataPart part;
  part.present = true;
  part.rows = rows;
  part.arrays = Vec<Array>(static_cast<size_t>(model.get().num_tensors));
  part.arrays[kX] = make_array("x", Dtype::kF64, {rows, features}, x);
  part.arrays[kY] = make_array("y", Dtype::kF64, {rows}, y);
  return part;
}

}  // namespace gradc::rt::testing
