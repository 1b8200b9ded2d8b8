// Checkpoints: a safetensors file with parameters, states, optimizer state, data statistics, the
// best weights of early stopping ("best/..."), and in its metadata where training stands. Resuming
// gives the same bits as never stopping.
#pragma once

#include "runtime/facts.h"
#include "runtime/train_loop.h"

namespace gradc::rt {

/// Writes atomically. `best` holds parameters and states one after the other in model order, or is
/// empty.
Status save_checkpoint(const Instance& instance, const char* path, const CheckpointFacts& facts,
                       const TrainState& state, Span<uint8_t> best);

/// The data's statistics, columns, classes and characters alone: with them the data are read.
Status load_checkpoint_data_facts(Instance& instance, const char* path);

/// Restores everything; refuses with all reasons if the model, its data or its options are not
/// those of the checkpoint, or tensors do not fit.
Status load_checkpoint(Instance& instance, const char* path, const CheckpointFacts& facts,
                       TrainState* state, Span<uint8_t> best);

}  // namespace gradc::rt
