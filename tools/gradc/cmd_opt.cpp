// gradc opt: runs passes on a graph in text form.
#include "driver/entry_builder.h"
#include "driver/output.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "passes/passes.h"
#include "passes/pipeline.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include <array>
#include <cstdio>
#include <memory>

namespace gradc::tool {

namespace {

struct OptOptions {
  std::string file;
  std::string passes;
  std::string output;
  bool print_changed = false;
  bool verify_each = false;
  bool time = false;
  bool print_pipeline = false;
  std::string stop_after;
  std::string break_after;
  std::string dump;
  std::vector<std::string> print_after;
  std::vector<std::string> debug_counters;
};

std::vector<std::string> pass_names() {
  std::vector<std::string> names;
  for (const PassInfo& pass : all_passes())
    names.emplace_back(pass.name);
  return names;
}

Result<std::string> optimise(const OptOptions& options, TimeReport& times) {
  GRADC_TRY(const SourceFile source, read_source_file(options.file));
  GRADC_TRY(const auto graphs, parse_graphs(source.text(), options.file));
  std::string text;
  for (const auto& graph : graphs) {
    PassContext context;
    context.options.file = options.file;
    context.options.name_bodies = true;
    for (const std::string& counter : options.debug_counters) {
      GRADC_TRY(auto parsed, parse_debug_counter(counter));
      context.debug_counters.insert(std::move(parsed));
    }
    PassManagerOptions manager;
    manager.verify_each = options.verify_each;
    manager.print_changed = options.print_changed;
    manager.print_after = options.print_after;
    manager.stop_after = options.stop_after;
    manager.break_after = options.break_after;
    if (!options.dump.empty()) {
      manager.dump = [&](const std::string& name, std::string_view graph_text) {
        return write_output(fmt::format("{}/{}", options.dump, name), graph_text);
      };
    }
    manager.print = [](std::string_view line) { std::fwrite(line.data(), 1, line.size(), stderr); };
    manager.times = &times;
    GRADC_TRY_STATUS(run_passes(*graph, options.passes, context, manager));
    report(context.sink.take());
    text += print_graph(*graph);
  }
  return text;
}

/// Every pass with its sentence, as `--passes=help` shows them.
std::string passes_help() {
  std::string text = "passes, in the order of their names:\n";
  for (const PassInfo& pass : all_passes())
    text += fmt::format("  {:<18} {}\n", pass.name, pass.summary);
  text +=
      "a,b,(c,d)* runs a, b, then c and d until neither changes the graph; \"gradc opt "
      "--print-pipeline\" shows what each entry of a model goes through\n";
  return text;
}

void append_steps(const std::vector<PipelineStep>& steps, size_t indent, std::string& text) {
  for (const PipelineStep& step : steps) {
    if (step.pass != nullptr) {
      text += fmt::format("{:{}}{:<{}} {}\n", "", indent, step.pass->name, 20 - indent,
                          step.pass->summary);
      continue;
    }
    text += fmt::format("{:{}}until nothing changes:\n", "", indent);
    append_steps(step.repeated, indent + 2, text);
  }
}

/// The steps of a list of passes.
Result<std::string> pipeline_steps(const std::string& passes) {
  GRADC_TRY(const std::vector<PipelineStep> steps, parse_pipeline(passes));
  std::string text;
  append_steps(steps, 0, text);
  return text;
}

/// The pipelines of a model's entries: stage, passes, reason.
std::string standard_pipelines() {
  const std::array kinds = {std::pair{PipelineKind::kForward, "predict, evaluate"},
                            std::pair{PipelineKind::kGradients, "gradients"},
                            std::pair{PipelineKind::kTrainStep, "train_step"}};
  std::string text;
  for (const auto& [kind, entries] : kinds) {
    text += fmt::format("{}{}: {}\n", text.empty() ? "" : "\n", entries, pipeline_text(kind));
    for (const PipelineEntry& entry : pipeline_entries(kind)) {
      text += fmt::format("  {:<10} {:<38} {}\n", kStageNames[static_cast<size_t>(entry.stage)],
                          entry.passes, entry.reason);
    }
  }
  return text;
}

/// What there is to print instead of running anything.
Result<std::string> explain(const OptOptions& options) {
  if (options.passes == "help") return passes_help();
  return options.passes.empty() ? standard_pipelines() : pipeline_steps(options.passes);
}

int run_opt(const OptOptions& options) {
  TimeReport times;
  if (!options.output.empty()) {
    Status place = check_apart(options.output, options.file);
    if (place.ok()) place = check_output(options.output);
    if (!place.ok()) return report(place.diagnostics());
  }
  const bool explains = options.print_pipeline || options.passes == "help";
  auto text = explains ? explain(options) : optimise(options, times);
  if (!text.ok()) return report(text.diagnostics());
  if (auto written = write_text(options.output, *text); !written.ok())
    return report(written.diagnostics());
  if (options.time) std::fputs(times.to_string().c_str(), stderr);
  return kSuccess;
}

}  // namespace

void register_opt(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<OptOptions>();
  CLI::App* command =
      app.add_subcommand("opt", "run passes on a graph in text form (.gir) and print the result");
  command->footer(
      "Example:\n"
      "  gradc inspect examples/fashion_mnist_mlp.json --stage gradient -o step.gir\n"
      "  gradc opt step.gir --passes=\"expand_composites,(canonicalize,cse,dce)*,fuse\" "
      "--print-changed");
  command->add_option("FILE", options->file, "the graph");
  const std::vector<std::string> passes = pass_names();
  offer_choices(
      command->add_option("--passes", options->passes,
                          "passes by name: canonicalize,cse,dce or (cse,dce)*; help: lists them"),
      passes);
  command->add_flag("--print-pipeline", options->print_pipeline,
                    "show the steps of --passes, or else the pipelines of a model's entries with "
                    "their reasons; nothing is run");
  command->add_option("-o,--out", options->output, "write the result here, not to stdout")
      ->check(output_name());
  command->add_flag("--print-changed", options->print_changed,
                    "show what each pass changed, on stderr");
  command->add_flag("--verify-each", options->verify_each, "verify after each pass");
  offer_choices(command->add_option("--print-after", options->print_after,
                                    "show the graph after these passes; all: after each"),
                passes);
  offer_choices(command->add_option("--stop-after", options->stop_after,
                                    "stop after the first run of this pass"),
                passes);
  command->add_option("--debug-counter", options->debug_counters,
                      "let only rewrites FIRST-LAST of a pass happen: cse:0-3");
  command->add_option("--dump", options->dump, "write the graph after each pass into this folder")
      ->check(CLI::ExistingDirectory);
  command->add_flag("--time", options->time, "time of each pass, on stderr");
  command
      ->add_option("--break-after", options->break_after,
                   "leave a broken graph after this pass: shows what the checks say")
      ->group("");  // for tests
  command->callback([options, &selection] {
    const bool explains = options->print_pipeline || options->passes == "help";
    if (!explains && options->passes.empty()) throw CLI::RequiredError("--passes");
    if (!explains && options->file.empty()) throw CLI::RequiredError("FILE");
    selection.run = [options] { return run_opt(*options); };
  });
}

}  // namespace gradc::tool
