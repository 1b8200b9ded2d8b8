// What a checkpoint was made of: the model's facts as text, the data and the options. Kept in its
// metadata; a run that differs in any of it is no continuation and is told in what.
#pragma once

#include "runtime/model_abi.h"
#include "runtime/safetensors.h"

namespace gradc::rt {

/// What must be the same for a checkpoint to be continued, besides the model.
struct CheckpointFacts {
  int64_t rows = 0;
  int64_t batch_size = 0;
  bool shuffle = true;
  uint64_t seed = 0;
  uint64_t data = 0;  // digests of what training and validation see
  int64_t validation_rows = 0;
  uint64_t validation_data = 0;
  const char* monitor = nullptr;       // early stopping's; null: off
  const char* kept_monitor = nullptr;  // of the epochs that are kept; null: none are
};

/// Appends the model's facts and the run's.
void put_facts(const gradc_rt_model& model, const CheckpointFacts& facts, Vec<Metadata>* list);

/// Adds a problem for everything in which the checkpoint's facts differ from the run's.
void compare_facts(const gradc_rt_model& model, const CheckpointFacts& facts,
                   const SafetensorsFile& file, const char* path, Status& problems);

}  // namespace gradc::rt
