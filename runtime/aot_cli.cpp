// Option tables and dispatch. An option is "--name VALUE" or "--name=VALUE"; flags take no value.
#include "runtime/aot_cli.h"

#include "runtime/commands.h"
#include "runtime/memory.h"
#include "runtime/number.h"
#include "runtime/process.h"

#include <cerrno>
#include <cstdio>

namespace gradc::rt {
namespace {

struct Options {
  DataSource data;
  int64_t epochs = -1;
  bool has_seed = false;
  uint64_t seed = 0;
  int64_t threads = 1;
  double validation_split = -1;
  const char* weights = nullptr;
  const char* in = nullptr;
  const char* out = nullptr;
  const char* checkpoint = nullptr;
  const char* log = nullptr;
  bool resume = false;
  bool overwrite = false;
  bool json = false;
  bool help = false;
  Warnings warnings;
};

enum Commands { kTrain = 1, kEval = 2, kPredict = 4, kInfo = 8 };

struct OptionSpec {
  const char* name;
  const char* value;  // placeholder in help; NULL for a flag
  int commands;
  const char* help;
};

constexpr OptionSpec kOptions[] = {
    {"--data", "SPEC", kTrain | kEval,
     "data: a directory of IDX or .npy files, .npz, .safetensors,\n"
     "                            file.csv:target=COLUMN, file.txt:chars"},
    {"--input", "NAME=FILE", kTrain | kEval | kPredict, "one input from a .npy file (repeatable)"},
    {"--target", "NAME=FILE", kTrain | kEval, "one target from a .npy file (repeatable)"},
    {"--epochs", "N", kTrain, "epochs to train (default: the model's)"},
    {"--seed", "S", kTrain, "seed of initial weights, shuffling and dropout"},
    {"--validation-split", "F", kTrain, "last fraction of the data held out for validation"},
    {"--weights", "FILE", kTrain | kEval | kPredict, "weights to start from (.safetensors)"},
    {"--in", "FILE", kPredict, "examples: .npy, .npz, .safetensors, .csv"},
    {"--out", "FILE", kTrain | kPredict,
     "where results go: trained weights, or predictions (.npy,\n"
     "                            .safetensors, .csv with the names of the classes)"},
    {"--checkpoint", "FILE", kTrain, "checkpoint written after every epoch and on Ctrl-C"},
    {"--resume", nullptr, kTrain, "continue from the checkpoint if it exists"},
    {"--overwrite", nullptr, kTrain, "start anew and replace an existing checkpoint"},
    {"--log", "FILE", kTrain,
     "one JSON object per epoch and line; --resume goes on after the\n"
     "                            epochs of the checkpoint"},
    {"--json", nullptr, kEval, "print one JSON object"},
    {"--threads", "N", kTrain | kEval | kPredict, "threads; 0: one per core (default 1)"},
    {"--no-warn", "KIND", kTrain | kEval | kPredict, "leave out warnings of a kind (repeatable)"},
    {"--help", nullptr, kTrain | kEval | kPredict | kInfo, "this text"},
};

struct CommandSpec {
  const char* name;
  int command;
  const char* synopsis;
  const char* help;
};

constexpr CommandSpec kCommands[] = {
    {"train", kTrain, "--data SPEC [options]", "train the network"},
    {"eval", kEval, "--data SPEC --weights FILE [options]", "loss and metrics on a data set"},
    {"predict", kPredict, "--weights FILE --in FILE --out FILE [options]",
     "outputs for given examples"},
    {"info", kInfo, "", "what this program was compiled from and for"},
};

void print_help(FILE* out, const char* program, const CommandSpec* only) {
  if (only == nullptr) {
    fprintf(out, "usage: %s COMMAND [options]\n\ncommands:\n", program);
    for (const CommandSpec& command : kCommands)
      fprintf(out, "  %-10s %s\n", command.name, command.help);
    fprintf(out, "\n%s COMMAND --help tells the options of a command.\n", program);
    return;
  }
  fprintf(out, "usage: %s %s %s\n\n%s\n\noptions:\n", program, only->name, only->synopsis,
          only->help);
  for (const OptionSpec& option : kOptions) {
    if ((option.commands & only->command) == 0) continue;
    const Str left = format("%s%s%s", option.name, option.value != nullptr ? " " : "",
                            option.value != nullptr ? option.value : "");
    fprintf(out, "  %-24s  %s\n", left.c_str(), option.help);
  }
}

Status read_integer(const char* option, const char* text, int64_t low, int64_t high, int64_t* out) {
  int64_t value = 0;
  if (!parse_integer(text, &value) || value < low || value > high) {
    return usage_error("%s %s: expected a whole number from %lld to %lld", option, text,
                       static_cast<long long>(low), static_cast<long long>(high));
  }
  *out = value;
  return {};
}

Status read_seed(const char* text, Options* options) {
  options->has_seed = true;
  if (!parse_unsigned(text, &options->seed)) {
    return usage_error("--seed %s: expected a whole number from 0 to 2^64 - 1", text);
  }
  return {};
}

Status read_fraction(const char* text, double* out) {
  if (!parse_double(text, out) || !(*out >= 0 && *out < 1)) {
    return usage_error("--validation-split %s: expected a number from 0 to less than 1", text);
  }
  return {};
}

Status add_named(const char* option, const char* text, Vec<NamedFile>* files) {
  NamedFile file;
  GRADC_RT_TRY(parse_named_file(text, option, &file));
  files->push(static_cast<NamedFile&&>(file));
  return {};
}

Status apply(const OptionSpec& spec, const char* value, Options* o) {
  const Str name(spec.name);
  if (name == "--data") o->data.spec = Str(value);
  if (name == "--input") return add_named("--input", value, &o->data.inputs);
  if (name == "--target") return add_named("--target", value, &o->data.targets);
  if (name == "--epochs") return read_integer("--epochs", value, 0, 1000000000, &o->epochs);
  if (name == "--seed") return read_seed(value, o);
  if (name == "--validation-split") return read_fraction(value, &o->validation_split);
  if (name == "--weights") o->weights = value;
  if (name == "--in") o->in = value;
  if (name == "--out") o->out = value;
  if (name == "--checkpoint") o->checkpoint = value;
  if (name == "--resume") o->resume = true;
  if (name == "--overwrite") o->overwrite = true;
  if (name == "--log") o->log = value;
  if (name == "--json") o->json = true;
  if (name == "--threads") {
    return read_integer("--threads", value, 0, ThreadPool::kMaxThreads, &o->threads);
  }
  if (name == "--no-warn" && !o->warnings.silence(value))
    return usage_error("--no-warn %s: the kinds are %s", value, kWarningNames);
  if (name == "--help") o->help = true;
  return {};
}

const OptionSpec* find_option(const Str& name, int command) {
  for (const OptionSpec& option : kOptions) {
    if (name == option.name && (option.commands & command) != 0) return &option;
  }
  return nullptr;
}

Status parse_arguments(const CommandSpec& command, int argc, const char* const* argv,
                       Options* options) {
  for (int i = 0; i < argc; ++i) {
    const Str argument(argv[i]);
    if (argument == "-h") {
      options->help = true;
      continue;
    }
    const char* equals = argument.starts_with("--") ? strchr(argv[i], '=') : nullptr;
    const Str name = equals != nullptr ? argument.part(0, static_cast<size_t>(equals - argv[i]))
                                       : argument.clone();
    const OptionSpec* option = find_option(name, command.command);
    if (option == nullptr) {
      return usage_error("%s has no option \"%s\"", command.name, argument.c_str());
    }
    const char* value = equals != nullptr ? equals + 1 : nullptr;
    if (option->value == nullptr && value != nullptr) {
      return usage_error("%s takes no value", option->name);
    }
    if (option->value != nullptr && value == nullptr) {
      if (i + 1 == argc) return usage_error("%s needs a value: %s", option->name, option->value);
      value = argv[++i];
    }
    GRADC_RT_TRY(apply(*option, value, options));
  }
  return {};
}

Status check_required(int command, const Options& o) {
  const bool some_data = !o.data.spec.empty() || o.data.inputs.size() > 0;
  if ((command == kTrain || command == kEval) && !some_data) {
    return usage_error("--data SPEC (or --input NAME=FILE and --target NAME=FILE) is needed");
  }
  if ((command == kEval || command == kPredict) && o.weights == nullptr) {
    return usage_error("--weights FILE is needed");
  }
  if (command == kPredict && o.in == nullptr && o.data.inputs.empty()) {
    return usage_error("--in FILE is needed");
  }
  if (command == kPredict && o.out == nullptr) return usage_error("--out FILE is needed");
  return {};
}

Status dispatch(const gradc_rt_model& model, int command, Options& o) {
  if (command == kInfo) {
    print_info(model);
    return {};
  }
  Instance* instance = nullptr;
  GRADC_RT_TRY(Instance::create(model, {static_cast<int32_t>(o.threads)}, nullptr, 0, &instance));
  Status status;
  if (command == kTrain) {
    TrainCommand train;
    train.data = static_cast<DataSource&&>(o.data);
    train.epochs = o.epochs;
    train.has_seed = o.has_seed;
    train.seed = o.seed;
    train.validation_split = o.validation_split;
    train.weights = o.weights;
    train.out = o.out;
    train.checkpoint = o.checkpoint;
    train.resume = o.resume;
    train.overwrite = o.overwrite;
    train.log = o.log;
    train.warnings = o.warnings;
    TrainResult result;
    status = run_train(*instance, train, &result);
  } else if (command == kEval) {
    EvalCommand eval;
    eval.data = static_cast<DataSource&&>(o.data);
    eval.weights = o.weights;
    eval.json = o.json;
    eval.warnings = o.warnings;
    status = run_eval(*instance, eval);
  } else {
    PredictCommand predict;
    predict.data = static_cast<DataSource&&>(o.data);
    if (o.in != nullptr) predict.data.spec = Str(o.in);
    predict.weights = o.weights;
    predict.out = o.out;
    predict.warnings = o.warnings;
    status = run_predict(*instance, predict);
  }
  Instance::destroy(instance);
  return status;
}

// Every line of a status is a problem of its own.
void print_problems(const Status& status, const char* kind) {
  const char* at = status.text.c_str();
  while (*at != '\0') {
    const char* end = strchr(at, '\n');
    const int length = end != nullptr ? static_cast<int>(end - at) : static_cast<int>(strlen(at));
    fprintf(stderr, "%s%.*s\n", kind, length, at);
    at += length + (end != nullptr ? 1 : 0);
  }
}

int exit_code(const Status& status, const char* program) {
  switch (status.code) {
    case Code::kOk:
      break;
    case Code::kStopped:
      print_problems(status, "");
      return kStoppedExitCode;
    case Code::kUserError:
      print_problems(status, "error: ");
      return 1;
    case Code::kOutOfMemory:
      fprintf(stderr, "error: %s\n", status.text.empty() ? "out of memory" : status.text.c_str());
      return 1;
    case Code::kUsage:
      print_problems(status, "error: ");
      fprintf(stderr, "%s --help tells how to use it\n", program);
      return 2;
    case Code::kInternal:
      print_problems(status, "error: ");
      fprintf(stderr,
              "this is a mistake of the compiler that made this program: please report it "
              "with the model and the output of `%s info`\n",
              program);
      return 70;
  }
  if (fflush(stdout) != 0 || ferror(stdout) != 0) {
    fprintf(stderr, "error: standard output: %s\n", strerror(errno));
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace gradc::rt

using namespace gradc::rt;  // NOLINT(google-build-using-namespace): the one C function below

namespace {

int run_command(const gradc_rt_model* model, const char* program, int argc,
                const char* const* argv) {
  if (argc < 2) {
    print_help(stderr, program, nullptr);
    return 2;
  }
  const Str word(argv[1]);
  if (word == "--help" || word == "-h" || word == "help") {
    print_help(stdout, program, nullptr);
    return exit_code({}, program);
  }
  for (const CommandSpec& command : kCommands) {
    if (!(word == command.name)) continue;
    Options options;
    Status status = parse_arguments(command, argc - 2, argv + 2, &options);
    if (status.ok() && options.help) {
      print_help(stdout, program, &command);
      return exit_code({}, program);
    }
    if (status.ok()) status = check_required(command.command, options);
    if (status.ok()) status = dispatch(*model, command.command, options);
    return exit_code(status, program);
  }
  return exit_code(usage_error("there is no command \"%s\"", word.c_str()), program);
}

}  // namespace

int gradc_rt_main(const gradc_rt_model* model, int argc, const char* const* argv) {
  prepare_process();
  const char* program = argc > 0 ? argv[0] : "program";
  int code = 0;
  const Status status = survive([&] {
    code = run_command(model, program, argc, argv);
    return Status{};
  });
  return status.ok() ? code : exit_code(status, program);
}
