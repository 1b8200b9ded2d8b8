#include "tests/bits/twenty_steps.h"

#include "runtime/dtype.h"
#include "runtime/instance.h"

#include <cinttypes>
#include <cstdint>
#include <cstring>

namespace gradc::bits {

namespace {

constexpr int kBatches = 4;

/// Splitmix64: the same numbers everywhere, by integers alone.
struct Numbers {
  uint64_t state;
  uint64_t next() {
    uint64_t x = (state += 0x9e3779b97f4a7c15ULL);
    x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31U);
  }
  double unit() { return static_cast<double>(next() >> 40U) / static_cast<double>(1U << 24U); }
};

class Training {
 public:
  Training(rt::Instance& instance, std::FILE* out) : instance_(instance), out_(out) {}

  int run() {
    const bool trains = instance_.has_entry(GRADC_RT_TRAIN_STEP);
    const auto entry = trains ? GRADC_RT_TRAIN_STEP : GRADC_RT_PREDICT;
    if (!prepare(entry) || (trains && !(prepare(GRADC_RT_EVALUATE) && prepare(GRADC_RT_PREDICT))))
      return 1;
    print("initial", &lasts);
    for (int step = 1; step <= kSteps; ++step) {
      char when[32];
      feed(step);
      if (trains) {
        instance_.run(GRADC_RT_EVALUATE);
        std::snprintf(when, sizeof when, "before %d", step);
        print(when, &is_measured);
      }
      instance_.run(entry);
      std::snprintf(when, sizeof when, "step %d", step);
      print(when, &is_measured);
      print(when, &lasts);
      if (!trains) print(when, &is_output);
    }
    if (!trains) return 0;
    instance_.run(GRADC_RT_PREDICT);
    print("predict", &is_output);
    return 0;
  }

 private:
  static bool lasts(int64_t kind) {
    return kind == GRADC_RT_PARAMETER || kind == GRADC_RT_STATE || kind == GRADC_RT_OPTIMIZER_STATE;
  }
  static bool is_measured(int64_t kind) { return kind == GRADC_RT_LOSS || kind == GRADC_RT_METRIC; }
  static bool is_output(int64_t kind) { return kind == GRADC_RT_OUTPUT; }

  bool prepare(gradc_rt_entry_kind entry) {
    const rt::Status status = instance_.prepare(entry);
    if (!status.ok()) std::fprintf(out_, "error: %s\n", status.text.c_str());
    return status.ok();
  }

  /// Inputs in [-1, 1), targets in [0, 1), integers below what the model says, else below 2.
  void feed(int step) {
    for (size_t i = 0; i < instance_.num_tensors(); ++i) {
      const gradc_rt_tensor& tensor = instance_.tensor(i);
      const bool target = tensor.kind == GRADC_RT_TARGET;
      if (tensor.kind != GRADC_RT_INPUT && !target) continue;
      Numbers numbers{(static_cast<uint64_t>(step % kBatches) << 32U) + i};
      const auto dtype = static_cast<rt::Dtype>(tensor.dtype);
      const bool integers = tensor.dtype == GRADC_RT_I32 || tensor.dtype == GRADC_RT_I64;
      const bool known = tensor.data != nullptr && tensor.data->value_count > 0;
      const uint64_t below = known ? static_cast<uint64_t>(tensor.data->value_count) : 2;
      const size_t count = static_cast<size_t>(tensor.bytes) / rt::dtype_bytes(dtype);
      for (size_t k = 0; k < count; ++k) {
        const double value = integers ? static_cast<double>(numbers.next() % below)
                             : target ? numbers.unit()
                                      : 2.0 * numbers.unit() - 1.0;
        rt::store_f64(instance_.data(i), dtype, k, value);
      }
    }
  }

  void print(const char* when, bool (*wanted)(int64_t kind)) {
    for (size_t i = 0; i < instance_.num_tensors(); ++i) {
      const gradc_rt_tensor& tensor = instance_.tensor(i);
      if (!wanted(tensor.kind)) continue;
      const auto* bytes = static_cast<const unsigned char*>(instance_.data(i));
      uint64_t digest = 0xcbf29ce484222325ULL;  // FNV-1a
      for (int64_t k = 0; k < tensor.bytes; ++k)
        digest = (digest ^ bytes[k]) * 0x100000001b3ULL;
      if (tensor.bytes <= 8) {
        digest = 0;
        std::memcpy(&digest, bytes, static_cast<size_t>(tensor.bytes));
      }
      std::fprintf(out_, "%s: %s %016" PRIx64, when, tensor.name, digest);
      if (tensor.bytes <= 8)
        std::fprintf(out_, " = %.7g", rt::load_f64(bytes, static_cast<rt::Dtype>(tensor.dtype), 0));
      std::fputc('\n', out_);
    }
  }

  rt::Instance& instance_;
  std::FILE* out_;
};

}  // namespace

int twenty_steps(const gradc_rt_model& model, int threads, std::FILE* out) {
  rt::Instance* instance = nullptr;
  rt::Status status = rt::Instance::create(model, {threads}, nullptr, 0, &instance);
  if (status.ok()) status = instance->initialize(7);
  int result = 1;
  if (status.ok())
    result = Training(*instance, out).run();
  else
    std::fprintf(out, "error: %s\n", status.text.c_str());
  if (instance != nullptr) rt::Instance::destroy(instance);
  return result;
}

}  // namespace gradc::bits
