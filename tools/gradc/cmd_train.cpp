// gradc train, eval, predict and generate: the model by JIT, the options and the rest as in
// compiled executables (runtime/command_line.h).
#include "driver/compiled_model.h"
#include "driver/foreign_weights.h"
#include "driver/free_memory.h"
#include "driver/output.h"
#include "driver/results/confusion_text.h"
#include "driver/results/evaluation.h"
#include "driver/results/results_page.h"
#include "runtime/command_line.h"
#include "support/utf8.h"
#include "tools/gradc/command.h"

#include "exchange/media/folder.h"
#include "exchange/weights.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::tool {

namespace {

/// The options that only the gradc command has, and those of runtime/command_line.h.
struct TrainCommandLine {
  std::string model;
  int64_t batch_size = 0;
  std::string cpu;
  std::optional<int64_t> memory_budget;
  bool force = false;
  bool cache = true;
  std::string report;  ///< eval: where the results go; empty: nowhere
  bool confusion = false;
  rt::CommandLine line;
};

std::string text_of(const rt::Str& text) {
  return {text.c_str(), text.size()};
}

std::string text_of(const rt::Status& status) {
  return text_of(status.text);
}

/// Throws what CLI11 reports as a wrong command line.
void check_usage(const rt::Status& status) {
  if (!status.ok()) throw CLI::ParseError(text_of(status), CLI::ExitCodes::ValidationError);
}

/// Every option of the table, read by the table's own function.
void add_options(CLI::App& command, rt::CommandKind kind,
                 const std::shared_ptr<TrainCommandLine>& options) {
  for (const rt::OptionRow& row : rt::all_options()) {
    const bool own =
        std::string_view(row.name) == "--help" || std::string_view(row.name) == "--no-warn";
    if (own || !rt::has_option(kind, row)) continue;
    if (row.value == nullptr) {
      command.add_flag_callback(
          row.name, [options, &row] { check_usage(row.read(row, nullptr, &options->line)); },
          row.help);
      continue;
    }
    CLI::Option* option = command.add_option_function<std::vector<std::string>>(
        row.name,
        [options, &row](const std::vector<std::string>& values) {
          for (const std::string& value : values)
            check_usage(row.read(row, value.c_str(), &options->line));
        },
        row.help);
    option->type_name(row.value)->expected(1)->allow_extra_args(false);
    option->multi_option_policy(row.repeatable ? CLI::MultiOptionPolicy::TakeAll
                                               : CLI::MultiOptionPolicy::Throw);
  }
}

int report(const rt::Status& status) {
  if (status.ok()) return kSuccess;
  const std::string text = text_of(status);
  const char* kind = status.code == rt::Code::kStopped ? "" : "error: ";
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin)
      std::fprintf(stderr, "gradc: %s%s\n", kind,
                   printable_lines(text.substr(begin, end - begin)).c_str());
    begin = end + 1;
  }
  switch (status.code) {
    case rt::Code::kOk:
      return kSuccess;
    case rt::Code::kStopped:
      return kStopped;
    case rt::Code::kUserError:
    case rt::Code::kOutOfMemory:
      return kUserError;
    case rt::Code::kUsage:
      return kUsageError;
    case rt::Code::kInternal:
      return kInternalError;
  }
  return kInternalError;
}

/// Compiles what training needs, so that its memory is known; too much of it is an error, with
/// --force a warning.
int check_memory(CompiledModel& model, const TrainCommandLine& options) {
  if (!model.supports(EntryPoint::kTrainStep)) return kSuccess;  // told by what is run
  std::vector<EntryPoint> kinds = {EntryPoint::kTrainStep};
  // What does not keep the budget is told before the first epoch, not when it first runs.
  if (options.memory_budget) {
    kinds.insert(kinds.end(),
                 {EntryPoint::kTrainStepTail, EntryPoint::kEvaluate, EntryPoint::kEvaluateTail});
  }
  const auto compiled = model.compile(kinds);
  if (!compiled.ok()) return tool::report(compiled.diagnostics());
  const auto fits =
      check_free_memory("training", model.memory_bytes(static_cast<int>(options.line.threads)));
  if (fits.ok()) return kSuccess;
  Diagnostic problem = fits.diagnostics().front();
  if (options.force) problem.severity = Severity::kWarning;
  problem.help += options.force ? "" : "; --force trains all the same";
  return tool::report({problem});
}

