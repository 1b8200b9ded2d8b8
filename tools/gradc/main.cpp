// The gradc command: reads the command line and runs one sub-command.
#include "driver/version.h"
#include "runtime/process.h"
#include "support/suggest.h"
#include "support/utf8.h"
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <vector>

namespace {

constexpr const char* kFooter = R"(First steps:
  gradc train examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist --out weights.safetensors
  gradc eval examples/fashion_mnist_mlp.json --data /usr/share/datasets/fashion-mnist --weights weights.safetensors
  gradc compile examples/fashion_mnist_mlp.json -o fashion_mnist
  gradc inspect examples/fashion_mnist_mlp.json --stage fused
Exit codes: 0 success, 1 an error in what was given, 2 wrong usage, 70 an internal error.)";

/// What is wrong with words that no option or argument takes.
std::string unexpected_text(const CLI::App& command) {
  std::vector<std::string> names;
  for (const auto& option : gradc::tool::describe(command).options)
    names.insert(names.end(), option.names.begin(), option.names.end());
  std::string text;
  for (const std::string& word : command.remaining()) {
    const std::string name = word.substr(0, word.find('='));
    // What stands behind a misspelt option is mostly its value.
    if (name.size() < 2 || name[0] != '-') continue;
    const auto near = gradc::nearest_name(name, names);
    text += fmt::format("{}there is no option \"{}\"{}", text.empty() ? "" : "\n  ",
                        gradc::printable(name, 80),
                        near ? fmt::format("; did you mean \"{}\"?", *near) : "");
  }
  if (!text.empty()) return text;
  const auto words = command.remaining();
  return fmt::format("\"{}\" is one argument too many", gradc::printable(words.front(), 80));
}

/// The message of a wrong command line, and where its help is.
std::string failure_text(const CLI::App* app, const CLI::Error& error) {
  std::string command = "gradc";
  const CLI::App* last = app;
  for (const CLI::App* used : app->get_subcommands()) {
    command += " " + used->get_name();
    last = used;
  }
  std::string problem = gradc::printable_lines(error.what());
  // "--batch-size: 1 required INT missing"
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch) &&
      problem.ends_with(" missing"))
    problem = problem.substr(0, problem.find(": ")) + ": a value was expected";
  const bool extra = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) &&
                     last->remaining_size() > 0;
  return fmt::format("{}: {}\nrun \"{} --help\" for its options\n", command,
                     extra ? unexpected_text(*last) : problem, command);
}

/// What to say when a word that should be a command is none; empty if all are.
std::string unknown_command(const CLI::App& app, int argc, char** argv) {
  const CLI::App* at = &app;
  std::string path = "gradc";
  for (int i = 1;; ++i) {
    const std::vector<std::string> names = gradc::tool::command_names(*at);
    const std::string word = i < argc ? argv[i] : "";
    if (names.empty() || word == "-h" || word == "--help") return {};
    if (at == &app && word == "--version") return {};
    if (word.empty()) return at->help();
    if (std::find(names.begin(), names.end(), word) != names.end()) {
      at = at->get_subcommand(word);
      path += " " + word;
      continue;
    }
    const bool is_option = word.starts_with('-');
    const auto near = gradc::nearest_name(
        word, is_option ? std::vector<std::string>{"--help", "--version"} : names);
    return fmt::format("{}: there is no {} \"{}\"; {}\n", path, is_option ? "option" : "command",
                       gradc::printable(word, 80),
                       near ? fmt::format("did you mean \"{}\"?", *near)
                            : fmt::format("\"{} --help\" lists them", path));
  }
}

/// Whether all that was printed arrived (a full disk shows only now).
bool flush_stdout() {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return true;
  std::fprintf(stderr, "gradc: error: cannot write to standard output: %s\n", std::strerror(errno));
  return false;
}

int run(int argc, char** argv) {
  using namespace gradc::tool;
  CLI::App app{"gradc: a compiler for training neural networks", "gradc"};
  app.require_subcommand(1);
  app.failure_message(failure_text);
  app.formatter_fn([](const CLI::App* of, const std::string&, CLI::AppFormatMode) {
    return help_text(describe(*of), terminal_width());
  });
  app.set_help_flag("-h,--help", "print this and exit");
  app.set_version_flag("--version", [] { return gradc::version_text(); });
  Selection selection;
  register_train(app, selection);
  register_eval(app, selection);
  register_predict(app, selection);
  register_generate(app, selection);
  register_run(app, selection);
  register_compile(app, selection);
  register_inspect(app, selection);
  register_plan(app, selection);
  register_summary(app, selection);
  register_check(app, selection);
  register_convert(app, selection);
  register_bench(app, selection);
  register_opt(app, selection);
  register_new(app, selection);
  register_reference(app, selection);
  register_help(app, selection);
  for (const char* name : {"train", "eval", "predict", "generate", "run", "compile", "inspect",
                           "plan", "summary", "check", "bench", "convert"}) {
    add_no_warn(*app.get_subcommand(name));
    add_shape(*app.get_subcommand(name));
    add_set(*app.get_subcommand(name));
  }
  // Only now: a sub-command would inherit it, and each has an example of its own.
  app.footer(kFooter);
  int code = kSuccess;
  try {
    if (const std::string problem = unknown_command(app, argc, argv); !problem.empty()) {
      std::fprintf(stderr, "%s", problem.c_str());
      return kUsageError;
    }
    app.parse(argc, argv);
    code = selection.run();
  } catch (const CLI::ParseError& error) {
    code = app.exit(error) == 0 ? kSuccess : kUsageError;  // 0: --help and --version
  }
  return code == kSuccess && !flush_stdout() ? kUserError : code;
}

}  // namespace

int main(int argc, char** argv) {
  gradc::rt::prepare_process();
  try {
    return run(argc, argv);
  } catch (const std::bad_alloc&) {
    std::fputs("gradc: error: out of memory\n", stderr);
    return gradc::tool::kUserError;
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr,
                 "gradc: internal error: %s\n  this is a bug in gradc; please report it with the "
                 "model and the command line\n",
                 gradc::printable_lines(error.what()).c_str());
    return 70;
  }
}
