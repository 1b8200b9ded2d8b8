// gradc plan: memory and work of a training step without generating code; or the planner alone on a
// list of buffers.
#include "driver/compiled_model.h"
#include "driver/gir_file.h"
#include "driver/output.h"
#include "passes/memory_report.h"
#include "passes/offset_planner_csv.h"
#include "runtime/table_bytes.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include "exchange/read_model.h"
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

namespace gradc::tool {

namespace {

struct PlanCommandLine {
  std::string model, buffers, output;
  std::optional<int64_t> budget, capacity;
  int64_t batch_size = 0;
  std::string entry = "train_step";
  bool json = false;
};

Result<std::string> plan_model(const PlanCommandLine& options, SourceSet& sources) {
  GRADC_TRY(const Model model, exchange::read_model(options.model, sources, given_of_model()));
  report(model.warnings);
  CompileOptions compile;
  compile.batch_size = options.batch_size;
  BuildOptions build;
  build.memory_budget_bytes = options.budget;
  EntryPoint kind = model.training ? EntryPoint::kTrainStep : EntryPoint::kPredict;
  if (options.entry == "predict") kind = EntryPoint::kPredict;
  if (options.entry == "evaluate" && model.training) kind = EntryPoint::kEvaluate;
  kernel::ProgramLowering lowering(model.name, compile.target);
  build.lowering = &lowering;
  const int64_t batch = effective_batch(model, compile);
  std::vector<Diagnostic> warnings;
  GRADC_TRY(const auto tables, make_tables(model, batch, warnings));
  if (kind == EntryPoint::kTrainStep) build.differentiated = tables->take_train_step();
  GRADC_TRY(StagedEntry entry, build_staged(model, kind, batch, PipelineStage::kPlanned, build));
  GRADC_TRY(const EntrySizes sizes, entry_sizes(entry, lowering));
  entry.plan->scratch_bytes = sizes.scratch_bytes;
  entry.plan->table_bytes = rt::table_bytes(tables->model()) + sizes.table_bytes;
  if (options.json) return json_text(memory_report_json(*entry.graph, *entry.plan));
  return memory_report_text(*entry.graph, *entry.plan);
}

Result<std::string> plan_gir(const PlanCommandLine& options) {
  BuildOptions build;
  build.memory_budget_bytes = options.budget;
  GRADC_TRY(const GirFile file, read_gir_file(options.model));
  GRADC_TRY(const StagedEntry entry, stage_gir(file, PipelineStage::kPlanned, build));
  if (options.json) return json_text(memory_report_json(*entry.graph, *entry.plan));
  return memory_report_text(*entry.graph, *entry.plan);
}

Result<std::string> plan_buffers(const PlanCommandLine& options) {
  if (!options.output.empty()) {
    GRADC_TRY_STATUS(check_apart(options.output, options.buffers));
    GRADC_TRY_STATUS(check_output(options.output));
  }
  GRADC_TRY(const SourceFile source, read_source_file(options.buffers));
  GRADC_TRY(const std::vector<BufferSpec> buffers,
            parse_buffers_csv(source.text(), options.buffers));
  OffsetPlannerOptions planner;
  planner.good_size = options.capacity;
  GRADC_TRY(const OffsetPlan plan, plan_offsets(buffers, planner));
  const std::string wrong = verify_offsets(buffers, plan.offsets, plan.bytes);
  GRADC_CHECK(wrong.empty(), "the planner's own check failed: {}", wrong);
  if (options.capacity && plan.bytes > *options.capacity) {
    return make_error(DiagKind::kInvalidBuffers, {options.buffers, "", false},
                      "the best plan found needs {} bytes, the capacity is {} (lower bound {})",
                      plan.bytes, *options.capacity, plan.lower_bound);
  }
  if (!options.output.empty()) {
    GRADC_TRY_STATUS(write_text(options.output, print_buffers_csv(buffers, plan.offsets)));
  }
  const double ratio = plan.lower_bound > 0
                           ? static_cast<double>(plan.bytes) / static_cast<double>(plan.lower_bound)
                           : 1.0;
  if (!options.json) {
    return fmt::format(
        "{} buffers, {} bytes, lower bound {} ({:.4f}), without reuse {}; found by {}{}\n",
        buffers.size(), plan.bytes, plan.lower_bound, ratio, plan.naive_bytes, plan.method,
        plan.proven_optimal ? ", proven optimal" : "");
  }
  nlohmann::ordered_json json = {{"arena_bytes", plan.bytes},
                                 {"lower_bound_bytes", plan.lower_bound},
                                 {"naive_bytes", plan.naive_bytes},
                                 {"method", plan.method},
                                 {"proven_optimal", plan.proven_optimal},
                                 {"buffers", nlohmann::ordered_json::array()}};
  for (size_t i = 0; i < buffers.size(); ++i) {
    json["buffers"].push_back({{"name", buffers[i].name},
                               {"bytes", buffers[i].bytes},
                               {"offset", plan.offsets[i]},
                               {"first", buffers[i].first},
                               {"last", buffers[i].last}});
  }
  return json_text(json);
}

int run_plan(const PlanCommandLine& options) {
  SourceSet sources;
  const auto text = !options.buffers.empty() ? plan_buffers(options)
                    : is_gir(options.model)  ? plan_gir(options)
                                             : plan_model(options, sources);
  if (!text.ok()) return report(text.diagnostics());
  const auto written = write_text("", *text);
  return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
}

}  // namespace

void register_plan(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<PlanCommandLine>();
  CLI::App* command =
      app.add_subcommand("plan", "memory, flops and bytes of a step, without generating code");
  command->footer(
      "Examples:\n"
      "  gradc plan examples/lenet.json --batch-size 256\n"
      "  gradc plan --buffers buffers.csv --capacity 1048576 --out offsets.csv");
  auto* model = command->add_option("MODEL", options->model,
                                    "the model's JSON, or a graph in text form (.gir)");
  auto* buffers = command->add_option(
      "--buffers", options->buffers,
      "plan these buffers instead: CSV with id,lower,upper,size (MiniMalloc's format)");
  model->excludes(buffers);
  add_memory_budget(*command, options->budget)->excludes(buffers);
  add_batch_size(*command, options->batch_size);
  add_choice(*command, "--entry", options->entry, {"train_step", "evaluate", "predict"},
             "what is planned (default train_step; predict for a model without training)");
  command->add_option("--capacity", options->capacity, "with --buffers: fail if they do not fit")
      ->check(whole_number(0))
      ->needs(buffers);
  command
      ->add_option("--out", options->output, "with --buffers: write them here with their offsets")
      ->check(output_name())
      ->needs(buffers);
  command->add_flag("--json", options->json, "print one JSON object");
  command->callback([options, &selection] {
    if (options->model.empty() && options->buffers.empty())
      throw CLI::RequiredError("MODEL or --buffers");
    selection.run = [options] { return run_plan(*options); };
  });
}

}  // namespace gradc::tool
