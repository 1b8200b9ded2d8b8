// The weights of the best epochs, each in a file of its own beside those of the end:
// "run.epoch012.val_loss0.1234.safetensors". Which files there are is in the checkpoint, so that a
// resumed training goes on with them; no other file is ever removed.
#pragma once

#include "runtime/instance.h"
#include "runtime/status.h"

namespace gradc::rt {

struct KeepBest {
  int64_t keep = 0;               // so many; 0: none
  const char* monitor = nullptr;  // NULL = "val_loss"
  int64_t mode = -1;              // -1 smaller is better, 1 larger
  const char* beside = nullptr;   // the weights or the checkpoint that training writes
};

struct KeptEpoch {
  int64_t epoch = 0;
  double value = 0;
};

/// The path of an epoch's weights.
Str kept_path(const KeepBest& options, const KeptEpoch& epoch);

/// A finished epoch whose weights the instance has: when it is among the best they are written, and
/// then the worst file beyond `keep` is removed. `kept` is in the order of epochs; of equal values
/// the earlier is better.
Status keep_epoch(const Instance& instance, const KeepBest& options, KeptEpoch epoch,
                  Vec<KeptEpoch>* kept);

/// "3:0.25 7:0.125", for the checkpoint, and back; false where it is no such text.
Str kept_text(const Vec<KeptEpoch>& kept);
bool parse_kept(const char* text, Vec<KeptEpoch>* kept);

/// Leaves out epochs whose files are gone, and those after `epoch`, which will be written again.
void forget_missing(const KeepBest& options, int64_t epoch, Vec<KeptEpoch>* kept);

}  // namespace gradc::rt
