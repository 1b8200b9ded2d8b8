#include "runtime/command_line.h"

#include "runtime/generate.h"
#include "runtime/number.h"
#include "runtime/thread_pool.h"

#include <cmath>

namespace gradc::rt {
namespace {

constexpr int64_t kMaxEpochs = 1000000000;
constexpr int64_t kMaxKept = 1000;
constexpr int64_t kMaxTokens = 1000000000;

Status read_integer(const OptionRow& option, const char* text, int64_t high, int64_t* out) {
  int64_t value = 0;
  if (!parse_integer(text, &value) || value < 0 || value > high) {
    return usage_error("%s %s: expected a whole number from 0 to %lld", option.name, text,
                       static_cast<long long>(high));
  }
  *out = value;
  return {};
}

Status read_epochs(const OptionRow& option, const char* text, CommandLine* line) {
  return read_integer(option, text, kMaxEpochs, &line->epochs);
}

Status read_threads(const OptionRow& option, const char* text, CommandLine* line) {
  return read_integer(option, text, ThreadPool::kMaxThreads, &line->threads);
}

Status read_seed(const OptionRow& option, const char* text, CommandLine* line) {
  line->has_seed = true;
  if (parse_unsigned(text, &line->seed)) return {};
  return usage_error("%s %s: expected a whole number from 0 to 2^64 - 1", option.name, text);
}

Status read_keep_best(const OptionRow& option, const char* text, CommandLine* line) {
  return read_integer(option, text, kMaxKept, &line->keep_best);
}

Status read_keep_by(const OptionRow& option, const char* text, CommandLine* line) {
  if (*text == '\0') return usage_error("%s: the name is empty", option.name);
  line->keep_by = Str(text);
  return {};
}

Status read_length(const OptionRow& option, const char* text, CommandLine* line) {
  return read_integer(option, text, kMaxTokens, &line->length);
}

Status read_top_k(const OptionRow& option, const char* text, CommandLine* line) {
  return read_integer(option, text, kMaxTokens, &line->top_k);
}

Status read_temperature(const OptionRow& option, const char* text, CommandLine* line) {
  double* out = &line->temperature;
  if (parse_double(text, out) && std::isfinite(*out) && *out >= 0) return {};
  return usage_error("%s %s: expected a number of at least 0", option.name, text);
}

Status read_prompt(const OptionRow& option, const char* text, CommandLine* line) {
  if (*text == '\0') return usage_error("%s: the text is empty", option.name);
  line->prompt = Str(text);
  return {};
}

Status read_split(const OptionRow& option, const char* text, CommandLine* line) {
  double* out = &line->validation_split;
  if (parse_double(text, out) && *out >= 0 && *out < 1) return {};
  return usage_error("%s %s: expected a number from 0 to less than 1", option.name, text);
}

Status read_data(const OptionRow& option, const char* text, CommandLine* line) {
  if (*text == '\0') return usage_error("%s: the name of the data is empty", option.name);
  line->data.spec = Str(text);
  return {};
}

template <Vec<NamedFile> DataSource::* Files>
Status read_named(const OptionRow& option, const char* text, CommandLine* line) {
  NamedFile file;
  GRADC_RT_TRY(parse_named_file(text, option.name, &file));
  (line->data.*Files).push(static_cast<NamedFile&&>(file));
  return {};
}

template <Str CommandLine::* File>
Status read_file_name(const OptionRow& option, const char* text, CommandLine* line) {
  if (*text == '\0') return usage_error("%s: a file name is empty", option.name);
  line->*File = Str(text);
  return {};
}

template <bool CommandLine::* Flag>
Status read_flag(const OptionRow& /*option*/, const char* /*text*/, CommandLine* line) {
  line->*Flag = true;
  return {};
}

Status read_no_warn(const OptionRow& option, const char* text, CommandLine* line) {
  if (line->warnings.silence(text)) return {};
  return usage_error("%s %s: the kinds are %s", option.name, text, kWarningNames);
}

constexpr int kWithData = kTrainCommand | kEvalCommand;
constexpr int kWithFiles = kWithData | kPredictCommand;
constexpr int kWithModel = kWithFiles | kGenerateCommand;

constexpr CommandRow kCommands[] = {
    {"train", kTrainCommand, "--data SPEC [options]", "train the network"},
    {"eval", kEvalCommand, "--data SPEC --weights FILE [options]",
     "loss and metrics of trained weights on data"},
    {"predict", kPredictCommand, "--weights FILE --in FILE --out FILE [options]",
     "outputs of trained weights for inputs"},
    {"generate", kGenerateCommand, "--weights FILE --prompt TEXT [options]",
     "a text that goes on as a trained language model says"},
    {"info", kInfoCommand, "", "what this program was compiled from and for"},
};

constexpr OptionRow kOptions[] = {
    {"--data", "SPEC", kWithData, false,
     "a folder of IDX files with MNIST's names or of .npy files, FILE.npz, FILE.safetensors, "
     "FILE.csv:target=COLUMN, or a text file as FILE.txt:chars",
     &read_data},
    {"--input", "NAME=FILE", kWithFiles, true, "one input from a .npy file (repeatable)",
     &read_named<&DataSource::inputs>},
    {"--target", "NAME=FILE", kWithData, true, "one target from a .npy file (repeatable)",
     &read_named<&DataSource::targets>},
    {"--epochs", "N", kTrainCommand, false, "passes over the data (default: the model's)",
     &read_epochs},
    {"--seed", "S", kTrainCommand, false,
     "seed of initial weights, shuffling and dropout (default: the model's)", &read_seed},
    {"--seed", "S", kGenerateCommand, false, "seed of the draws (default: the model's)",
     &read_seed},
    {"--prompt", "TEXT", kGenerateCommand, false, "how the text begins", &read_prompt},
    {"--length", "N", kGenerateCommand, false, "tokens to add to the prompt (default 200)",
     &read_length},
    {"--temperature", "T", kGenerateCommand, false,
     "logits are divided by it: below 1 likely tokens become likelier, 0 takes the likeliest "
     "(default 1)",
     &read_temperature},
    {"--top-k", "K", kGenerateCommand, false,
     "draw among the K likeliest tokens (default 0: among all)", &read_top_k},
    {"--validation-split", "F", kTrainCommand, false,
     "the last fraction of the data is held out for validation", &read_split},
    {"--weights", "FILE", kTrainCommand, false, "start from these weights (.safetensors)",
     &read_file_name<&CommandLine::weights>},
    {"--what-fits", nullptr, kTrainCommand, false,
     "take of --weights what fits by name and shape, and list the rest: another model's weights",
     &read_flag<&CommandLine::what_fits>},
    {"--weights", "FILE", kEvalCommand | kPredictCommand | kGenerateCommand, false,
     "the weights (.safetensors)", &read_file_name<&CommandLine::weights>},
    {"--in", "FILE", kPredictCommand, false, "the inputs: .npy, .npz, .safetensors or .csv",
     &read_file_name<&CommandLine::in>},
    {"--out", "FILE", kTrainCommand, false, "write the trained weights here (.safetensors)",
     &read_file_name<&CommandLine::out>},
    {"--out", "FILE", kPredictCommand, false,
     "the outputs: .npy for one, .safetensors for several, .csv with the names of classes and "
     "columns",
     &read_file_name<&CommandLine::out>},
    {"--checkpoint", "FILE", kTrainCommand, false,
     "write a checkpoint here after each epoch and when interrupted",
     &read_file_name<&CommandLine::checkpoint>},
    {"--keep-best", "K", kTrainCommand, false,
     "keep the weights of the best K epochs too, beside --out: "
     "NAME.epoch012.val_loss0.1234.safetensors",
     &read_keep_best},
    {"--keep-by", "NAME", kTrainCommand, false,
     "what is best: a loss, or max:METRIC or min:METRIC, with val_ in front of validation's "
     "(default val_loss)",
     &read_keep_by},
    {"--resume", nullptr, kTrainCommand, false, "go on from the checkpoint if it exists",
     &read_flag<&CommandLine::resume>},
    {"--overwrite", nullptr, kTrainCommand, false, "start anew and replace an existing checkpoint",
     &read_flag<&CommandLine::overwrite>},
    {"--log", "FILE", kTrainCommand, false,
     "one JSON object per epoch and line; --resume goes on after the epochs of the checkpoint",
     &read_file_name<&CommandLine::log>},
    {"--json", nullptr, kEvalCommand, false, "print one JSON object",
     &read_flag<&CommandLine::json>},
    {"--threads", "N", kWithModel, false, "threads; 0: one per core (default 1)", &read_threads},
    {"--no-warn", "KIND", kWithModel, true, "leave out warnings of a kind (repeatable)",
     &read_no_warn},
    {"--help", nullptr, kWithModel | kInfoCommand, true, "this text",
     &read_flag<&CommandLine::help>},
};

const char* or_null(const Str& name) {
  return name.empty() ? nullptr : name.c_str();
}

Status train(Instance& instance, CommandLine& line) {
  TrainCommand command;
  command.data = static_cast<DataSource&&>(line.data);
  command.epochs = line.epochs;
  command.has_seed = line.has_seed;
  command.seed = line.seed;
  command.validation_split = line.validation_split;
  command.weights = or_null(line.weights);
  command.what_fits = line.what_fits;
  command.goes_on = line.goes_on;
  command.out = or_null(line.out);
  command.checkpoint = or_null(line.checkpoint);
  command.keep_best = line.keep_best;
  command.keep_by = or_null(line.keep_by);
  command.resume = line.resume;
  command.overwrite = line.overwrite;
  command.log = or_null(line.log);
  command.warnings = line.warnings;
  TrainResult result;
  return run_train(instance, command, &result);
}

Status evaluate(Instance& instance, CommandLine& line) {
  EvalCommand command;
  command.data = static_cast<DataSource&&>(line.data);
  command.weights = or_null(line.weights);
  command.json = line.json;
  command.report = or_null(line.report);
  command.taker = line.evaluated;
  command.warnings = line.warnings;
  return run_eval(instance, command);
}

Status predict(Instance& instance, CommandLine& line) {
  PredictCommand command;
  command.data = static_cast<DataSource&&>(line.data);
  if (!line.in.empty()) command.data.spec = line.in.clone();
  command.weights = or_null(line.weights);
  command.out = or_null(line.out);
  command.warnings = line.warnings;
  return run_predict(instance, command);
}

Status generate(Instance& instance, const CommandLine& line) {
  GenerateCommand command;
  command.weights = or_null(line.weights);
  command.prompt = line.prompt.c_str();
  command.length = line.length;
  command.temperature = line.temperature;
  command.top_k = line.top_k;
  command.has_seed = line.has_seed;
  command.seed = line.seed;
  return run_generate(instance, command);
}

}  // namespace

Span<const CommandRow> all_commands() {
  return {kCommands, sizeof kCommands / sizeof *kCommands};
}

Span<const OptionRow> all_options() {
  return {kOptions, sizeof kOptions / sizeof *kOptions};
}

Status check_needed(CommandKind command, const CommandLine& line) {
  const bool some_data = !line.data.spec.empty() || !line.data.inputs.empty();
  if ((command & kWithData) != 0 && !some_data) {
    return usage_error("--data SPEC (or --input NAME=FILE and --target NAME=FILE) is required");
  }
  if (line.what_fits && line.weights.empty())
    return usage_error("--what-fits needs --weights FILE");
  if (!line.keep_by.empty() && line.keep_best == 0)
    return usage_error("--keep-by needs --keep-best K");
  if (line.keep_best > 0 && line.out.empty() && line.checkpoint.empty())
    return usage_error(
        "--keep-best needs --out FILE or --checkpoint FILE, beside which the files are");
  const int trained = kEvalCommand | kPredictCommand | kGenerateCommand;
  if ((command & trained) != 0 && line.weights.empty()) {
    return usage_error("--weights FILE is required");
  }
  if (command == kGenerateCommand && line.prompt.empty()) {
    return usage_error("--prompt TEXT is required");
  }
  if (command != kPredictCommand) return {};
  if (line.in.empty() && line.data.inputs.empty()) {
    return usage_error("--in FILE (or --input NAME=FILE for each input) is required");
  }
  if (line.out.empty()) return usage_error("--out FILE is required");
  return {};
}

Status run_command(Instance& instance, CommandKind command, CommandLine& line) {
  switch (command) {
    case kTrainCommand:
      return train(instance, line);
    case kEvalCommand:
      return evaluate(instance, line);
    case kPredictCommand:
      return predict(instance, line);
    case kGenerateCommand:
      return generate(instance, line);
    case kInfoCommand:
      break;
  }
  return internal_error("a command that needs no instance was given one");
}

}  // namespace gradc::rt
