#include "runtime/averages.h"

namespace gradc::rt {

void Averages::find(const Instance& instance) {
  pairs_.clear();
  for (size_t i = 0; i < instance.num_tensors(); ++i) {
    const gradc_rt_tensor& tensor = instance.tensor(i);
    if (tensor.kind != GRADC_RT_PARAMETER) continue;
    const int64_t average = instance.find(format("optimizer/%s/average", tensor.name).c_str());
    if (average < 0) continue;
    const size_t other = static_cast<size_t>(average);
    const bool same = instance.tensor(other).kind == GRADC_RT_OPTIMIZER_STATE &&
                      instance.tensor(other).bytes == tensor.bytes;
    if (same) pairs_.push({i, other});
  }
}

void Averages::swap(Instance& instance) const {
  for (const Pair& pair : pairs_) {
    uint8_t* a = static_cast<uint8_t*>(instance.data(pair.weights));
    uint8_t* b = static_cast<uint8_t*>(instance.data(pair.average));
    const size_t bytes = static_cast<size_t>(instance.tensor(pair.weights).bytes);
    constexpr size_t kPart = 4096;
    uint8_t kept[kPart];
    for (size_t at = 0; at < bytes; at += kPart) {
      const size_t part = bytes - at < kPart ? bytes - at : kPart;
      memcpy(kept, a + at, part);
      memcpy(a + at, b + at, part);
      memcpy(b + at, kept, part);
    }
  }
}

void Averages::overwrite(Instance& instance) const {
  for (const Pair& pair : pairs_) {
    memcpy(instance.data(pair.weights), instance.data(pair.average),
           static_cast<size_t>(instance.tensor(pair.weights).bytes));
  }
}

}  // namespace gradc::rt
