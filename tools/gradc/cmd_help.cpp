// gradc help, man and completion: what the command line says of itself.
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace gradc::tool {
namespace {

int print(const std::string& text) {
  const auto written = write_text("", text);
  return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
}

/// The command that words name, one level after the other; CLI::ValidationError where one is none.
const CLI::App& find_command(const CLI::App& app, const std::vector<std::string>& words) {
  const CLI::App* at = &app;
  for (const std::string& word : words) {
    const std::string problem = check_choice(word, command_names(*at));
    if (!problem.empty()) throw CLI::ValidationError("COMMAND", problem);
    at = at->get_subcommand(word);
  }
  return *at;
}

/// A command that prints a page of all, or of the command that is named.
CLI::Option* add_pages(CLI::App& app, Selection& selection, const char* name, const char* help,
                       std::string (*page)(const CommandDescription&)) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand(name, help);
  CLI::Option* option =
      command->add_option("COMMAND", *words, "one of gradc's commands (default: all)");
  option->type_name("")->expected(0, 2);
  command->callback([&app, &selection, words, page] {
    const CLI::App& of = find_command(app, *words);
    selection.run = [&of, page] { return print(page(describe(of))); };
  });
  return option;
}

}  // namespace

void register_help(CLI::App& app, Selection& selection) {
  const std::array pages = {
      add_pages(
          app, selection, "help", "what gradc, or one of its commands, takes",
          [](const CommandDescription& command) { return help_text(command, terminal_width()); }),
      add_pages(app, selection, "man", "a page for man(1), of gradc or one of its commands",
                &man_page)};
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "a script that completes command lines");
  command->footer(
      "Examples:\n"
      "  source <(gradc completion bash)\n"
      "  gradc completion zsh > ~/.zfunc/_gradc\n"
      "  gradc completion fish > ~/.config/fish/completions/gradc.fish");
  add_choice(*command, "SHELL", *shell, {"bash", "zsh", "fish"}, "the shell")->required();
  command->callback([&app, &selection, shell] {
    selection.run = [&app, shell] { return print(completion_script(describe(app), *shell)); };
  });
  for (CLI::Option* option : pages)
    offer_choices(option, command_names(app));
}

}  // namespace gradc::tool
