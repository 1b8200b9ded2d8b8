// What the sub-commands of `gradc` share: how they register, how they report, how they write
// results.
#pragma once

#include "frontend/native_reader.h"
#include "runtime/warnings.h"
#include "support/diagnostic.h"
#include "support/result.h"
#include "support/source_file.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::tool {

/// Exit codes of the command (DESIGN 2.1).
enum ExitCode : int {
  kSuccess = 0,
  kUserError = 1,
  kUsageError = 2,
  kInternalError = 70,
  kStopped = 130,  // by a signal, in order
};

/// The chosen sub-command puts its work here; main runs it after the command line was read.
struct Selection {
  std::function<int()> run;
};

/// What --no-warn has silenced, for the whole run of the command.
rt::Warnings& silenced_warnings();
/// --no-warn KIND, for every command that takes a model.
void add_no_warn(CLI::App& command);

/// What --shape and --set gave, for the whole run of the command.
Given& given_of_model();
/// --shape and --set, for every command that takes a model.
void add_shape(CLI::App& command);
void add_set(CLI::App& command);

/// Prints diagnostics on stderr, with the lines of the files they are about; gives kUserError if
/// one is an error, kUsageError if all errors are wrong uses of the command.
int report(const std::vector<Diagnostic>& diagnostics);

/// Checks of option values whose messages say what was expected.
CLI::Validator whole_number(int64_t least);  ///< least is not negative
CLI::Validator positive_number();

/// A file to write: not an empty name.
CLI::Validator output_name();

/// The options of every command that compiles: rows of a batch, and threads.
void add_batch_size(CLI::App& command, int64_t& batch_size);
void add_threads(CLI::App& command, int& threads);
/// --cpu, for commands that compile into this process.
void add_cpu(CLI::App& command, std::string& cpu);
/// --memory-budget, for every command that plans memory.
CLI::Option* add_memory_budget(CLI::App& command, std::optional<int64_t>& bytes);
/// --no-cache, for commands that compile into this process.
void add_no_cache(CLI::App& command, bool& cache);

/// Writes text to a file, whole or not at all, or to stdout for an empty path or "-".
Status write_text(const std::string& path, std::string_view text);

/// JSON for people and programs, in ASCII: whatever names hold, no terminal is told to do anything.
std::string json_text(const nlohmann::ordered_json& json);

/// A tensor name or file extension test: does `path` end in `.suffix`?
bool has_extension(std::string_view path, std::string_view extension);

void register_train(CLI::App& app, Selection& selection);
void register_eval(CLI::App& app, Selection& selection);
void register_predict(CLI::App& app, Selection& selection);
void register_generate(CLI::App& app, Selection& selection);
void register_run(CLI::App& app, Selection& selection);
void register_compile(CLI::App& app, Selection& selection);
void register_inspect(CLI::App& app, Selection& selection);
void register_plan(CLI::App& app, Selection& selection);
void register_summary(CLI::App& app, Selection& selection);
void register_convert(CLI::App& app, Selection& selection);
void register_check(CLI::App& app, Selection& selection);
void register_bench(CLI::App& app, Selection& selection);
void register_opt(CLI::App& app, Selection& selection);
void register_new(CLI::App& app, Selection& selection);
void register_reference(CLI::App& app, Selection& selection);
/// help, man and completion: of all that is registered before they run.
void register_help(CLI::App& app, Selection& selection);

}  // namespace gradc::tool
