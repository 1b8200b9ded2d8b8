// gradc run: one entry on given tensors.
#include "driver/exact_run.h"
#include "driver/gir_file.h"
#include "driver/gir_run.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include <memory>

namespace gradc::tool {

namespace {

const std::vector<std::string> kEntries = {"predict", "loss", "gradients", "train_step"};

void require_entry(std::string& entry) {
  if (entry.empty()) throw CLI::RequiredError("--entry");
  const std::string problem = check_choice(entry, kEntries);
  if (!problem.empty()) throw CLI::ValidationError("--entry", problem);
}

}  // namespace

void register_run(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<ExactRun>();
  auto engine = std::make_shared<std::string>("jit");
  CLI::App* command = app.add_subcommand(
      "run", "run one entry on the tensors of a safetensors file: the exact door");
  command->footer(
      "Example:\n"
      "  gradc run model.json --entry gradients --in batch.safetensors --out "
      "gradients.safetensors\n"
      "  gradc inspect model.json --stage fused -o step.gir && gradc run step.gir --in "
      "all.safetensors "
      "--out results.safetensors\n"
      "The batch size is that of the given tensors.");
  command->add_option("MODEL", options->model, "the model's JSON, or a graph in text form (.gir)")
      ->required();
  offer_choices(command->add_option("--entry", options->entry,
                                    "which entry; of a .gir of kernels, one by name"),
                kEntries);
  command
      ->add_option("--in", options->in,
                   "tensors by name: input/NAME, target/NAME, <layer>/<parameter>, optimizer/...")
      ->required();
  command->add_option("--out", options->out, "where the results go (.safetensors)")
      ->check(output_name())
      ->required();
  command->add_option("--steps", options->steps, "train_step: repeat on the same batch (default 1)")
      ->check(whole_number(0));
  command->add_option("--seed", options->seed, "for parameters that are not given, and dropout")
      ->check(whole_number(0));
  add_threads(*command, options->threads);
  add_cpu(*command, options->cpu);
  add_memory_budget(*command, options->memory_budget_bytes);
  options->cache = true;
  add_no_cache(*command, options->cache);
  add_choice(*command, "--engine", *engine, {"jit", "interpreter"},
             "jit (default), or interpreter: the double-precision reference on the unfused graph");
  command->callback([options, engine, &selection] {
    if (!is_gir(options->model)) require_entry(options->entry);
    selection.run = [options, engine] {
      options->given = given_of_model();
      options->interpreter = *engine == "interpreter";
      SourceSet sources;
      const auto status = is_gir(options->model) ? run_gir(*options) : run_exact(*options, sources);
      return status.ok() ? static_cast<int>(kSuccess) : report(status.diagnostics());
    };
  });
}

}  // namespace gradc::tool
