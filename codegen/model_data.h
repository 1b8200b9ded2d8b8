// A compiled model's description as plain C++ data: what the driver fills and the object writer
// emits as the constant tables of runtime/model_abi.h (struct for struct, field for field; the
// numbers of the enumerations are that header's).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gradc {

/// gradc_rt_initializer.
struct ModelInitializer {
  int64_t kind = 0;
  double a = 0;
  double b = 0;
  int64_t mode = 0;
  int64_t distribution = 0;
  int64_t fan_in = 0;
  int64_t fan_out = 0;
  uint64_t stream = 0;
  bool has_seed = false;
  uint64_t seed = 0;
  std::string data;  ///< raw bytes of the values (GRADC_RT_INIT_DATA), little-endian
};

/// gradc_rt_data.
struct ModelPreprocessing {
  double scale = 1;
  double offset = 0;
  int64_t standardize = 0;
  int64_t stat_count = 0;
  std::vector<double> mean;
  std::vector<double> std;
  int64_t one_hot_depth = 0;
  int64_t value_count = 0;
  int64_t flip_horizontal = 0;
  int64_t shift_height = 0;
  int64_t shift_width = 0;
  int64_t crop = 0;
  double noise_stddev = 0;
  double target_min = 0;
  double target_max = 0;
  int64_t flags = 0;
  int64_t classes = 0;
  std::vector<int64_t> ranges;  ///< pairs
};

/// gradc_rt_tensor.
struct ModelTensor {
  std::string name;
  int64_t kind = 0;
  int64_t dtype = 0;
  std::vector<int64_t> dims;
  int64_t bytes = 0;
  int64_t slot = 0;
  std::optional<ModelInitializer> initializer;
  std::optional<ModelPreprocessing> data;
};

/// gradc_rt_entry: which entry of the program it is. Absent entries have an empty name.
struct ModelEntry {
  std::string name;           ///< as the runtime knows it
  std::string program_entry;  ///< Program::entries[].name; empty: absent
};

/// gradc_rt_training.
struct ModelTraining {
  int64_t epochs = 1;
  int64_t shuffle = 1;
  double validation_split = 0;
  uint64_t seed = 0;
  int64_t early_stopping = 0;
  std::string monitor;  ///< empty: NULL
  int64_t patience = 0;
  double min_delta = 0;
  int64_t mode = 0;
  int64_t restore_best_weights = 0;
};

/// gradc_rt_fact.
struct ModelFactText {
  std::string name;
  std::string value;
};

/// gradc_rt_model.
struct ModelData {
  int64_t abi_version = 2;
  std::string name;
  std::string symbol;  ///< the exported table, "<symbol>_model"; empty: "gradc_model" alone
  int64_t batch_size = 0;
  std::vector<ModelTensor> tensors;
  int64_t num_slots = 0;
  std::vector<ModelEntry> entries;  ///< indexed by gradc_rt_entry_kind, all of them
  ModelTraining training;
  std::string compiler;
  std::string target_triple;
  std::string target_cpu;
  std::string target_features;  ///< comma separated without '+'; empty: NULL
  int64_t train_step_flops = 0;
  std::vector<ModelFactText> facts;
};

}  // namespace gradc
