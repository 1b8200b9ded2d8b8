// gradc opt: runs passes on a graph in text form.
#include "driver/output.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tools/gradc/command.h"

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
  std::string stop_after;
  std::string dump;
  std::vector<std::string> print_after;
  std::vector<std::string> debug_counters;
};

Result<std::string> optimise(const OptOptions& options, TimeReport& times) {
  GRADC_TRY(const SourceFile source, read_source_file(options.file));
  GRADC_TRY(const auto graphs, parse_graphs(source.text(), options.file));
  std::string text;
  for (const auto& graph : graphs) {
    PassContext context;
    context.options.file = options.file;
    for (const std::string& counter : options.debug_counters) {
      GRADC_TRY(auto parsed, parse_debug_counter(counter));
      context.debug_counters.insert(std::move(parsed));
    }
    PassManagerOptions manager;
    manager.verify_each = options.verify_each;
    manager.print_changed = options.print_changed;
    manager.print_after = options.print_after;
    manager.stop_after = options.stop_after;
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

int run_opt(const OptOptions& options) {
  TimeReport times;
  if (!options.output.empty()) {
    const Status place = check_output(options.output);
    if (!place.ok()) return report(place.diagnostics());
  }
  auto text = optimise(options, times);
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
  command->add_option("FILE", options->file, "the graph")->required();
  command
      ->add_option("--passes", options->passes,
                   "passes by name: canonicalize,cse,dce or (cse,dce)*")
      ->required();
  command->add_option("-o,--out", options->output, "write the result here, not to stdout")
      ->check(output_name());
  command->add_flag("--print-changed", options->print_changed,
                    "show what each pass changed, on stderr");
  command->add_flag("--verify-each", options->verify_each, "verify after each pass");
  command->add_option("--print-after", options->print_after,
                      "show the graph after these passes; all: after each");
  command->add_option("--stop-after", options->stop_after, "stop after the first run of this pass");
  command->add_option("--debug-counter", options->debug_counters,
                      "let only rewrites FIRST-LAST of a pass happen: cse:0-3");
  command->add_option("--dump", options->dump, "write the graph after each pass into this folder")
      ->check(CLI::ExistingDirectory);
  command->add_flag("--time", options->time, "time of each pass, on stderr");
  command->callback(
      [options, &selection] { selection.run = [options] { return run_opt(*options); }; });
}

}  // namespace gradc::tool
