// The options of train, eval, predict, generate and info: one table, read by compiled executables
// and by the gradc command alike.
#pragma once

#include "runtime/commands.h"

namespace gradc::rt {

enum CommandKind : int {
  kTrainCommand = 1,
  kEvalCommand = 2,
  kPredictCommand = 4,
  kInfoCommand = 8,
  kGenerateCommand = 16
};

struct CommandRow {
  const char* name;
  CommandKind kind;
  const char* synopsis;  ///< of a compiled executable
  const char* help;
};

struct CommandLine;

struct OptionRow {
  const char* name;   ///< with its dashes
  const char* value;  ///< placeholder in help; null for a flag
  int commands;       ///< of CommandKind, those that have it
  bool repeatable;
  const char* help;  ///< one line of any length
  Status (*read)(const OptionRow&, const char* value, CommandLine*);
};

/// What the options said.
struct CommandLine {
  DataSource data;
  int64_t epochs = -1;
  bool has_seed = false;
  uint64_t seed = 0;
  int64_t threads = 1;
  double validation_split = -1;
  int64_t keep_best = 0;
  Str keep_by;
  Str weights, in, out, checkpoint, log;  ///< file names; empty: not given
  bool goes_on = false;  ///< training takes the optimizer's state of the weights too
  bool what_fits = false;
  bool resume = false;
  bool overwrite = false;
  Str prompt;
  double temperature = 1;
  int64_t top_k = 0;
  int64_t length = 200;
  bool json = false;
  Str report;           ///< eval, of a host that writes one
  EvalTaker evaluated;  ///< likewise
  bool help = false;
  Warnings warnings;
};

Span<const CommandRow> all_commands();
Span<const OptionRow> all_options();
inline bool has_option(CommandKind command, const OptionRow& option) {
  return (option.commands & command) != 0;
}

/// Whether what a command needs was given: its data, weights and files.
Status check_needed(CommandKind command, const CommandLine& line);
/// All but info; the line's data are moved out of it.
Status run_command(Instance& instance, CommandKind command, CommandLine& line);

}  // namespace gradc::rt
