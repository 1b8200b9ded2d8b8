// gradc check: every gradient of a model against finite differences, in double.
#include "driver/entry_builder.h"
#include "passes/gradient_check.h"
#include "tools/gradc/command.h"

#include "exchange/read_model.h"

#include <cstdio>
#include <memory>

namespace gradc::tool {

namespace {

struct CheckCommandLine {
  std::string model;
  int samples = 2;
  int64_t batch_size = 2;
  double tolerance = 1e-4;
  uint64_t seed = 1;
};

Result<std::vector<ParameterCheck>> check(const CheckCommandLine& options, SourceSet& sources) {
  GRADC_TRY(const Model model, exchange::read_model(options.model, sources, given_of_model()));
  report(model.warnings);
  if (!model.training) {
    return make_error(DiagKind::kMissingOption, {options.model, "", false},
                      "the model has no \"training\" section; its gradients are those of the loss");
  }
  GRADC_TRY(const StagedEntry entry, build_staged(model, EntryPoint::kGradients, options.batch_size,
                                                  PipelineStage::kGraph, {}));
  GradientCheckOptions check_options;
  check_options.directions = options.samples;
  check_options.tolerance = options.tolerance;
  check_options.seed = options.seed;
  return check_gradients(*entry.graph, draw_inputs(*entry.graph, options.seed), check_options);
}

const char* verdict(const ParameterCheck& parameter, double tolerance) {
  if (!parameter.passed) return "FAILED";
  return parameter.relative_error <= tolerance ? "ok" : "ok (rounding)";
}

int run_check(const CheckCommandLine& options) {
  SourceSet sources;
  const auto result = check(options, sources);
  if (!result.ok()) return report(result.diagnostics());
  fmt::print("{:<40} {:<20} {:>14} {:>14} {:>10}\n", "parameter", "type", "gradient", "difference",
             "error");
  size_t failed = 0;
  for (const ParameterCheck& parameter : *result) {
    fmt::print("{:<40} {:<20} {:>14.6e} {:>14.6e} {:>10.2e}  {}\n", parameter.name,
               to_string(parameter.type), parameter.analytic, parameter.numeric,
               parameter.relative_error, verdict(parameter, options.tolerance));
    failed += parameter.passed ? 0 : 1;
  }
  fmt::print("{} of {} parameters agree with central differences in double precision\n",
             result->size() - failed, result->size());
  return failed == 0 ? kSuccess : kUserError;
}

}  // namespace

void register_check(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<CheckCommandLine>();
  CLI::App* command =
      app.add_subcommand("check", "check every gradient of a model against finite differences");
  command->footer(
      "Example:\n"
      "  gradc check examples/lenet.json");
  command->add_option("MODEL", options->model, "the model's JSON")->required();
  command->add_option("--samples", options->samples, "random directions per parameter (default 2)")
      ->check(whole_number(1));
  command->add_option("--batch-size", options->batch_size, "rows of the batch (default 2)")
      ->check(whole_number(1));
  command->add_option("--tolerance", options->tolerance, "largest relative error (default 1e-4)")
      ->check(positive_number());
  command->add_option("--seed", options->seed, "of parameters, inputs and directions")
      ->check(whole_number(0));
  command->callback(
      [options, &selection] { selection.run = [options] { return run_check(*options); }; });
}

}  // namespace gradc::tool
