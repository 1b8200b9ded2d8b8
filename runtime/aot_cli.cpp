// Reading a command line (the options are in command_line.cpp), help, exit codes. An option is
// "--name VALUE" or "--name=VALUE"; flags take no value.
#include "runtime/aot_cli.h"

#include "runtime/command_line.h"
#include "runtime/memory.h"
#include "runtime/process.h"

#include <cerrno>
#include <cstdio>

namespace gradc::rt {
namespace {

constexpr int kHelpColumn = 28;
constexpr int kHelpWidth = 100;

/// The text behind what stands at the left, in lines that all begin in one column.
void print_row(FILE* out, const char* left, const char* text) {
  int column = fprintf(out, "  %-24s ", left);
  for (const char* word = text; *word != '\0';) {
    const auto length = static_cast<int>(strcspn(word, " "));
    if (column + 1 + length > kHelpWidth && column >= kHelpColumn) {
      column = fprintf(out, "\n%*s", kHelpColumn - 1, "") - 1;
    }
    column += fprintf(out, " %.*s", length, word);
    word += length + (word[length] == ' ' ? 1 : 0);
  }
  fputc('\n', out);
}

void print_help(FILE* out, const char* program, const CommandRow* only) {
  if (only == nullptr) {
    fprintf(out, "usage: %s COMMAND [options]\n\ncommands:\n", program);
    for (const CommandRow& command : all_commands())
      fprintf(out, "  %-10s %s\n", command.name, command.help);
    fprintf(out, "\n%s COMMAND --help tells the options of a command.\n", program);
    return;
  }
  fprintf(out, "usage: %s %s %s\n\n%s\n\noptions:\n", program, only->name, only->synopsis,
          only->help);
  for (const OptionRow& option : all_options()) {
    if (!has_option(only->kind, option)) continue;
    const Str left = format("%s%s%s", option.name, option.value != nullptr ? " " : "",
                            option.value != nullptr ? option.value : "");
    print_row(out, left.c_str(), option.help);
  }
}

const OptionRow* find_option(const Str& name, CommandKind command) {
  for (const OptionRow& option : all_options()) {
    if (name == option.name && has_option(command, option)) return &option;
  }
  return nullptr;
}

Status parse_arguments(const CommandRow& command, int argc, const char* const* argv,
                       CommandLine* line) {
  Vec<const OptionRow*> seen;
  for (int i = 0; i < argc; ++i) {
    const Str argument(argv[i]);
    if (argument == "-h") {
      line->help = true;
      continue;
    }
    const char* equals = argument.starts_with("--") ? strchr(argv[i], '=') : nullptr;
    const Str name = equals != nullptr ? argument.part(0, static_cast<size_t>(equals - argv[i]))
                                       : argument.clone();
    const OptionRow* option = find_option(name, command.kind);
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
    for (const OptionRow* before : seen) {
      if (before == option && !option->repeatable && option->value != nullptr) {
        return usage_error("%s is given twice", option->name);
      }
    }
    seen.push(option);
    GRADC_RT_TRY(option->read(*option, value, line));
  }
  return {};
}

Status dispatch(const gradc_rt_model& model, CommandKind command, CommandLine& line) {
  if (command == kInfoCommand) {
    print_info(model);
    return {};
  }
  Instance* instance = nullptr;
  GRADC_RT_TRY(
      Instance::create(model, {static_cast<int32_t>(line.threads)}, nullptr, 0, &instance));
  Status status = run_command(*instance, command, line);
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
  for (const CommandRow& command : all_commands()) {
    if (!(word == command.name)) continue;
    CommandLine line;
    Status status = parse_arguments(command, argc - 2, argv + 2, &line);
    if (status.ok() && line.help) {
      print_help(stdout, program, &command);
      return exit_code({}, program);
    }
    if (status.ok()) status = check_needed(command.kind, line);
    if (status.ok()) status = dispatch(*model, command.kind, line);
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
