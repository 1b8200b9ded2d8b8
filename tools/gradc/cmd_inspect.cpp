// gradc inspect: every stage of a model on its way to machine code.
#include "codegen/kernel/program_text.h"
#include "codegen/object_writer.h"
#include "driver/compiled_model.h"
#include "driver/html_report.h"
#include "driver/output.h"
#include "frontend/native_reader.h"
#include "ir/dot.h"
#include "ir/graph_json.h"
#include "ir/parser.h"
#include "ir/printer.h"
#include "passes/fusion_remarks.h"
#include "tools/gradc/command.h"

#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <memory>

namespace gradc::tool {

namespace {

struct InspectCommandLine {
  std::string file;
  std::string stage;
  std::string format = "text";
  std::string entry = "train_step";
  std::string output;
  int64_t batch_size = 0;
  bool remarks = false;
  std::string triple, cpu, features;
};

constexpr std::array<std::string_view, 6> kGraphStages = {"graph", "gradient",  "optimized",
                                                          "fused", "scheduled", "planned"};

/// "arena+16384, 1280 bytes" for each result of a planned node.
PrintOptions plan_annotations(const MemoryPlan& plan) {
  PrintOptions options;
  options.header =
      fmt::format("arena {} bytes, lower bound {} bytes", plan.arena_bytes, plan.lower_bound_bytes);
  options.annotate = [&plan](const Graph& graph, NodeId node) {
    std::string text;
    for (ValueId result : graph.node(node).results) {
      if (result.index >= plan.storage.size()) continue;
      const Storage& storage = plan.storage[result.index];
      std::string place;
      switch (storage.kind) {
        case StorageKind::kNone:
          continue;
        case StorageKind::kConstant:
          place = "constant";
          break;
        case StorageKind::kInput:
          place = fmt::format("in %{}", graph.value(storage.base).name);
          break;
        case StorageKind::kOutput:
          place = fmt::format("output {}", graph.outputs()[storage.output].name);
          break;
        case StorageKind::kArena:
          place = fmt::format("arena+{}, {} bytes", storage.offset, graph.type(result).bytes());
          break;
      }
      if (storage.in_place_of.valid())
        place += fmt::format(" over %{}", graph.value(storage.in_place_of).name);
      text += (text.empty() ? "" : "; ") + place;
    }
    if (const Workspace* workspace = plan.workspace_of(node))
      text += fmt::format("{}workspace arena+{}, {} bytes", text.empty() ? "" : "; ",
                          workspace->offset, workspace->bytes);
    return text;
  };
  return options;
}

Result<std::string> print_staged(const Graph& graph, const MemoryPlan* plan,
                                 const std::string& format) {
  if (format == "dot") return to_dot(graph);
  if (format == "json") return graph_to_json(graph);
  // Bodies are annotated with the places of the outer graph's values, so only the outer level gets
  // a callback.
  if (plan == nullptr) return print_graph(graph);
  PrintOptions options = plan_annotations(*plan);
  const auto inner = options.annotate;
  options.annotate = [inner, &graph](const Graph& g, NodeId node) {
    return &g == &graph ? inner(g, node) : std::string();
  };
  return print_graph(graph, options);
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

EntryPoint entry_of(const InspectCommandLine& options, const Model& model) {
  for (int i = 0; i < kNumEntryPoints; ++i) {
    const auto kind = static_cast<EntryPoint>(i);
    if (entry_name(kind) != options.entry) continue;
    // A model without training has one entry only; asking for the default shows that.
    if (needs_training(kind) && !model.training) return EntryPoint::kPredict;
    return kind;
  }
  GRADC_UNREACHABLE();
}

Result<std::string> inspect_model(const InspectCommandLine& options, SourceSet& sources) {
  GRADC_TRY(const Model model, read_model_file(options.file, sources));
  report(model.warnings);
  const EntryPoint kind = entry_of(options, model);
  CompileOptions compile;
  compile.batch_size = options.batch_size;
  const int64_t batch = effective_batch(model, compile);
  GRADC_TRY(const TargetInfo target, target_of(options));
  if (options.remarks) {
    GRADC_TRY(const StagedEntry staged,
              build_staged(model, kind, batch, PipelineStage::kOptimized, BuildOptions{}));
    return print_remarks(*staged.graph, options);
  }
  if (options.format == "html") return html_report(model, kind, batch, target);
  const std::string stage = options.stage.empty() ? "optimized" : options.stage;
  for (size_t i = 0; i < kGraphStages.size(); ++i) {
    if (kGraphStages[i] != stage) continue;
    kernel::ProgramLowering lowering(model.name, target);
    BuildOptions build;
    build.lowering = &lowering;
    GRADC_TRY(const StagedEntry staged,
              build_staged(model, kind, batch, static_cast<PipelineStage>(i), build));
    return print_staged(*staged.graph, staged.plan ? &*staged.plan : nullptr, options.format);
  }
  if (options.format != "text") {
    return make_error(DiagKind::kInvalidUsage, {},
                      "the stage \"{}\" is text; --format {} shows graphs", stage, options.format);
  }
  std::vector<Diagnostic> warnings;
  GRADC_TRY(const auto tables, make_tables(model, batch, warnings));
  const std::array kinds = {kind};
  GRADC_TRY(const kernel::Program program, lower_entries(model, kinds, *tables, target, nullptr));
  if (stage == "kernels") return kernel::to_string(program);
  ObjectOptions object;
  object.kind = stage == "llvm" ? ObjectKind::kLlvm : ObjectKind::kAssembly;
  GRADC_TRY(ObjectFile file, write_object(program, target, object));
  return std::move(file.bytes);
}

Result<std::string> inspect_graph(const InspectCommandLine& options) {
  if (!options.stage.empty()) {
    return make_error(DiagKind::kInvalidUsage, {options.file, "", false},
                      "--stage is for models; a .gir file is shown as it is")
        .with_help("\"gradc opt\" runs passes on it");
  }
  if (options.format == "html") {
    return make_error(DiagKind::kInvalidUsage, {options.file, "", false},
                      "--format html is for models; a .gir file has text, dot and json");
  }
  GRADC_TRY(const SourceFile source, read_source_file(options.file));
  GRADC_TRY(const auto graphs, parse_graphs(source.text(), options.file));
  std::string text;
  for (const auto& graph : graphs) {
    GRADC_TRY(std::string one, options.remarks ? print_remarks(*graph, options)
                                               : print_staged(*graph, nullptr, options.format));
    text += one;
  }
  return text;
}

int run_inspect(const InspectCommandLine& options) {
  SourceSet sources;
  if (!options.output.empty()) {
    Status place = check_apart(options.output, options.file);
    if (place.ok()) place = check_output(options.output);
    if (!place.ok()) return report(place.diagnostics());
  }
  const auto text =
      has_extension(options.file, "gir") ? inspect_graph(options) : inspect_model(options, sources);
  if (!text.ok()) return report(text.diagnostics());
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
      "  gradc inspect examples/fashion_mnist_mlp.json --format html -o model.html\n"
      "  gradc inspect examples/fashion_mnist_mlp.json --stage asm --entry predict --cpu "
      "x86-64-v3");
  command->add_option("FILE", options->file, "a model's JSON, or a graph in text form (.gir)")
      ->required();
  command
      ->add_option(
          "--stage", options->stage,
          "graph: as the layers built it; gradient: with backward and update; optimized (default): "
          "primitives, simplified; fused; scheduled; planned: with memory; kernels; llvm; asm")
      ->check(CLI::IsMember({"graph", "gradient", "optimized", "fused", "scheduled", "planned",
                             "kernels", "llvm", "asm"}));
  command
      ->add_option("--format", options->format,
                   "text (default; graphs read back), dot (Graphviz), json, or html: one page with "
                   "everything")
      ->check(CLI::IsMember({"text", "dot", "json", "html"}));
  command
      ->add_option("--entry", options->entry,
                   "which entry (default train_step; predict for a model without training)")
      ->check(CLI::IsMember(
          {"predict", "evaluate", "evaluate_tail", "train_step", "train_step_tail", "gradients"}));
  add_batch_size(*command, options->batch_size);
  command
      ->add_flag(
          "--remarks", options->remarks,
          "why each two neighbouring kernels were not fused (text or json); a .gir file must "
          "be of the stage optimized")
      ->excludes("--stage");
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
