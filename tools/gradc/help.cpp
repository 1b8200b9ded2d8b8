// --help and the man pages.
#include "tools/gradc/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <sys/ioctl.h>
#include <unistd.h>

namespace gradc::tool {
namespace {

constexpr size_t kColumn = 28;      ///< where help begins
constexpr size_t kMostListed = 30;  ///< choices that help lists

/// "-o, --out VALUE".
std::string left_side(const OptionDescription& option) {
  std::string text = fmt::format("{}", fmt::join(option.names, ", "));
  if (!option.value.empty() && option.names.front().starts_with('-')) text += " " + option.value;
  return text;
}

std::string right_side(const OptionDescription& option) {
  if (option.choices.empty() || option.choices.size() > kMostListed) return option.help;
  return fmt::format("{}{}one of {}", option.help, option.help.empty() ? "" : "; ",
                     fmt::join(option.choices, ", "));
}

/// Words in lines that end before `width`, all but the first indented.
void add_wrapped(std::string& out, std::string_view text, size_t indent, size_t width) {
  size_t column = indent;
  bool first = true;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    if (!first && column + 1 + word.size() > width) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (!first) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
    first = false;
  }
  out += "\n";
}

/// Lines of examples and what is said of them; a command that is too long for the width goes on in
/// the next line as a shell reads it.
void add_footer(std::string& out, std::string_view footer, size_t width) {
  for (size_t begin = 0; begin < footer.size();) {
    const size_t end = std::min(footer.find('\n', begin), footer.size());
    const std::string_view line = footer.substr(begin, end - begin);
    begin = end + 1;
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::string_view text = line.substr(indent);
    out += std::string(indent, ' ');
    if (indent == 0 || line.size() <= width) {
      add_wrapped(out, text, indent, width);
      continue;
    }
    std::string wrapped;
    add_wrapped(wrapped, text, indent + 4, width - 2);
    wrapped.pop_back();
    for (const char c : wrapped)
      out += c == '\n' ? std::string(" \\\n") : std::string(1, c);
    out += "\n";
  }
}

void add_row(std::string& out, const std::string& left, std::string_view right, size_t width) {
  out += "  " + left;
  const size_t used = left.size() + 2;
  out += used + 2 > kColumn ? "\n" + std::string(kColumn, ' ') : std::string(kColumn - used, ' ');
  add_wrapped(out, right, kColumn, width);
}

std::string usage(const CommandDescription& command) {
  std::string text = command.name;
  if (!command.options.empty()) text += " [OPTIONS]";
  for (const OptionDescription& argument : command.arguments)
    text += argument.required ? " " + argument.names.front() : " [" + argument.names.front() + "]";
  if (!command.commands.empty()) text += " COMMAND";
  return text;
}

/// Text in a man page: nothing in it is a request or an escape.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\e";
    } else if (c == '-') {
      out += "\\-";
    } else {
      if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n')) out += "\\&";
      out += c;
    }
  }
  return out;
}

void add_man_options(std::string& out, const char* title,
                     const std::vector<OptionDescription>& options) {
  if (options.empty()) return;
  out += fmt::format(".SH {}\n", title);
  for (const OptionDescription& option : options)
    out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(left_side(option)), roff(right_side(option)));
}

}  // namespace

size_t terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 100;
  return std::max<size_t>(size.ws_col, kColumn + 20);
}

std::string help_text(const CommandDescription& command, size_t width) {
  std::string out;
  add_wrapped(out, command.help, 0, width);
  out += fmt::format("Usage: {}\n", usage(command));
  const auto add = [&](const char* title, const std::vector<OptionDescription>& options) {
    if (options.empty()) return;
    out += fmt::format("\n{}:\n", title);
    for (const OptionDescription& option : options)
      add_row(out, left_side(option), right_side(option), width);
  };
  add("Arguments", command.arguments);
  add("Options", command.options);
  if (!command.commands.empty()) {
    out += "\nCommands:\n";
    for (const CommandDescription& one : command.commands)
      add_row(out, std::string(one.word()), one.help, width);
  }
  if (!command.footer.empty()) out += "\n";
  add_footer(out, command.footer, width);
  return out;
}

std::string man_page(const CommandDescription& command) {
  std::string title = command.name;
  std::ranges::replace(title, ' ', '-');
  std::string out = fmt::format(".TH {} 1 \"\" \"gradc\" \"User Commands\"\n", roff(title));
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff(title), roff(command.help));
  out += fmt::format(".SH SYNOPSIS\n\\fB{}\\fR\n", roff(usage(command)));
  add_man_options(out, "ARGUMENTS", command.arguments);
  add_man_options(out, "OPTIONS", command.options);
  if (!command.commands.empty()) {
    out += ".SH COMMANDS\n";
    for (const CommandDescription& one : command.commands)
      out += fmt::format(".TP\n\\fB{}\\fR\n{}\n", roff(one.word()), roff(one.help));
  }
  if (!command.footer.empty())
    out += fmt::format(".SH EXAMPLES\n.nf\n{}\n.fi\n", roff(command.footer));
  out +=
      ".SH EXIT STATUS\n.TP\n0\nsuccess\n.TP\n1\nan error in what was given\n.TP\n2\nwrong usage\n"
      ".TP\n70\nan internal error\n";
  if (!command.commands.empty()) {
    out += ".SH SEE ALSO\n";
    for (const CommandDescription& one : command.commands) {
      std::string page = one.name;
      std::ranges::replace(page, ' ', '-');
      out +=
          fmt::format("\\fB{}\\fR(1){}\n", roff(page), &one == &command.commands.back() ? "" : ",");
    }
  } else {
    out += ".SH SEE ALSO\n\\fBgradc\\fR(1)\n";
  }
  return out;
}

}  // namespace gradc::tool
