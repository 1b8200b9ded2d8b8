// Commands that run passes.
#include "ir/parser.h"
#include "ir/printer.h"
#include "passes/pass_manager.h"
#include "tests/support/file_commands.h"
#include "tests/support/same_numbers.h"

#include <fmt/format.h>

namespace gradc::testing {

namespace {

constexpr int64_t kLargestInterpreted = 1 << 16;
constexpr uint64_t kSeed = 1;

}  // namespace

Result<std::string> file_command_passes(const FileTest& test) {
  GRADC_TRY(const std::shared_ptr<Graph> graph, parse_graph(test.text, test.path));
  const std::shared_ptr<Graph> before = graph->clone();
  PassOptions options;
  options.file = test.path;
  options.name_bodies = true;
  PassContext context(std::move(options));
  GRADC_TRY_STATUS(run_passes(*graph, test.argument, context));
  if (largest_value(*before) <= kLargestInterpreted) {
    const std::string difference = numbers_difference(*before, *graph, kSeed);
    if (!difference.empty())
      return make_error(DiagKind::kIrInvalid, {}, "after {} the numbers differ: {}", test.argument,
                        difference);
  }
  std::string text;
  for (const Diagnostic& warning : context.sink.all())
    text += fmt::format("warning: {} [{}]\n", warning.message, diag_name(warning.kind));
  return text + print_graph(*graph);
}

}  // namespace gradc::testing
