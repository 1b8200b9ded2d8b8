#include "tools/gradc/describe.h"

#include "support/suggest.h"
#include "support/utf8.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace gradc::tool {
namespace {

/// Options do not know their own checks' words.
std::map<const CLI::Option*, std::vector<std::string>>& choices_of_options() {
  static std::map<const CLI::Option*, std::vector<std::string>> choices;
  return choices;
}

OptionDescription describe(const CLI::Option& option) {
  OptionDescription described;
  if (option.get_positional()) {
    described.names.push_back(option.get_name(true, false));
  } else {
    for (const std::string& name : option.get_snames())
      described.names.push_back("-" + name);
    for (const std::string& name : option.get_lnames())
      described.names.push_back("--" + name);
  }
  if (option.get_type_size() != 0) {
    const std::string type = option.get_type_name();
    described.value = type == "TEXT" ? "VALUE" : type == "INT" || type == "FLOAT" ? "N" : type;
  }
  const auto known = choices_of_options().find(&option);
  if (known != choices_of_options().end()) described.choices = known->second;
  described.help = option.get_description();
  described.required = option.get_required();
  return described;
}

}  // namespace

CommandDescription describe(const CLI::App& app) {
  CommandDescription described;
  described.name = app.get_name();
  for (const CLI::App* above = app.get_parent(); above != nullptr; above = above->get_parent())
    described.name = above->get_name() + " " + described.name;
  described.help = app.get_description();
  described.footer = app.get_footer();
  for (const CLI::Option* option : app.get_options({})) {
    if (option->get_group().empty()) continue;  // for tests
    (option->get_positional() ? described.arguments : described.options)
        .push_back(describe(*option));
  }
  for (const CLI::App* command : app.get_subcommands({}))
    described.commands.push_back(describe(*command));
  return described;
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({}))
    names.push_back(command->get_name());
  return names;
}

std::string check_choice(std::string_view word, const std::vector<std::string>& choices) {
  if (std::ranges::find(choices, word) != choices.end()) return {};
  const auto near = nearest_name(word, choices);
  return fmt::format("there is no \"{}\"; {}", printable(word, 80),
                     near ? fmt::format("did you mean \"{}\"?", *near)
                          : fmt::format("it is one of {}", fmt::join(choices, ", ")));
}

CLI::Option* offer_choices(CLI::Option* option, std::vector<std::string> choices) {
  choices_of_options()[option] = std::move(choices);
  return option;
}

namespace {

CLI::Option* choose_from(CLI::Option* option, std::vector<std::string> choices) {
  option->check(
      CLI::Validator([choices](std::string& word) { return check_choice(word, choices); }, "", ""));
  return offer_choices(option, std::move(choices));
}

}  // namespace

CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                        std::vector<std::string> choices, const std::string& help) {
  return choose_from(command.add_option(name, value, help), std::move(choices));
}

CLI::Option* add_choices(CLI::App& command, const std::string& name,
                         std::vector<std::string>& values, std::vector<std::string> choices,
                         const std::string& help) {
  CLI::Option* option = command.add_option(name, values, help);
  return choose_from(option->delimiter(',')->allow_extra_args(false), std::move(choices));
}

}  // namespace gradc::tool
