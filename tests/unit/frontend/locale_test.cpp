// Texts are read and written alike whatever locale the process has: a host may have set one with a
// decimal comma and grouped digits.
#include "frontend/graph_builder.h"
#include "frontend/native_reader.h"
#include "ir/dot.h"
#include "ir/graph_json.h"
#include "ir/parser.h"
#include "ir/printer.h"

#include "model_text.h"
#include <gtest/gtest.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace gradc {
namespace {

/// Makes a locale with a decimal comma and thousands points, and sets it while alive.
class CommaLocale {
 public:
  CommaLocale() {
    std::string pattern = (std::filesystem::temp_directory_path() / "gradc-locale-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    std::ofstream(folder_ / "source") << "LC_CTYPE\ncopy \"POSIX\"\nEND LC_CTYPE\nLC_NUMERIC\n"
                                         "decimal_point \",\"\nthousands_sep \".\"\n"
                                         "grouping 3;3\nEND LC_NUMERIC\n";
    const std::string command = "localedef -c -i '" + (folder_ / "source").string() +
                                "' -f UTF-8 '" + (folder_ / "comma").string() +
                                "' > /dev/null 2>&1";
    made_ = std::system(command.c_str()) != -1;
    setenv("LOCPATH", folder_.c_str(), 1);
    set_ = made_ && std::setlocale(LC_ALL, "comma") != nullptr;
  }
  ~CommaLocale() {
    std::setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    std::filesystem::remove_all(folder_);
  }
  CommaLocale(const CommaLocale&) = delete;
  CommaLocale& operator=(const CommaLocale&) = delete;

  /// Whether numbers really have a comma now.
  bool works() const {
    char text[16];
    std::snprintf(text, sizeof text, "%.1f", 0.5);
    return set_ && std::string(text) == "0,5";
  }

 private:
  std::filesystem::path folder_;
  bool made_ = false;
  bool set_ = false;
};

constexpr const char* kModel = R"({
  "inputs": [{"name": "x", "shape": [1000]}],
  "layers": [
    {"type": "dense", "units": 12345, "activation": {"type": "elu", "alpha": 0.7},
     "kernel_regularizer": {"type": "l2", "l2": 1.25e-3}},
    {"type": "layer_normalization", "epsilon": 0.0125},
    {"type": "dropout", "rate": 0.30000000000000004},
    {"type": "dense", "units": 2}],
  "training": {
    "loss": {"type": "huber", "delta": 0.75},
    "optimizer": {"type": "adam", "beta_1": 0.875, "learning_rate":
      {"type": "exponential_decay", "initial_learning_rate": 0.05, "decay_steps": 1234567,
       "decay_rate": 0.85}}},
  "data": {"x": {"scale": 0.125, "offset": -0.5}}
})";

/// Everything that is made of a model as text.
std::string texts_of(const char* json) {
  SourceSet sources;
  const Result<Model> model = read_model_text("m.json", json, sources);
  if (!model.ok()) return render_diagnostics(model.diagnostics(), sources);
  const Result<EntryGraph> entry =
      build_entry_graph(model.value(), {EntryKind::kTrain, 1000, true});
  if (!entry.ok()) return render_diagnostics(entry.diagnostics(), sources);
  const Graph& graph = *entry.value().graph;
  const std::string text = print_graph(graph);
  const auto again = parse_graph(text, "m.gir");
  if (!again.ok()) return again.diagnostics().front().message;
  EXPECT_EQ(print_graph(*again.value()), text);
  return text + graph_to_json(graph) + to_dot(graph) +
         fmt::format("{} {}", model.value().data[0].scale, model.value().data[0].offset);
}

TEST(Locale, ModelsAndGraphsAreTheSameTextInEvery) {
  const std::string expected = texts_of(kModel);
  EXPECT_NE(expected.find("0.7"), std::string::npos) << expected;
  const std::string wrong = problems_of(R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dropout", "rate": 1.5}, {"type": "dense", "units": -12345}]})");
  const CommaLocale locale;
  if (!locale.works()) GTEST_SKIP() << "no locale with a decimal comma can be made here";
  EXPECT_EQ(texts_of(kModel), expected);
  EXPECT_EQ(problems_of(R"({"inputs": [{"name": "x", "shape": [3]}],
    "layers": [{"type": "dropout", "rate": 1.5}, {"type": "dense", "units": -12345}]})"),
            wrong);
}

}  // namespace
}  // namespace gradc
