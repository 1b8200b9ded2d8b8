// Runs every file of tests/diagnostics and compares the rendered diagnostics with the
// .txt beside it, exactly. GRADC_UPDATE=1 in the environment writes the .txt files instead. What a
// file is for, by its ending: .json a model: read, built for training, differentiated; .gir a
// graph: parsed and verified; .csv buffers for the planner; .passes a pipeline.
#include "frontend/graph_builder.h"
#include "ir/parser.h"
#include "ir/verifier.h"
#include "passes/offset_planner_csv.h"
#include "passes/pass_manager.h"
#include "support/diagnostic_render.h"

#include "exchange/read_model.h"
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace gradc {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> case_files() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(GRADC_SOURCE_DIR "/tests/diagnostics")) {
    if (entry.is_regular_file() && entry.path().extension() != ".txt")
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<Diagnostic> diagnose_model(const std::string& name, SourceSet& sources) {
  Result<Model> model = exchange::read_model(name, sources);
  if (!model) return model.diagnostics();
  std::vector<Diagnostic> found = model.value().warnings;
  if (!model.value().training) return found;
  Result<EntryGraph> entry = build_entry_graph(
      model.value(), {EntryKind::kTrain, model.value().training->batch_size, false});
  if (!entry) return entry.diagnostics();
  PassContext context;
  context.options.file = name;
  const Status status = run_passes(*entry.value().graph, "differentiate", context);
  const auto& more = status.ok() ? context.sink.all() : status.diagnostics();
  found.insert(found.end(), more.begin(), more.end());
  return found;
}

/// The text between `open` and `close` on the first line; empty when it is not there.
std::string first_line_part(const std::string& text, const std::string& open, char close) {
  const std::string line = text.substr(0, text.find('\n'));
  const size_t begin = line.find(open);
  if (begin == std::string::npos) return {};
  const size_t end = line.find(close, begin);
  return line.substr(begin + open.size(),
                     end == std::string::npos ? end : end - begin - open.size());
}

std::vector<Diagnostic> diagnose_graph(const std::string& name, SourceSet& sources) {
  const SourceFile& file = sources.add(SourceFile(name, text_of(name)));
  auto graph = parse_graph(file.text(), name);
  if (!graph) return graph.diagnostics();
  std::vector<Diagnostic> found = verify(*graph.value());
  const std::string passes = first_line_part(file.text(), "passes(", ')');
  if (!found.empty() || passes.empty()) return found;
  PassContext context;
  context.options.file = name;
  const std::string budget = first_line_part(file.text(), "budget=", ' ');
  if (!budget.empty()) context.options.memory_budget_bytes = std::stoll(budget);
  const Status status = run_passes(*graph.value(), passes, context);
  return status.ok() ? found : status.diagnostics();
}

std::vector<Diagnostic> diagnose(const std::string& name, SourceSet& sources) {
  const std::string ending = fs::path(name).extension();
  if (ending == ".json") return diagnose_model(name, sources);
  if (ending == ".gir") return diagnose_graph(name, sources);
  if (ending == ".csv") {
    const SourceFile& file = sources.add(SourceFile(name, text_of(name)));
    const auto buffers = parse_buffers_csv(file.text(), name);
    return buffers.ok() ? std::vector<Diagnostic>() : buffers.diagnostics();
  }
  EXPECT_EQ(ending, ".passes");
  const auto pipeline = parse_pipeline(text_of(name));
  return pipeline.ok() ? std::vector<Diagnostic>() : pipeline.diagnostics();
}

class DiagnosticFiles : public ::testing::TestWithParam<std::string> {};

TEST_P(DiagnosticFiles, RendersAsExpected) {
  const fs::path folder = GRADC_SOURCE_DIR "/tests/diagnostics";
  fs::current_path(folder);
  SourceSet sources;
  const auto begin = std::chrono::steady_clock::now();
  const std::vector<Diagnostic> found = diagnose(GetParam(), sources);
  const std::string text = render_diagnostics(found, sources);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10))
      << "a wrong file must be refused quickly";
  EXPECT_FALSE(text.empty()) << GetParam() << " gives no diagnostic";
  const fs::path expected = fs::path(GetParam()).replace_extension(".txt");
  if (std::getenv("GRADC_UPDATE") != nullptr) {
    std::ofstream(expected, std::ios::binary) << text;
    return;
  }
  EXPECT_EQ(text, text_of(expected)) << "rerun with GRADC_UPDATE=1 to accept";
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const fs::path& path : case_files())
    names.push_back(path.filename());
  return names;
}

std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, DiagnosticFiles, ::testing::ValuesIn(case_names()), test_name);

TEST(DiagnosticKinds, EachIsExercisedByAFile) {
  std::string all;
  for (const fs::path& path : case_files())
    all += text_of(fs::path(path).replace_extension(".txt"));
  for (const auto& entry : fs::recursive_directory_iterator(GRADC_SOURCE_DIR "/tests/filetests"))
    if (entry.is_regular_file()) all += text_of(entry.path());
  for (const char* name : {
#define GRADC_DIAG(enumerator, name) name,
#include "support/diagnostics.def"
#undef GRADC_DIAG
       }) {
    // These need a machine that is not as it should be, or a gradc that is not:
    // tests/unit/driver/command_test.cpp, tests/unit/codegen/lower_models_test.cpp.
    const std::string_view of_the_command[] = {"file-unwritable", "internal",    "invalid-data",
                                               "plan-memory",     "tool-failed", "tool-missing"};
    if (std::ranges::find(of_the_command, name) != std::end(of_the_command)) continue;
    EXPECT_NE(all.find(std::string("[") + name + "]"), std::string::npos)
        << "no file shows [" << name << "]";
  }
  EXPECT_GE(case_files().size(), 40U);
}

}  // namespace
}  // namespace gradc
