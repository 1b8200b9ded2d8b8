// Completion scripts of bash, zsh and fish. What a script offers is fixed when it is printed:
// commands, their options, and the words that an option may take; files for all else.
#include "support/check.h"
#include "tools/gradc/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace gradc::tool {
namespace {

std::vector<std::string> words_of(const CommandDescription& gradc) {
  std::vector<std::string> words;
  for (const CommandDescription& command : gradc.commands)
    words.emplace_back(command.word());
  return words;
}

std::string bash(const CommandDescription& gradc) {
  std::string values;
  std::string options;
  for (const CommandDescription& command : gradc.commands) {
    std::vector<std::string> names;
    for (const OptionDescription& option : command.options) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (option.choices.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names)
        patterns.push_back(fmt::format("{}:{}", command.word(), name));
      values += fmt::format("    {}) words='{}' ;;\n", fmt::join(patterns, "|"),
                            fmt::join(option.choices, " "));
    }
    options += fmt::format("    {}:-*) words='{}' ;;\n", command.word(), fmt::join(names, " "));
    for (const OptionDescription& argument : command.arguments) {
      if (argument.choices.empty()) continue;
      options += fmt::format("    {}:*) words='{}' ;;\n", command.word(),
                             fmt::join(argument.choices, " "));
    }
  }
  return fmt::format(R"(# bash completion of gradc
_gradc() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} words=
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{} --help --version' -- "$current"))
    return
  fi
  case $command:${{COMP_WORDS[COMP_CWORD - 1]}} in
{}  esac
  [ -n "$words" ] || case $command:$current in
{}  esac
  if [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _gradc gradc
)",
                     fmt::join(words_of(gradc), " "), values, options);
}

/// Text inside single quotes.
std::string quoted(std::string_view text, std::string_view escaped = {}) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      if (escaped.find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out + "'";
}

std::string zsh(const CommandDescription& gradc) {
  constexpr std::string_view kSpecial = "[]:\\";
  std::string commands;
  std::string cases;
  for (const CommandDescription& command : gradc.commands) {
    commands +=
        fmt::format("    {}\n", quoted(fmt::format("{}:{}", command.word(), command.help), ""));
    cases += fmt::format("    {})\n      _arguments -s", command.word());
    const auto action = [](const OptionDescription& option) {
      return option.choices.empty() ? std::string("_files")
                                    : fmt::format("({})", fmt::join(option.choices, " "));
    };
    for (const OptionDescription& option : command.options) {
      const std::string help = quoted(option.help, kSpecial);
      for (const std::string& name : option.names) {
        cases += fmt::format(" \\\n        '*{}['{}']", name, help);
        if (!option.value.empty()) cases += fmt::format(":value:{}", action(option));
        cases += "'";
      }
    }
    const bool words = !command.arguments.empty() && !command.arguments.front().choices.empty();
    cases += fmt::format(" \\\n        '*:argument:{}'\n      ;;\n",
                         words ? action(command.arguments.front()) : "_files");
  }
  return fmt::format(R"(#compdef gradc
_gradc() {{
  local -a commands
  commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{}  esac
}}
if [ "$funcstack[1]" = _gradc ]; then _gradc "$@"; else compdef _gradc gradc; fi
)",
                     commands, cases);
}

std::string fish(const CommandDescription& gradc) {
  std::string out = "# fish completion of gradc\n";
  for (const CommandDescription& command : gradc.commands) {
    out += fmt::format("complete -c gradc -n __fish_use_subcommand -f -a {} -d {}\n",
                       command.word(), quoted(command.help, "\\"));
  }
  for (const CommandDescription& command : gradc.commands) {
    const std::string begin =
        fmt::format("complete -c gradc -n '__fish_seen_subcommand_from {}'", command.word());
    for (const OptionDescription& argument : command.arguments) {
      if (argument.choices.empty()) continue;
      out += fmt::format("{} -f -a '{}'\n", begin, fmt::join(argument.choices, " "));
    }
    for (const OptionDescription& option : command.options) {
      out += begin;
      for (const std::string& name : option.names) {
        const bool is_long = name.starts_with("--");
        out += fmt::format(" {} {}", is_long ? "-l" : "-s", name.substr(is_long ? 2 : 1));
      }
      if (!option.choices.empty()) {
        out += fmt::format(" -x -a '{}'", fmt::join(option.choices, " "));
      } else if (!option.value.empty()) {
        out += " -r";
      }
      out += fmt::format(" -d {}\n", quoted(option.help, "\\"));
    }
  }
  return out;
}

}  // namespace

std::string completion_script(const CommandDescription& gradc, std::string_view shell) {
  if (shell == "bash") return bash(gradc);
  if (shell == "zsh") return zsh(gradc);
  GRADC_CHECK(shell == "fish", "no shell \"{}\"", shell);
  return fish(gradc);
}

}  // namespace gradc::tool
