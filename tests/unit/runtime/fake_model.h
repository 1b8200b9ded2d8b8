// A hand-written "compiled" model for runtime tests: linear regression y = x w + b with momentum
// SGD, whose entries follow the entry contract (threads, barriers, slots, arena, tail weights), so
// that no compiler is needed.
#pragma once

#include "runtime/dataset.h"
#include "runtime/instance.h"

#include <string>
#include <vector>

namespace gradc::rt::testing {

struct FakeModelOptions {
  int64_t batch = 4;
  int64_t features = 3;
  double learning_rate = 0.05;
  bool lazy = false;     // entries appear only through ensure_entry
  bool classes = false;  // the target is i32 class ids in [0, 2) used as numbers
};

/// Owns the tables of one fake model; must outlive its instances and not move. Entries of all fake
/// models use the sizes of the one made last.
class FakeModel {
 public:
  explicit FakeModel(const FakeModelOptions& options = {});
  FakeModel(const FakeModel&) = delete;
  FakeModel& operator=(const FakeModel&) = delete;

  const gradc_rt_model& get() const { return model_; }
  gradc_rt_model& edit() { return model_; }
  gradc_rt_tensor& tensor(const char* name);
  gradc_rt_data& input_data() { return input_data_; }
  gradc_rt_data& target_data() { return target_data_; }
  int compiled_entries() const { return compiled_; }

 private:
  static int64_t ensure(void* self, int64_t kind, const char** message);
  void add(const char* name, int64_t kind, int64_t dtype, std::vector<int64_t> dims,
           const gradc_rt_initializer* initializer = nullptr);

  FakeModelOptions options_;
  std::vector<gradc_rt_tensor> tensors_;
  gradc_rt_entry entries_[GRADC_RT_ENTRY_COUNT] = {};
  gradc_rt_initializer weight_init_{};
  gradc_rt_data input_data_{};
  gradc_rt_data target_data_{};
  gradc_rt_model model_{};
  int compiled_ = 0;
};

/// An instance that destroys itself.
struct OwnedInstance {
  Instance* it = nullptr;
  explicit OwnedInstance(const gradc_rt_model& model, int32_t threads = 1);
  ~OwnedInstance() { Instance::destroy(it); }
  OwnedInstance(const OwnedInstance&) = delete;
  OwnedInstance& operator=(const OwnedInstance&) = delete;
  Instance& operator*() const { return *it; }
  Instance* operator->() const { return it; }
  std::vector<float> values(const char* name) const;
};

/// A fresh folder for one test, removed by its destructor.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  std::string file(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void write_bytes(const std::string& path, const std::string& bytes);
std::string read_bytes(const std::string& path);

/// n rows of the fake model's data, y = 2 x0 - x1 + 0.5 x2 + 1 (first features), as .npy-like
/// arrays.
DataPart make_part(const FakeModel& model, int64_t rows, uint64_t seed = 7);
Array make_array(const std::string& name, Dtype dtype, std::vector<int64_t> dims,
                 const std::vector<double>& values);

}  // namespace gradc::rt::testing
