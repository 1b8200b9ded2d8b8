// The files that training writes, looked at before it begins: whether they can be written, whether
// something would be lost, whether there is room.
#pragma once

#include "runtime/instance.h"

namespace gradc::rt {

struct TrainFiles {
  const char* out = nullptr;
  const char* checkpoint = nullptr;
  const char* log = nullptr;
  bool resume = false;
  bool overwrite = false;           // an existing checkpoint may go
  bool keeps_best_weights = false;  // the checkpoint holds those of early stopping too
  int64_t keep_best = 0;            // files of weights beside one of these

  const char* kept_beside() const { return out != nullptr ? out : checkpoint; }
};

/// Refuses what cannot work, before any of it is opened: no file is changed.
Status check_train_files(const Instance& instance, const TrainFiles& files);

}  // namespace gradc::rt
