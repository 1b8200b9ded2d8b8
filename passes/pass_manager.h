// Runs a pipeline of named passes on a graph. Everything a pass should not care about is done here:
// verifying after each change, checking that a pass says honestly whether it changed anything,
// timing, printing, dumping, stopping early.
#pragma once

#include "passes/passes.h"
#include "support/timer.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc {

struct PassManagerOptions {
  /// Verify after each pass that changed the graph, and compare structural hashes with what the
  /// pass said. A violation is an internal error that shows the graph before the guilty pass.
  bool verify_each = true;
  bool print_changed = false;            ///< what each pass changed, as a line diff
  std::vector<std::string> print_after;  ///< the graph after these passes; "all": after each
  std::string break_after;  ///< tests of the checks: this pass is made to leave a broken graph
  std::string stop_after;   ///< ends the pipeline after the first run of this pass
  /// Receives the graph after each pass, with a file's name for it ("03-cse.gir").
  std::function<Status(const std::string& name, std::string_view text)> dump;
  std::function<void(std::string_view)> print;  ///< receives what is printed; must be set to print
  /// Called after each pass that changed the graph, with a copy of the graph before it.
  std::function<void(std::string_view pass, const Graph& before, const Graph& after)> observe;
  TimeReport* times = nullptr;
};

/// One entry of a parsed pipeline: a pass, or a group repeated until none of its passes changes the
/// graph.
struct PipelineStep {
  const PassInfo* pass = nullptr;
  std::vector<PipelineStep> repeated;
};

/// Reads "canonicalize,(cse,dce)*,differentiate". Unknown passes are all diagnosed (kInvalidUsage).
Result<std::vector<PipelineStep>> parse_pipeline(std::string_view text);

/// Reads "fuse:0-17" or "fuse:3"; the name must be a pass.
Result<std::pair<std::string, DebugCounter>> parse_debug_counter(std::string_view text);

class PassManager {
 public:
  explicit PassManager(std::vector<PipelineStep> pipeline, PassManagerOptions options = {})
      : pipeline_(std::move(pipeline)), options_(std::move(options)) {}

  /// Runs the pipeline. Fails with the diagnostics of the first pass that refuses the graph.
  Status run(Graph& graph, PassContext& context);

 private:
  Result<bool> run_steps(const std::vector<PipelineStep>& steps, Graph& graph,
                         PassContext& context);
  Result<bool> run_pass(const PassInfo& pass, Graph& graph, PassContext& context);
  void check(const PassInfo& pass, const Graph& before, const Graph& after, bool changed) const;
  Status report(const PassInfo& pass, const Graph* before, const Graph& after, bool changed);

  std::vector<PipelineStep> pipeline_;
  PassManagerOptions options_;
  bool stopped_ = false;
  int num_run_ = 0;
};

/// parse_pipeline and run in one call.
Status run_passes(Graph& graph, std::string_view pipeline, PassContext& context,
                  PassManagerOptions options = {});

}  // namespace gradc
