// gradc inspect: every stage of a model on its way to machine code.
#include "codegen/kernel/program_text.h"
#include "codegen/object_writer.h"
#include "driver/compiled_model.h"
#include "driver/gir_file.h"
#include "driver/output.h"
#include "driver/report/html_report.h"
#include "driver/report/layer_dot.h"
#include "ir/dot.h"
#include "ir/graph_json.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "passes/fusion_remarks.h"
#include "passes/plan_text.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include "exchange/read_model.h"
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

namespace gradc::tool {

namespace {

struct InspectCommandLine {
  std::string file;
  std::string stage;
  std::string format = "text";
  std::string entry;  ///< empty: train_step, or predict of a model without training
  std::string output;
  int64_t batch_size = 0;
  bool remarks = false;
  std::string profile;
  bool measure = false;
  int threads = 1;
  std::string triple, cpu, features;
  std::optional<int64_t> memory_budget;
};

/// The text begins with the stage, so that it can be carried on from there.
Result<std::string> print_staged(const Graph& graph, PipelineStage stage, const MemoryPlan* plan,
                                 const std::string& format) {
  if (format == "dot") return to_dot(graph);
  if (format == "json") return graph_to_json(graph);
  return stage_line(stage) + (plan == nullptr ? print_graph(graph) : print_planned(graph, *plan));
}

/// Why neighbouring kernels of an optimized graph are not one.
Result<std::string> print_remarks(const Graph& graph, const InspectCommandLine& options) {
  GRADC_TRY(const std::vector<FusionRemark> remarks, fusion_remarks(graph));
  if (options.format == "text") return fusion_remarks_text(remarks);
  if (options.format == "json") return fusion_remarks_json(remarks).dump(2) + "\n";
  return make_error(DiagKind::kInvalidUsage, {}, "--remarks are text or json, not {}",
                    options.format);
}

Result<TargetInfo> target_of(const InspectCommandLine& options) {
  TargetInfo host = TargetInfo::host();
  if (options.triple.empty() && options.cpu.empty() && options.features.empty()) return host;
  return TargetInfo::from(options.triple.empty() ? host.triple : options.triple, options.cpu,
                          options.features);
}

std::vector<std::string> entry_names() {
  std::vector<std::string> names;
  for (int i = 0; i < kNumEntryPoints; ++i)
    names.emplace_back(entry_name(static_cast<EntryPoint>(i)));
  return names;
}

Result<EntryPoint> entry_of(const InspectCommandLine& options, const Model& model) {
  if (options.entry.empty()) return model.training ? EntryPoint::kTrainStep : EntryPoint::kPredict;
  const std::vector<std::string> names = entry_names();
  const auto found = std::find(names.begin(), names.end(), options.entry);
  const auto kind = static_cast<EntryPoint>(found - names.begin());
  if (!needs_training(kind) || model.training) return kind;
  return make_error(DiagKind::kMissingOption, {options.file, "", false},
                    "the model has no \"training\" section, so it has no entry \"{}\"",
                    options.entry);
}

/// The stages behind the graph's.
Result<std::string> print_code(const kernel::Program& program, const std::string& stage,
                               const TargetInfo& target) {
  if (stage == "kernels") return kernel::to_string(program);
  ObjectOptions object;
  object.kind = stage == "llvm" ? ObjectKind::kLlvm : ObjectKind::kAssembly;
  GRADC_TRY(ObjectFile file, write_object(program, target, object));
  return std::move(file.bytes);
}

Diagnostic not_a_graph(const InspectCommandLine& options, const std::string& stage) {
  return make_error(DiagKind::kInvalidUsage, {},
                    "the stage \"{}\" is text; --format {} shows graphs", stage, options.format);
}

/// The times of a page, where there shall be some.
Result<std::optional<ReportProfile>> profile_of(const InspectCommandLine& options, EntryPoint kind,
                                                SourceSet& sources) {
  std::optional<ReportProfile> profile;
  if (options.profile.empty() && !options.measure) return profile;
  if (kind != EntryPoint::kTrainStep)
    return make_error(DiagKind::kInvalidUsage, {},
                      "times are those of train_step, the page is of {}", entry_name(kind));
  if (options.measure) {
    BenchOptions bench;
    bench.model = options.file;
    bench.given = given_of_model();
    bench.seconds = 1.0;
    bench.batch_size = options.batch_size;
    bench.threads = options.threads;
    bench.cpu = options.cpu;
    bench.memory_budget_bytes = options.memory_budget;
    bench.profile = true;
    GRADC_TRY(const BenchResult result, run_bench(bench, sources));
    profile = report_profile(result);
  } else {
    GRADC_TRY(profile, read_report_profile(options.profile));
  }
  return profile;
}

Result<std::string> page_of(const InspectCommandLine& options, const Model& model, EntryPoint kind,
                            int64_t batch, const TargetInfo& target, SourceSet& sources) {
  ReportOptions report;
  report.entry = kind;
  report.batch = batch;
  report.target = target;
  report.memory_budget_bytes = options.memory_budget;
  GRADC_TRY(report.profile, profile_of(options, kind, sources));
  if (report.profile && report.profile->batch_size != batch)
    return make_error(DiagKind::kInvalidUsage, {options.profile, "", false},
                      "the profile is of batches of {}, the page of {}", report.profile->batch_size,
                      batch);
  return html_report(model, report);
}

Result<std::string> inspect_model(const InspectCommandLine& options, SourceSet& sources) {
  GRADC_TRY(const Model model, exchange::read_model(options.file, sources, given_of_model()));
  report(model.warnings);
  GRADC_TRY(const EntryPoint kind, entry_of(options, model));
  CompileOptions compile;
  compile.batch_size = options.batch_size;
  compile.memory_budget_bytes = options.memory_budget;
  const int64_t batch = effective_batch(model, compile);
  GRADC_TRY(compile.target, target_of(options));
  const TargetInfo& target = compile.target;
  if (options.remarks) {
    GRADC_TRY(const StagedEntry staged,
              build_staged(model, kind, batch, PipelineStage::kOptimized, BuildOptions{}));
    return print_remarks(*staged.graph, options);
  }
  if (options.format == "html") return page_of(options, model, kind, batch, target, sources);
  if (options.format == "dot" && options.stage.empty()) return layers_to_dot(model);
  const std::string stage = options.stage.empty() ? "optimized" : options.stage;
  for (size_t i = 0; i < kStageNames.size(); ++i) {
    if (kStageNames[i] != stage) continue;
    const auto last = static_cast<PipelineStage>(i);
    kernel::ProgramLowering lowering(model.name, target);
    BuildOptions build;
    build.name_bodies = true;
    build.lowering = &lowering;
    build.memory_budget_bytes = options.memory_budget;
    GRADC_TRY(const StagedEntry staged, build_staged(model, kind, batch, last, build));
    return print_staged(*staged.graph, last, staged.plan ? &*staged.plan : nullptr, options.format);
  }
  if (options.format != "text") {
    return not_a_graph(options, stage);
  }
  std::vector<Diagnostic> warnings;
  GRADC_TRY(const auto tables, make_tables(model, batch, warnings, nullptr, is_for_hosts(kind)));
  const std::array kinds = {kind};
  GRADC_TRY(const kernel::Program program, lower_entries(model, kinds, *tables, compile, nullptr));
  return print_code(program, stage, target);
}

/// Any number of graphs, with the stage that the file says they hold.
Result<std::string> print_graphs(const InspectCommandLine& options, const SourceFile& source) {
  GRADC_TRY(const auto graphs, parse_graphs(source.text(), options.file));
  std::string text;
  if (options.format == "text" && !options.remarks && source.text().starts_with("// stage: "))
    text = source.text().substr(0, source.text().find('\n') + 1);
  for (const auto& graph : graphs) {
    if (options.remarks) {
      GRADC_TRY(const std::string remarks, print_remarks(*graph, options));
      text += remarks;
    } else if (options.format == "dot") {
      text += to_dot(*graph);
    } else {
      text += options.format == "json" ? graph_to_json(*graph) : print_graph(*graph);
    }
  }
  return text;
}

/// A .gir as it is, or carried on to a later stage.
Result<std::string> inspect_gir(const InspectCommandLine& options) {
  if (options.format == "html") {
    return make_error(DiagKind::kInvalidUsage, {options.file, "", false},
                      "--format html is for models; a .gir file has text, dot and json");
  }
  GRADC_TRY(const SourceFile source, read_source_file(options.file));
  if (options.stage.empty() && holds_graphs(source.text())) return print_graphs(options, source);
  GRADC_TRY(GirFile file, parse_gir(source.text(), options.file));
  const std::string stage = options.stage.empty() ? "kernels" : options.stage;
  GRADC_TRY(const TargetInfo target, target_of(options));
  BuildOptions build;
  build.name_bodies = true;
  kernel::ProgramLowering lowering(options.file, target);
  build.lowering = &lowering;
  build.memory_budget_bytes = options.memory_budget;
  for (size_t i = 0; i < kStageNames.size(); ++i) {
    if (kStageNames[i] != stage) continue;
    const auto last = static_cast<PipelineStage>(i);
    GRADC_TRY(const StagedEntry staged, stage_gir(file, last, build));
    report(staged.warnings);
    return print_staged(*staged.graph, last, staged.plan ? &*staged.plan : nullptr, options.format);
  }
  if (options.format != "text") return not_a_graph(options, stage);
  GRADC_TRY(const kernel::Program program, lower_gir(file, target, build));
  return print_code(program, stage, target);
}

int run_inspect(const InspectCommandLine& options) {
  SourceSet sources;
  if (!options.output.empty()) {
    Status place = check_apart(options.output, options.file);
    if (place.ok()) place = check_apart(options.output, options.profile);
    if (place.ok()) place = check_output(options.output);
    if (!place.ok()) return report(place.diagnostics());
  }
  const auto text =
      has_extension(options.file, "gir") ? inspect_gir(options) : inspect_model(options, sources);
  if (!text.ok()) return report(text.diagnostics());
  if (const Status place = check_apart(options.output, sources); !place.ok())
    return report(place.diagnostics());
  const auto written = write_text(options.output, *text);
  return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
}

}  // namespace

void register_inspect(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<InspectCommandLine>();
  CLI::App* command =
      app.add_subcommand("inspect", "show a stage of a model on its way to machine code");
  command->footer(
      "Examples:\n"
      "  gradc inspect examples/fashion_mnist_mlp.json --stage fused\n"
      "  gradc inspect examples/fashion_mnist_mlp.json --format html --measure -o model.html\n"
      "  gradc inspect examples/fashion_mnist_mlp.json --stage asm --entry predict --cpu "
      "x86-64-v3");
  command->add_option("FILE", options->file, "a model's JSON, or a graph in text form (.gir)")
      ->required();
  add_choice(
      *command, "--stage", options->stage,
      {"graph", "gradient", "optimized", "fused", "scheduled", "planned", "kernels", "llvm", "asm"},
      "graph: as the layers built it; gradient: with backward and update; optimized (default): "
      "primitives and whole steps of the optimizer, simplified; fused; scheduled; planned: with "
      "memory; kernels; llvm; asm. A .gir is carried on from the stage that it holds (default: "
      "shown as it is)");
  add_choice(*command, "--format", options->format, {"text", "dot", "json", "html"},
             "text (default; graphs read back); dot (Graphviz): a model's layers, or the ops of "
             "the stage that --stage names; json; html: one page with everything");
  add_choice(*command, "--entry", options->entry, entry_names(),
             "which entry (default train_step; predict for a model without training); step: of a "
             "language model, what generate runs for each token; those behind it are for hosts "
             "(docs/architecture.md)");
  add_batch_size(*command, options->batch_size);
  add_memory_budget(*command, options->memory_budget);
  command
      ->add_flag(
          "--remarks", options->remarks,
          "why each two neighbouring kernels were not fused (text or json); a .gir file must "
          "be of the stage optimized")
      ->excludes("--stage");
  CLI::Option* profile = command->add_option(
      "--profile", options->profile,
      "html: show the times in this file, which bench --profile --json wrote for this model");
  command
      ->add_flag("--measure", options->measure,
                 "html: show times, measured now as bench --profile does")
      ->excludes(profile);
  add_threads(*command, options->threads);
  command->add_option("--target", options->triple,
                      "kernels, llvm, asm: target triple (default: this machine)");
  command->add_option("--cpu", options->cpu, "target CPU as LLVM names it");
  command->add_option("--features", options->features, "target features, e.g. +avx2,+fma");
  command->add_option("-o,--out", options->output, "write here, not to stdout")
      ->check(output_name());
  command->callback(
      [options, &selection] { selection.run = [options] { return run_inspect(*options); }; });
}

}  // namespace gradc::tool
