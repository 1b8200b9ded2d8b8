// Completion scripts of bash, zsh and fish. What a script offers is fixed when it is printed:
// commands, their options, and the words that an option may take; files for all else.
#include "support/check.h"
#include "tools/gradc/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string>
#include <utility>
#include <vector>

namespace gradc::tool {
namespace {

/// The commands that have options and arguments of their own: "train", "new table".
void add_leaves(const CommandDescription& command, const std::string& path,
                std::vector<std::pair<std::string, const CommandDescription*>>& leaves) {
  for (const CommandDescription& one : command.commands) {
    const std::string words = path + std::string(one.word());
    if (one.commands.empty())
      leaves.emplace_back(words, &one);
    else
      add_leaves(one, words + " ", leaves);
  }
}

std::vector<std::string> words_of(const CommandDescription& gradc) {
  std::vector<std::string> words;
  for (const CommandDescription& command : gradc.commands)
    words.emplace_back(command.word());
  return words;
}

/// Options of commands that have commands of their own are few: they are offered beside those.
std::string options_of(const CommandDescription& command) {
  std::string names;
  for (const OptionDescription& option : command.options)
    names += " " + std::string(option.names.back());
  return names;
}

std::string bash(const CommandDescription& gradc) {
  std::string groups, values, options;
  for (const CommandDescription& command : gradc.commands) {
    if (command.commands.empty()) continue;
    groups += fmt::format(
        "      {0})\n        command='{0} '${{COMP_WORDS[2]}}\n"
        "        ((COMP_CWORD > 2)) || words='{1}{2}' ;;\n",
        command.word(), fmt::join(words_of(command), " "), options_of(command));
  }
  std::vector<std::pair<std::string, const CommandDescription*>> leaves;
  add_leaves(gradc, "", leaves);
  for (const auto& [words, command] : leaves) {
    std::vector<std::string> names;
    for (const OptionDescription& option : command->options) {
      names.insert(names.end(), option.names.begin(), option.names.end());
      if (option.choices.empty()) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names)
        patterns.push_back(fmt::format("'{}:{}'", words, name));
      values += fmt::format("    {}) words='{}' ;;\n", fmt::join(patterns, "|"),
                            fmt::join(option.choices, " "));
    }
    options += fmt::format("    '{}:'-*) words='{}' ;;\n", words, fmt::join(names, " "));
    for (const OptionDescription& argument : command->arguments) {
      if (argument.choices.empty()) continue;
      options +=
          fmt::format("    '{}:'*) words='{}' ;;\n", words, fmt::join(argument.choices, " "));
    }
  }
  return fmt::format(R"(# bash completion of gradc
_gradc() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
  local command=${{COMP_WORDS[1]}} words=
  if [ "$current" = = ]; then
    current=
  elif [ "$before" = = ]; then
    before=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  if ((COMP_CWORD == 1)); then
    words='{}{}'
  else
    case $command in
{}    esac
  fi
  [ -n "$words" ] || case $command:$before in
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
                     fmt::join(words_of(gradc), " "), options_of(gradc), groups, values, options);
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

/// The words that follow a command: its commands, or what its options and arguments take.
void add_zsh(const CommandDescription& command, const std::string& indent, std::string& out) {
  constexpr std::string_view kSpecial = "[]:\\";
  if (!command.commands.empty()) {
    out += indent + "if (( CURRENT == 2 )); then\n" + indent + "  local -a commands=(\n";
    for (const CommandDescription& one : command.commands)
      out +=
          fmt::format("{}    {}\n", indent, quoted(fmt::format("{}:{}", one.word(), one.help), ""));
    out += indent + "  )\n" + indent + "  _describe command commands\n" + indent + "  return\n" +
           indent + "fi\n" + indent + "shift words\n" + indent + "(( CURRENT-- ))\n" + indent +
           "case $words[1] in\n";
    for (const CommandDescription& one : command.commands) {
      out += fmt::format("{}  {})\n", indent, one.word());
      add_zsh(one, indent + "    ", out);
      out += indent + "    ;;\n";
    }
    out += indent + "esac\n";
    return;
  }
  const auto action = [](const OptionDescription& option) {
    return option.choices.empty() ? std::string("_files")
                                  : fmt::format("({})", fmt::join(option.choices, " "));
  };
  out += indent + "_arguments -s";
  for (const OptionDescription& option : command.options) {
    const std::string help = quoted(option.help, kSpecial);
    for (const std::string& name : option.names) {
      const bool joined = name.starts_with("--") && !option.value.empty();
      out += fmt::format(" \\\n{}  '*{}{}['{}']", indent, name, joined ? "=" : "", help);
      if (!option.value.empty()) out += fmt::format(":value:{}", action(option));
      out += "'";
    }
  }
  const bool words = !command.arguments.empty() && !command.arguments.front().choices.empty();
  out += fmt::format(" \\\n{}  '*:argument:{}'\n", indent,
                     words ? action(command.arguments.front()) : "_files");
}

std::string zsh(const CommandDescription& gradc) {
  std::string body;
  add_zsh(gradc, "  ", body);
  return "#compdef gradc\n_gradc() {\n" + body +
         "}\nif [ \"$funcstack[1]\" = _gradc ]; then _gradc \"$@\"; else compdef _gradc gradc; "
         "fi\n";
}

/// `condition`: when the words so far lead to the command.
void add_fish(const CommandDescription& command, const std::string& condition, std::string& out) {
  const std::string begin = "complete -c gradc -n '" + condition;
  if (!command.commands.empty()) {
    const std::string words = fmt::format("{}", fmt::join(words_of(command), " "));
    for (const CommandDescription& one : command.commands) {
      out += fmt::format("{}; and not __fish_seen_subcommand_from {}' -f -a {} -d {}\n", begin,
                         words, one.word(), quoted(one.help, "\\"));
    }
    for (const CommandDescription& one : command.commands)
      add_fish(one, fmt::format("{}; and __fish_seen_subcommand_from {}", condition, one.word()),
               out);
    return;
  }
  for (const OptionDescription& argument : command.arguments) {
    if (argument.choices.empty()) continue;
    out += fmt::format("{}' -f -a '{}'\n", begin, fmt::join(argument.choices, " "));
  }
  for (const OptionDescription& option : command.options) {
    out += begin + "'";
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

std::string fish(const CommandDescription& gradc) {
  std::string out = "# fish completion of gradc\n";
  for (const CommandDescription& command : gradc.commands) {
    out += fmt::format("complete -c gradc -n __fish_use_subcommand -f -a {} -d {}\n",
                       command.word(), quoted(command.help, "\\"));
  }
  for (const CommandDescription& command : gradc.commands)
    add_fish(command, fmt::format("__fish_seen_subcommand_from {}", command.word()), out);
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
