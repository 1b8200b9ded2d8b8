// gradc compile: a model to a native executable, library, object, assembly or LLVM IR.
#include "driver/aot.h"
#include "driver/output.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include "exchange/read_model.h"

#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

namespace gradc::tool {

namespace {

constexpr std::pair<const char*, EmitKind> kEmitKinds[] = {
    {"exe", EmitKind::kExecutable}, {"static", EmitKind::kStatic}, {"shared", EmitKind::kShared},
    {"obj", EmitKind::kObject},     {"asm", EmitKind::kAssembly},  {"llvm", EmitKind::kLlvm}};

/// Words of --entries; "all" is what the model can have of them.
constexpr std::pair<const char*, bool HostCalls::*> kHostCalls[] = {
    {"gradients", &HostCalls::gradients},
    {"losses", &HostCalls::losses},
    {"inputs", &HostCalls::inputs},
    {"numbers", &HostCalls::numbers}};

HostCalls host_calls(const std::vector<std::string>& words, bool trains) {
  HostCalls calls;
  for (const std::string& word : words) {
    if (word == "all")
      calls = {.gradients = trains, .losses = true, .inputs = true, .numbers = trains};
    for (const auto& [name, call] : kHostCalls) {
      if (word == name) calls.*call = true;
    }
  }
  return calls;
}

struct CompileCommandLine {
  std::string model, output, triple, cpu, features;
  std::vector<std::string> entries;
  std::string emit = "exe";
  CompileOptions compile{};
};

Result<AotResult> compile(const CompileCommandLine& options, SourceSet& sources) {
  GRADC_TRY_STATUS(check_apart(options.output, options.model));
  GRADC_TRY(const Model model, exchange::read_model(options.model, sources, given_of_model()));
  GRADC_TRY_STATUS(check_apart(options.output, sources));
  report(model.warnings);
  AotOptions aot;
  aot.output = options.output;
  for (const auto& [name, kind] : kEmitKinds) {
    if (options.emit == name) aot.emit = kind;
  }
  aot.hosts = host_calls(options.entries, model.training.has_value());
  aot.compile = options.compile;
  GRADC_TRY(aot.compile.target, TargetInfo::from(options.triple, options.cpu, options.features));
  return compile_to_files(model, aot);
}

int run_compile(const CompileCommandLine& options) {
  SourceSet sources;
  const auto result = compile(options, sources);
  if (!result.ok()) return report(result.diagnostics());
  if (result->stopped) {
    std::fprintf(stderr, "gradc: stopped; nothing was written\n");
    return kStopped;
  }
  for (const std::string& file : result->files) {
    // What went to standard output needs no telling there.
    if (!rt::is_standard_output(file.c_str())) std::printf("%s\n", file.c_str());
  }
  std::fprintf(stderr, "compiled in %.0f ms\n", result->compile_milliseconds);
  return kSuccess;
}

}  // namespace

void register_compile(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<CompileCommandLine>();
  CLI::App* command =
      app.add_subcommand("compile", "compile a model to a native binary that needs no gradc");
  command->footer(
      "Examples:\n"
      "  gradc compile examples/fashion_mnist_mlp.json -o fashion_mnist && ./fashion_mnist train "
      "--data /usr/share/datasets/fashion-mnist\n"
      "  gradc compile examples/fashion_mnist_mlp.json --emit static -o libfashion.a     and "
      "fashion_mnist_mlp.h beside it\n"
      "  gradc compile examples/fashion_mnist_mlp.json --emit obj -o fashion.o --target "
      "aarch64-linux-gnu --cpu cortex-a72");
  command->add_option("MODEL", options->model, "the model's JSON")->required();
  command->add_option("-o,--out", options->output, "the file to write")
      ->check(output_name())
      ->required();
  std::vector<std::string> kinds;
  for (const auto& [name, kind] : kEmitKinds)
    kinds.emplace_back(name);
  add_choice(*command, "--emit", options->emit, std::move(kinds),
             "exe (default): a program that trains, evaluates and predicts; static, shared, obj: "
             "with a C header beside it; asm; llvm");
  add_choices(*command, "--entries", options->entries,
              {"gradients", "losses", "inputs", "numbers", "all"},
              "of a library, what hosts that train by hand call: gradients (of parameters, and "
              "apply_gradients), losses (of their own: forward, backward, apply_gradients), inputs "
              "(gradients "
              "of inputs, of these), numbers (set_hyperparameter), all; separated by commas "
              "(default: none)");
  add_batch_size(*command, options->compile.batch_size);
  add_memory_budget(*command, options->compile.memory_budget_bytes);
  command->add_option("--target", options->triple,
                      "target triple, e.g. aarch64-linux-gnu (default: this machine)");
  command->add_option("--cpu", options->cpu,
                      "target CPU as LLVM names it (default: this machine's; of another target, or "
                      "with --features, the least of its kind)");
  command->add_option("--features", options->features, "target features, e.g. +avx2,+fma");
  command->callback(
      [options, &selection] { selection.run = [options] { return run_compile(*options); }; });
}

}  // namespace gradc::tool