/// What is written takes the place of nothing that the model was read from. Weights may go into
/// another program's file that they came from.
Status check_model_kept(const TrainCommandLine& options, const SourceSet& sources) {
  std::vector<std::string> outputs = {options.report, text_of(options.line.checkpoint),
                                      text_of(options.line.log)};
  if (!exchange::has_foreign_weights(options.model)) outputs.push_back(text_of(options.line.out));
  for (const std::string& output : outputs) {
    GRADC_TRY_STATUS(check_apart(output, options.model));
    GRADC_TRY_STATUS(check_apart(output, sources));
  }
  return Ok{};
}

/// What eval makes of an evaluation beside its scores.
struct ResultsOfEval {
  const CompiledModel& model;
  const TrainCommandLine& options;
  std::string data;

  Status show(rt::Instance& instance, const rt::Evaluated& evaluated) const {
    GRADC_TRY(const Json results,
              results::evaluation_results(model.model(), instance, evaluated, data));
    if (options.confusion) {
      const std::string text = results::confusion_text(results);
      std::fwrite(text.data(), 1, text.size(), stdout);
    }
    if (options.report.empty()) return Ok{};
    const bool page = has_extension(options.report, "html");
    GRADC_TRY_STATUS(write_text(options.report,
                                page ? results::results_page(results) : json_text(results) + "\n"));
    if (!options.line.json) std::printf("report: %s\n", options.report.c_str());
    return Ok{};
  }

  static rt::Status take(void* self, rt::Instance& instance, const rt::Evaluated& evaluated) {
    const Status shown = static_cast<const ResultsOfEval*>(self)->show(instance, evaluated);
    rt::Status status;
    if (shown.ok()) return status;
    for (const Diagnostic& problem : shown.diagnostics())
      rt::add_problem(status, "%s", problem.message.c_str());
    return status;
  }
};

/// Opens the model and runs a command on an instance of it.
int run(rt::CommandKind kind, TrainCommandLine& options) {
  options.line.data.files = exchange::media_reader();
  SourceSet sources;
  CompileOptions compile;
  compile.batch_size = options.batch_size;
  compile.memory_budget_bytes = options.memory_budget;
  if (options.cache) compile.cache = DiskCache::of_user();
  auto target = TargetInfo::host_as(options.cpu);
  if (!target.ok()) return tool::report(target.diagnostics());
  compile.target = target.take();
  auto model = CompiledModel::open(options.model, compile, sources, given_of_model());
  if (!model.ok()) return tool::report(model.diagnostics());
  if (const Status kept = check_model_kept(options, sources); !kept.ok())
    return tool::report(kept.diagnostics());
  tool::report((*model)->take_warnings());
  if (kind == rt::kTrainCommand) {
    const int code = check_memory(**model, options);
    if (code != kSuccess) return code;
  }
  options.line.warnings = silenced_warnings();
  rt::Instance* instance = nullptr;
  rt::Status status =
      rt::Instance::create((*model)->runtime_model(), {static_cast<int32_t>(options.line.threads)},
                           nullptr, 0, &instance);
  const ForeignWeights foreign{
      **model, [](const std::vector<Diagnostic>& warnings) { tool::report(warnings); }};
  if (status.ok()) {
    instance->set_weights_reader(weights_reader(foreign));
    instance->set_weights_writer(weights_writer(foreign));
  }
  ResultsOfEval results{**model, options, text_of(options.line.data.spec)};
  if (!options.report.empty() || options.confusion) {
    options.line.report = rt::Str(options.report.c_str());
    options.line.evaluated = {&ResultsOfEval::take, &results};
  }
  if (status.ok()) status = rt::run_command(*instance, kind, options.line);
  if (instance != nullptr) rt::Instance::destroy(instance);
  return report(status);
}

