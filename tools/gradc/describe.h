// What the command line knows about itself, as data: --help, the man pages and the shells'
// completions are printed from it, and what was misspelt is compared with it.
#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace gradc::tool {

struct OptionDescription {
  std::vector<std::string> names;    ///< with their dashes; of an argument one, without
  std::string value;                 ///< placeholder; empty for a flag
  std::vector<std::string> choices;  ///< the values there are; empty: any
  std::string help;
  bool required = false;
};

struct CommandDescription {
  std::string name;  ///< "gradc train"
  std::string help;
  std::string footer;  ///< examples, in lines
  std::vector<OptionDescription> arguments, options;
  std::vector<CommandDescription> commands;

  /// The last word of the name.
  std::string_view word() const { return std::string_view(name).substr(name.rfind(' ') + 1); }
};

CommandDescription describe(const CLI::App& app);
/// Of its sub-commands.
std::vector<std::string> command_names(const CLI::App& app);

/// An option or argument (by its name) whose values are a few words; another word is answered by
/// the nearest, or by all.
CLI::Option* add_choice(CLI::App& command, const std::string& name, std::string& value,
                        std::vector<std::string> choices, const std::string& help);
/// For an option that checks its values itself: what completion offers, and help lists.
CLI::Option* offer_choices(CLI::Option* option, std::vector<std::string> choices);
/// The same for several words, with commas between them or the option repeated.
CLI::Option* add_choices(CLI::App& command, const std::string& name,
                         std::vector<std::string>& values, std::vector<std::string> choices,
                         const std::string& help);
/// What is wrong with a word that should be one of these; empty if nothing is.
std::string check_choice(std::string_view word, const std::vector<std::string>& choices);

/// --help, in lines of at most `width` columns where words allow.
std::string help_text(const CommandDescription& command, size_t width);
/// Columns of the terminal that stdout is; 100 where it is none.
size_t terminal_width();

/// A page for man(1): of the whole, or of one of its commands.
std::string man_page(const CommandDescription& command);

/// The script that completes gradc's command lines in "bash", "zsh" or "fish".
std::string completion_script(const CommandDescription& gradc, std::string_view shell);

}  // namespace gradc::tool
