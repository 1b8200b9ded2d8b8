// A .gir file wherever a model is taken: a graph of any stage of one entry, or the kernels of a
// program, carried on from there.
#pragma once

#include "codegen/kernel/program.h"
#include "codegen/target_info.h"
#include "driver/entry_builder.h"
#include "ir/graph.h"
#include "support/result.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace gradc {

/// Whether a path names such a file.
bool is_gir(std::string_view path);

/// Whether a text is of graphs, not of kernels.
bool holds_graphs(std::string_view text);

struct GirFile {
  std::string path;
  /// What the graph is past: the first line says it ("// stage: fused"), else its nodes do.
  PipelineStage stage = PipelineStage::kGraph;
  std::shared_ptr<Graph> graph;            ///< null: kernels
  std::optional<kernel::Program> program;  ///< verified
};

/// The line that `gradc inspect` puts before a graph.
std::string stage_line(PipelineStage stage);

/// The one graph, or the program, of a file. Outputs without a name get their value's.
Result<GirFile> read_gir_file(const std::string& path);
Result<GirFile> parse_gir(std::string_view text, const std::string& path);

/// The graph after everything up to `last`; a stage that the file is past is refused.
Result<StagedEntry> stage_gir(const GirFile& file, PipelineStage last, const BuildOptions& options);

/// The kernels of the file's graph, slots numbered inputs first, then outputs; or its own, which
/// are moved out of it.
Result<kernel::Program> lower_gir(GirFile& file, const TargetInfo& target,
                                  BuildOptions options = {});

}  // namespace gradc