CLI::App* add_command(CLI::App& app, Selection& selection, rt::CommandKind kind,
                      const std::string& name, const std::string& help,
                      const std::shared_ptr<TrainCommandLine>& options) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("MODEL", options->model, "the model's JSON")->required();
  if (kind == rt::kGenerateCommand) {
    options->batch_size = 1;
  } else {
    add_batch_size(*command, options->batch_size);
  }
  add_cpu(*command, options->cpu);
  add_memory_budget(*command, options->memory_budget);
  add_no_cache(*command, options->cache);
  add_options(*command, kind, options);
  command->callback([options, kind, &selection] {
    // A model of another program that has weights in it goes on from them.
    if (options->line.weights.empty() && !options->line.resume &&
        exchange::has_foreign_weights(options->model)) {
      options->line.weights = rt::Str(options->model.c_str());
      options->line.goes_on = true;
    }
    check_usage(rt::check_needed(kind, options->line));
    selection.run = [options, kind] { return run(kind, *options); };
  });
  return command;
}

}  // namespace

void register_train(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = add_command(app, selection, rt::kTrainCommand, "train",
                                  "train a model on data, by JIT", options);
  command->add_flag("--force", options->force,
                    "train although the memory that is free is too small");
  command->footer(
      "Examples:\n"
      "  gradc train examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist "
      "--out weights.safetensors\n"
      "  gradc train house.json --data houses.csv:target=price --validation-split 0.2 --log "
      "log.jsonl\n"
      "  gradc train two.json --input a=a.npy --input b=b.npy --target y=y.npy\n"
      "  gradc train model.keras --data d.npz --out model.keras     goes on, the optimizer too\n"
      "docs/data.md says what --data may be, docs/exchange.md which formats --out writes.");
}

void register_eval(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = add_command(app, selection, rt::kEvalCommand, "eval",
                                  "loss and metrics of trained weights on data", options);
  CLI::Option* json = command->get_option("--json");
  command
      ->add_option("--report", options->report,
                   "the results of the whole set: matrix, classes, curves, mistakes, or errors "
                   "(.html or .json)")
      ->type_name("FILE")
      ->check(CLI::Validator(
          [](const std::string& path) -> std::string {
            if (has_extension(path, "html") || has_extension(path, "json")) return {};
            return fmt::format("\"{}\" ends neither in .html nor in .json", printable(path, 80));
          },
          ""));
  command
      ->add_flag("--confusion", options->confusion,
                 "print which classes are taken for which: rows are the true ones")
      ->excludes(json);
  command->footer(
      "Examples:\n"
      "  gradc eval examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist "
      "--weights weights.safetensors\n"
      "  gradc eval iris.json --data iris.csv:target=species --weights iris.safetensors --report "
      "results.html");
}

void register_predict(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = add_command(app, selection, rt::kPredictCommand, "predict",
                                  "outputs of trained weights for inputs", options);
  command->footer(
      "Example:\n"
      "  gradc predict examples/fashion_mnist_mlp.json --weights weights.safetensors --in "
      "images.npy --out classes.npy\n"
      "  gradc predict iris.json --weights iris.safetensors --in flowers.csv --out named.csv");
}

void register_generate(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = add_command(app, selection, rt::kGenerateCommand, "generate",
                                  "a text that goes on as a trained language model says", options);
  command->footer(
      "Example:\n"
      "  gradc train examples/char_gpt.json --data shakespeare.txt:chars --out gpt.safetensors\n"
      "  gradc generate examples/char_gpt.json --weights gpt.safetensors --prompt \"ROMEO:\" "
      "--length 500 --temperature 0.8");
}

}  // namespace gradc::tool
