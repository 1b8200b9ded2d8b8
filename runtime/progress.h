// What a person sees of training: a bar on a terminal, a plain line per epoch otherwise, all on
// stderr.
#pragma once

#include "runtime/train_loop.h"

#include <cstdio>

namespace gradc::rt {

/// "loss 0.3127  accuracy 0.8821", each name with `prefix` ("val_").
void append_scores(Str& out, const Instance& instance, const Scores& scores, const char* prefix);
/// "loss":0.31,"accuracy":0.88 for JSON objects.
void append_scores_json(Str& out, const Instance& instance, const Scores& scores,
                        const char* prefix);
class Progress {
 public:
  /// Bars only if `out` is a terminal; colours only if NO_COLOR is unset as well.
  Progress(const Instance& instance, FILE* out);
  Progress(const Instance& instance, FILE* out, bool bar, bool colour)
      : instance_(instance), out_(out), bar_(bar), colour_(colour) {}

  void step(const StepReport& report);
  void epoch(const EpochReport& report);
  /// Takes the bar away: before anything else is written to the terminal.
  void clear();

 private:
  void show_bar(const StepReport& report);

  const Instance& instance_;
  FILE* out_;
  bool bar_ = false;
  bool colour_ = false;
  double last_drawn_ = -1;
  size_t width_drawn_ = 0;
};

}  // namespace gradc::rt
