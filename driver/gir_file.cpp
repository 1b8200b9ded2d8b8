#include "driver/gir_file.h"

#include "codegen/kernel/kernel_verifier.h"
#include "codegen/kernel/lower.h"
#include "codegen/kernel/program_text.h"
#include "ir/op.h"
#include "ir/parser.h"
#include "support/source_file.h"

#include <algorithm>
#include <set>

namespace gradc {

namespace {

constexpr std::string_view kStageMark = "// stage: ";

Place place_of(const GirFile& file) {
  return {file.path, "", false};
}

std::string_view first_line(std::string_view text) {
  return text.substr(0, std::min(text.find('\n'), text.size()));
}

/// The first word that is not in a comment.
std::string_view first_word(std::string_view text) {
  while (!text.empty()) {
    std::string_view line = first_line(text);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    if (!line.empty() && !line.starts_with("//"))
      return line.substr(0, line.find_first_of(" \t\r@"));
  }
  return {};
}

Result<PipelineStage> written_stage(const GirFile& file, std::string_view name) {
  for (size_t i = 0; i < kStageNames.size(); ++i)
    if (kStageNames[i] == name) return static_cast<PipelineStage>(i);
  return make_error(DiagKind::kIrSyntax, place_of(file), "there is no stage \"{}\"", name);
}

/// Kernels are made by fusing; before that a graph may hold anything.
PipelineStage stage_of(const Graph& graph) {
  for (const NodeId node : graph.nodes())
    if (graph.node(node).op == Op::kKernel) return PipelineStage::kFused;
  return PipelineStage::kGraph;
}

/// Every output has a name, no two the same: results are found by them.
void name_outputs(Graph& graph) {
  const std::vector<GraphOutput> outputs(graph.outputs().begin(), graph.outputs().end());
  std::set<std::string> names;
  for (size_t i = outputs.size(); i-- > 0;)
    graph.remove_output(i);
  for (const GraphOutput& output : outputs) {
    std::string name = output.name.empty() ? graph.value(output.value).name : output.name;
    while (!names.insert(name).second)
      name += "_";
    graph.add_output(name, output.value);
  }
}

Result<GirFile> parse_program_file(std::string_view text, GirFile file) {
  GRADC_TRY(file.program, kernel::parse_program(text, file.path));
  std::vector<Diagnostic> errors = kernel::verify(*file.program);
  for (Diagnostic& error : errors) {
    error.kind = DiagKind::kIrInvalid;  // the file's mistake, not gradc's
    error.place = place_of(file);
  }
  if (!errors.empty()) return Failure(std::move(errors));
  return file;
}

}  // namespace

bool is_gir(std::string_view path) {
  return path.ends_with(".gir");
}

bool holds_graphs(std::string_view text) {
  const std::string_view word = first_word(text);
  return word != "program" && word != "kernel";
}

std::string stage_line(PipelineStage stage) {
  return std::string(kStageMark) + std::string(kStageNames[static_cast<size_t>(stage)]) + "\n";
}

Result<GirFile> parse_gir(std::string_view text, const std::string& path) {
  GirFile file;
  file.path = path;
  if (!holds_graphs(text)) return parse_program_file(text, std::move(file));
  GRADC_TRY(file.graph, parse_graph(text, path));
  const std::string_view line = first_line(text);
  if (line.starts_with(kStageMark)) {
    GRADC_TRY(file.stage, written_stage(file, line.substr(kStageMark.size())));
  } else {
    file.stage = stage_of(*file.graph);
  }
  name_outputs(*file.graph);
  return file;
}

Result<GirFile> read_gir_file(const std::string& path) {
  GRADC_TRY(const SourceFile source, read_source_file(path));
  return parse_gir(source.text(), path);
}

Result<StagedEntry> stage_gir(const GirFile& file, PipelineStage last,
                              const BuildOptions& options) {
  if (file.graph == nullptr) {
    return make_error(DiagKind::kInvalidUsage, place_of(file),
                      "the file holds kernels, the stage \"{}\" is a graph's",
                      kStageNames[static_cast<size_t>(last)]);
  }
  if (last < file.stage) {
    return make_error(DiagKind::kInvalidUsage, place_of(file),
                      "the file holds the stage \"{}\", which is past \"{}\"",
                      kStageNames[static_cast<size_t>(file.stage)],
                      kStageNames[static_cast<size_t>(last)]);
  }
  return build_staged(file.graph->clone(), file.stage, last, options, file.path);
}

Result<kernel::Program> lower_gir(GirFile& file, const TargetInfo& target, BuildOptions options) {
  if (file.program) {
    for (const kernel::Entry& entry : file.program->entries) {
      const auto budget = options.memory_budget_bytes;
      if (!budget || entry.arena_bytes <= *budget) continue;
      return make_error(DiagKind::kMemoryBudget, place_of(file),
                        "the kernels of the entry \"{}\" are planned for an arena of {} bytes, the "
                        "budget is {}",
                        entry.name, entry.arena_bytes, *budget);
    }
    return std::move(*file.program);
  }
  kernel::ProgramLowering lowering(file.graph->name(), target);
  options.lowering = &lowering;
  GRADC_TRY(const StagedEntry entry, stage_gir(file, PipelineStage::kPlanned, options));
  const Graph& graph = *entry.graph;
  const auto slot = [&graph](kernel::SlotUse use, std::string_view name) {
    size_t number = 0;
    for (const GraphInput& input : graph.inputs()) {
      if (use == kernel::SlotUse::kInput && input.name == name) return static_cast<int64_t>(number);
      ++number;
    }
    for (const GraphOutput& output : graph.outputs()) {
      if (use == kernel::SlotUse::kOutput && output.name == name)
        return static_cast<int64_t>(number);
      ++number;
    }
    GRADC_CHECK(false, "no slot for \"{}\"", name);
  };
  const kernel::LowerEntry lowered{graph.name(), &graph, &*entry.plan, slot};
  GRADC_TRY_STATUS(lowering.add(lowered, entry.lowered));
  return lowering.take();
}

}  // namespace gradc
