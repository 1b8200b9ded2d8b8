// --log: one line per finished epoch, each epoch once, whatever was killed and resumed. A line is
// written before the checkpoint of its epoch, and lines beyond the checkpoint are dropped when it
// is taken up.
#pragma once

#include "runtime/memory.h"
#include "runtime/status.h"

namespace gradc::rt {

class EpochLog {
 public:
  EpochLog() = default;
  EpochLog(const EpochLog&) = delete;
  EpochLog& operator=(const EpochLog&) = delete;
  ~EpochLog();

  /// Opens the log of a training that has `epochs_done` behind it: a file keeps the lines of those
  /// and what is not ours (nothing of a new training, epochs_done < 0); a pipe or a device is
  /// written as it is. `durable`: each line is on the disk before the next checkpoint is.
  Status open(const char* path, int64_t epochs_done, bool durable);
  /// One line. The first failure is kept for status(); training goes on without a log.
  void write(const Str& line);
  /// More members, "name":value, for the last line that this run wrote; of a file only.
  void amend(const Str& members);
  const Status& status() const { return status_; }

 private:
  static void abandon(void* self);
  Status trim(const char* path, int64_t epochs_done);

  Str path_;
  Str target_;  // what was opened
  int descriptor_ = -1;
  bool durable_ = false;
  bool regular_ = false;
  bool wrote_ = false;
  Status status_;
  Held held_{&EpochLog::abandon, this};
};

}  // namespace gradc::rt
