// How the time of every pass grows with depth: chains of equal blocks, each four times as long as
// the last. Prints milliseconds of CPU time and, per row, the factor from the second longest to the
// longest chain beside that of the nodes: n log n stays a little above it. Arguments: names of
// chains, then lengths.
#include "frontend/graph_builder.h"
#include "frontend/native_reader.h"
#include "ir/printer.h"
#include "ir/structural_hash.h"
#include "ir/verifier.h"
#include "passes/fusion_form.h"
#include "passes/graph_stats.h"
#include "passes/index_ranges.h"
#include "passes/memory_report.h"
#include "passes/passes.h"
#include "passes/plan_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gradc {
namespace {

struct Chain {
  std::string_view name;
  std::vector<int> lengths;
  std::string (*model)(int length);
};

std::string training(std::string_view optimizer) {
  return fmt::format(
      R"("training": {{"loss": {{"type": "sparse_categorical_crossentropy", "from_logits": true}},
      "optimizer": {}, "metrics": ["accuracy"], "batch_size": 4}})",
      optimizer);
}

const std::vector<Chain>& chains() {
  static const std::vector<Chain> kChains = {
      {"residual",
       {16, 64, 256, 1024},
       [](int n) {
         return fmt::format(
             R"({{"inputs": [{{"name": "x", "shape": [64]}}],
             "blocks": {{"residual": {{"layers": [{{"type": "layer_norm"}},
               {{"type": "dense", "units": 64, "activation": "silu"}},
               {{"type": "dense", "units": 64, "name": "out"}},
               {{"type": "add", "inputs": ["input", "out"]}}]}}}},
             "layers": [{{"type": "block", "block": "residual", "repeat": {}, "name": "body"}},
               {{"type": "dense", "units": 3}}], {}}})",
             n, training(R"({"type": "adamw", "global_clipnorm": 1.0})"));
       }},
      {"residual_bn",
       {16, 64, 256, 1024},
       [](int n) {
         return fmt::format(
             R"({{"inputs": [{{"name": "x", "shape": [8, 8, 16]}}],
             "blocks": {{"residual": {{"layers": [
               {{"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same"}},
               {{"type": "batch_normalization"}}, {{"type": "activation", "activation": "relu"}},
               {{"type": "conv2d", "filters": 16, "kernel_size": 3, "padding": "same"}},
               {{"type": "batch_normalization", "name": "out"}},
               {{"type": "add", "inputs": ["input", "out"]}},
               {{"type": "activation", "activation": "relu"}}]}}}},
             "layers": [{{"type": "block", "block": "residual", "repeat": {}, "name": "body"}},
               {{"type": "global_average_pooling2d"}}, {{"type": "dense", "units": 3}}], {}}})",
             n, training(R"({"type": "sgd", "learning_rate": 0.1, "momentum": 0.9})"));
       }},
      {"conv",
       {17, 65, 257, 1025},
       [](int n) {
         return fmt::format(
             R"({{"inputs": [{{"name": "x", "shape": [8, 8, 16]}}],
             "blocks": {{"same": {{"layers": [{{"type": "conv2d", "filters": 16, "kernel_size": 3,
               "padding": "same", "activation": "relu"}}]}}}},
             "layers": [{{"type": "block", "block": "same", "repeat": {}, "name": "body"}},
               {{"type": "global_average_pooling2d"}}, {{"type": "dense", "units": 3}}], {}}})",
             n, training(R"("adam")"));
       }},
  };
  return kChains;
}

double cpu_milliseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/// Rows by name, one column per length.
class Table {
 public:
  void next_column() { ++columns_; }
  void add(std::string_view name, double value) {
    auto row =
        std::find_if(rows_.begin(), rows_.end(), [&](const auto& r) { return r.first == name; });
    if (row == rows_.end()) row = rows_.insert(rows_.end(), {std::string(name), {}});
    row->second.resize(columns_, 0);
    row->second.back() += value;
  }
  void print() const {
    for (const auto& [name, values] : rows_) {
      fmt::print("| {:<18} |", name);
      for (double value : values)
        fmt::print(" {:>9.{}f} |", value, name == "nodes" ? 0 : 2);
      const size_t last = values.size();
      if (last > 1) fmt::print(" {:>5.1f} |", values[last - 1] / values[last - 2]);
      fmt::print("\n");
    }
    std::fflush(stdout);
  }

 private:
  size_t columns_ = 0;
  std::vector<std::pair<std::string, std::vector<double>>> rows_;
};

template <class Work>
auto timed(Table& table, std::string_view name, Work work) {
  const double begin = cpu_milliseconds();
  auto result = work();
  table.add(name, cpu_milliseconds() - begin);
  return result;
}

template <class T>
T value_of(Result<T> result) {
  if (result.ok()) return std::move(*result);
  fmt::print(stderr, "{}\n", result.message());
  std::exit(1);
}

void measure(const Chain& chain, int length, Table& table) {
  SourceSet sources;
  const std::string text = chain.model(length);
  const Model model =
      timed(table, "read", [&] { return value_of(read_model_text("model.json", text, sources)); });
  EntryGraph entry = timed(table, "build", [&] {
    return value_of(build_entry_graph(model, {EntryKind::kTrain, 4, false}));
  });
  Graph& graph = *entry.graph;
  PassContext context;
  context.options.optimizer = entry.optimizer;
  const auto pass = [&](std::string_view name) {
    context.begin_pass(name);
    return timed(table, name, [&] { return value_of(find_pass(name)->run(graph, context)); });
  };
  const auto simplify = [&] {
    bool changed = true;
    while (changed) {
      changed = false;
      for (const char* name : {"canonicalize", "constant_fold", "cse", "dce"})
        changed |= pass(name);
    }
  };
  timed(table, "index_ranges", [&] { return index_ranges(graph).size(); });
  simplify();
  for (const char* name : {"differentiate", "apply_optimizer", "expand_composites"})
    pass(name);
  simplify();
  table.add("nodes", static_cast<double>(graph.num_nodes()));
  pass("fuse");
  timed(table, "verify_fused", [&] { return verify_fused(graph).size(); });
  for (const char* name : {"schedule", "in_place", "plan_memory"})
    pass(name);
  timed(table, "verify_plan", [&] { return verify_plan(graph, *context.plan).size(); });
  timed(table, "memory_report", [&] { return memory_report_text(graph, *context.plan).size(); });
  timed(table, "verify", [&] { return verify(graph).size(); });
  timed(table, "structural_hash", [&] { return structural_hash(graph); });
  timed(table, "clone", [&] { return graph.clone(); });
  timed(table, "print", [&] { return print_graph(graph).size(); });
}

int run(int argc, char** argv) {
  std::vector<std::string> names;
  std::vector<int> lengths;
  for (int i = 1; i < argc; ++i) {
    const int number = std::atoi(argv[i]);
    if (number > 0) {
      lengths.push_back(number);
    } else {
      names.emplace_back(argv[i]);
    }
  }
  for (const Chain& chain : chains()) {
    if (!names.empty() && std::find(names.begin(), names.end(), chain.name) == names.end())
      continue;
    Table table;
    fmt::print("{}, milliseconds for chains of", chain.name);
    for (int length : lengths.empty() ? chain.lengths : lengths) {
      fmt::print(" {}", length);
      std::fflush(stdout);
      table.next_column();
      measure(chain, length, table);
    }
    fmt::print("\n");
    table.print();
  }
  return 0;
}

}  // namespace
}  // namespace gradc

int main(int argc, char** argv) {
  return gradc::run(argc, argv);
}
