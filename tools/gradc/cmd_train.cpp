// gradc train, eval and predict: the model by JIT, the rest as in compiled executables
// (runtime/commands.h).
#include "driver/compiled_model.h"
#include "driver/free_memory.h"
#include "runtime/commands.h"
#include "support/utf8.h"
#include "tools/gradc/command.h"

#include <array>
#include <cstdio>
#include <memory>
#include <optional>

namespace gradc::tool {

namespace {

struct DataOptions {
  std::string spec;
  std::vector<std::string> inputs;
  std::vector<std::string> targets;
};

struct TrainCommandLine {
  std::string model;
  DataOptions data;
  int64_t epochs = -1;
  int64_t batch_size = 0;
  std::optional<uint64_t> seed;
  int threads = 1;
  std::string cpu;
  double validation_split = -1.0;
  std::string weights, out, checkpoint, log;
  bool resume = false;
  bool overwrite = false;
  bool json = false;
  bool force = false;
  bool trains = false;
  bool cache = true;
};

void add_data_options(CLI::App& command, DataOptions& data) {
  auto* spec =
      command.add_option("--data", data.spec,
                         "a folder of IDX files with MNIST's names, FILE.npz, FILE.safetensors, "
                         "FILE.csv:target=COLUMN or a text file");
  auto* input = command.add_option("--input", data.inputs, "NAME=FILE: a .npy file for one input");
  command.add_option("--target", data.targets, "NAME=FILE: a .npy file for one target");
  spec->excludes(input);
}

void require_data(const DataOptions& data) {
  if (data.spec.empty() && data.inputs.empty())
    throw CLI::RequiredError("--data SPEC (or --input NAME=FILE and --target NAME=FILE)");
}

int report(const rt::Status& status) {
  if (status.ok()) return kSuccess;
  const std::string text(status.text.c_str(), status.text.size());
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

rt::Status read_data_options(const DataOptions& options, rt::DataSource& source) {
  source.spec = rt::Str(options.spec.c_str());
  for (const std::string& text : options.inputs) {
    rt::NamedFile file;
    GRADC_RT_TRY(rt::parse_named_file(text.c_str(), "--input", &file));
    source.inputs.push(std::move(file));
  }
  for (const std::string& text : options.targets) {
    rt::NamedFile file;
    GRADC_RT_TRY(rt::parse_named_file(text.c_str(), "--target", &file));
    source.targets.push(std::move(file));
  }
  return {};
}

const char* or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

/// Compiles what training needs, so that its memory is known; too much of it is an error, with
/// --force a warning.
int check_memory(CompiledModel& model, const TrainCommandLine& options) {
  if (!model.supports(EntryPoint::kTrainStep)) return kSuccess;  // told by what is run
  const std::array kinds = {EntryPoint::kTrainStep};
  const auto compiled = model.compile(kinds);
  if (!compiled.ok()) return tool::report(compiled.diagnostics());
  const auto fits = check_free_memory("training", model.memory_bytes(options.threads));
  if (fits.ok()) return kSuccess;
  Diagnostic problem = fits.diagnostics().front();
  if (options.force) problem.severity = Severity::kWarning;
  problem.help += options.force ? "" : "; --force trains all the same";
  return tool::report({problem});
}

/// Opens the model, makes an instance and gives both to `work`.
template <class Work>
int with_instance(const TrainCommandLine& options, Work work) {
  SourceSet sources;
  CompileOptions compile;
  compile.batch_size = options.batch_size;
  if (options.cache) compile.cache = DiskCache::of_user();
  auto target = TargetInfo::host_as(options.cpu);
  if (!target.ok()) return tool::report(target.diagnostics());
  compile.target = target.take();
  auto model = CompiledModel::open(options.model, compile, sources);
  if (!model.ok()) return tool::report(model.diagnostics());
  tool::report((*model)->take_warnings());
  if (options.trains) {
    const int code = check_memory(**model, options);
    if (code != kSuccess) return code;
  }
  rt::Instance* instance = nullptr;
  rt::Status status =
      rt::Instance::create((*model)->runtime_model(), {options.threads}, nullptr, 0, &instance);
  if (status.ok()) status = work(*instance);
  if (instance != nullptr) rt::Instance::destroy(instance);
  return report(status);
}

int run_train_command(const TrainCommandLine& options) {
  return with_instance(options, [&](rt::Instance& instance) -> rt::Status {
    rt::TrainCommand command;
    GRADC_RT_TRY(read_data_options(options.data, command.data));
    command.epochs = options.epochs;
    command.has_seed = options.seed.has_value();
    command.seed = options.seed.value_or(0);
    command.validation_split = options.validation_split;
    command.weights = or_null(options.weights);
    command.out = or_null(options.out);
    command.checkpoint = or_null(options.checkpoint);
    command.resume = options.resume;
    command.overwrite = options.overwrite;
    command.log = or_null(options.log);
    command.warnings = silenced_warnings();
    rt::TrainResult result;
    return rt::run_train(instance, command, &result);
  });
}

int run_eval_command(const TrainCommandLine& options) {
  return with_instance(options, [&](rt::Instance& instance) -> rt::Status {
    rt::EvalCommand command;
    GRADC_RT_TRY(read_data_options(options.data, command.data));
    command.weights = or_null(options.weights);
    command.json = options.json;
    command.warnings = silenced_warnings();
    return rt::run_eval(instance, command);
  });
}

int run_predict_command(const TrainCommandLine& options) {
  return with_instance(options, [&](rt::Instance& instance) -> rt::Status {
    rt::PredictCommand command;
    GRADC_RT_TRY(read_data_options(options.data, command.data));
    command.weights = or_null(options.weights);
    command.out = or_null(options.out);
    command.warnings = silenced_warnings();
    return rt::run_predict(instance, command);
  });
}

void add_model_options(CLI::App& command, TrainCommandLine& options) {
  command.add_option("MODEL", options.model, "the model's JSON")->required();
  add_batch_size(command, options.batch_size);
  add_threads(command, options.threads);
  add_cpu(command, options.cpu);
  add_no_cache(command, options.cache);
}

}  // namespace

void register_train(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = app.add_subcommand("train", "train a model on data, by JIT");
  command->footer(
      "Examples:\n"
      "  gradc train examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist "
      "--out weights.safetensors\n"
      "  gradc train house.json --data houses.csv:target=price --validation-split 0.2 --log "
      "log.jsonl\n"
      "  gradc train two.json --input a=a.npy --input b=b.npy --target y=y.npy\n"
      "docs/data.md says what --data may be.");
  add_model_options(*command, *options);
  add_data_options(*command, options->data);
  command->add_option("--epochs", options->epochs, "passes over the data (default: the model's)")
      ->check(whole_number(0));
  command
      ->add_option("--seed", options->seed,
                   "seed of weights, shuffling and dropout (default: the model's)")
      ->check(whole_number(0));
  command
      ->add_option("--validation-split", options->validation_split,
                   "the last fraction of the data is held out")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--weights", options->weights, "start from these weights (.safetensors)");
  command->add_option("--out", options->out, "write the trained weights here (.safetensors)")
      ->check(output_name());
  command
      ->add_option("--checkpoint", options->checkpoint,
                   "write a checkpoint here after each epoch and when interrupted")
      ->check(output_name());
  command->add_flag("--force", options->force,
                    "train although the memory that is free is too small");
  command->add_flag("--resume", options->resume, "go on from the checkpoint if it exists");
  command->add_flag("--overwrite", options->overwrite,
                    "start anew and replace an existing checkpoint");
  command
      ->add_option("--log", options->log,
                   "one JSON object per epoch and line; --resume goes on after the epochs of the "
                   "checkpoint (.jsonl)")
      ->check(output_name());
  command->callback([options, &selection] {
    require_data(options->data);
    options->trains = true;
    selection.run = [options] { return run_train_command(*options); };
  });
}

void register_eval(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = app.add_subcommand("eval", "loss and metrics of trained weights on data");
  command->footer(
      "Example:\n"
      "  gradc eval examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist "
      "--weights weights.safetensors");
  add_model_options(*command, *options);
  add_data_options(*command, options->data);
  command->add_option("--weights", options->weights, "the weights (.safetensors)")->required();
  command->add_flag("--json", options->json, "print one JSON object");
  command->callback([options, &selection] {
    require_data(options->data);
    selection.run = [options] { return run_eval_command(*options); };
  });
}

void register_predict(CLI::App& app, Selection& selection) {
  auto options = std::make_shared<TrainCommandLine>();
  CLI::App* command = app.add_subcommand("predict", "outputs of trained weights for inputs");
  command->footer(
      "Example:\n"
      "  gradc predict examples/fashion_mnist_mlp.json --weights weights.safetensors --in "
      "images.npy --out classes.npy\n"
      "  gradc predict iris.json --weights iris.safetensors --in flowers.csv --out named.csv");
  add_model_options(*command, *options);
  command->add_option("--in", options->data.spec, "the inputs: .npy, .safetensors, .npz or .csv")
      ->required();
  command->add_option("--weights", options->weights, "the weights (.safetensors)")->required();
  command
      ->add_option("--out", options->out,
                   "the outputs: .npy for one, .safetensors for several, .csv with the names of "
                   "classes and columns")
      ->check(output_name())
      ->required();
  command->callback([options, &selection] {
    selection.run = [options] { return run_predict_command(*options); };
  });
}

}  // namespace gradc::tool
