// Checkpoints: a safetensors file with parameters, states, optimizer state, data statistics, the
// best weights of early stopping ("best/..."), and in its metadata where training stands. Resuming
// gives the same bits as never stopping.
#pragma once

#include "runtime/train_loop.h"

namespace gradc::rt {

/// What must be the same for a checkpoint to be continued.
struct CheckpointFacts {
  int64_t rows = 0;
  int64_t batch_size = 0;
  bool shuffle = true;
  uint64_t seed = 0;
};

/// Writes atomically. `best` holds parameters and states one after the other in model order, or is
/// empty.
Status save_checkpoint(const Instance& instance, const char* path, const CheckpointFacts& facts,
                       const TrainState& state, Span<uint8_t> best);

/// Restores everything; refuses with a reason if the run differs (rows, batch size, shuffle, seed)
/// or tensors do not fit.
Status load_checkpoint(Instance& instance, const char* path, const CheckpointFacts& facts,
                       TrainState* state, Span<uint8_t> best);

}  // namespace gradc::rt
