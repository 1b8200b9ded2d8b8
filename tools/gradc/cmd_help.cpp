// gradc help, man and completion: what the command line says of itself.
#include "tools/gradc/command.h"
#include "tools/gradc/describe.h"

#include <memory>

namespace gradc::tool {
namespace {

int print(const std::string& text) {
  const auto written = write_text("", text);
  return written.ok() ? static_cast<int>(kSuccess) : report(written.diagnostics());
}

/// A command that prints a page of all, or of the command that is named.
void add_pages(CLI::App& app, Selection& selection, const char* name, const char* help,
               std::string (*page)(const CommandDescription&)) {
  auto word = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("COMMAND", *word, "one of gradc's commands (default: all)")
      ->check(CLI::Validator(
          [&app](std::string& given) {
            std::vector<std::string> names;
            for (const CLI::App* one : app.get_subcommands({}))
              names.push_back(one->get_name());
            return check_choice(given, names);
          },
          "", ""));
  command->callback([&app, &selection, word, page] {
    selection.run = [&app, word, page] {
      return print(page(describe(word->empty() ? app : *app.get_subcommand(*word))));
    };
  });
}

}  // namespace

void register_help(CLI::App& app, Selection& selection) {
  add_pages(app, selection, "help", "what gradc, or one of its commands, takes",
            [](const CommandDescription& command) { return help_text(command, terminal_width()); });
  add_pages(app, selection, "man", "a page for man(1), of gradc or one of its commands", &man_page);
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
}

}  // namespace gradc::tool
