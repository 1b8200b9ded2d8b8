// The manners of the command line, as docs/command.md shows them: each row of the page is what the
// command prints. GRADC_UPDATE=1 writes the page anew.
#include "tests/unit/driver/command.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <vector>

namespace gradc::test {
namespace {

struct Row {
  const char* title;
  const char* command;
  int code;
  const char* needs = "sh";     ///< a program
  const char* shown = nullptr;  ///< the command as the page has it; null: as it is run
};

constexpr const char* kModel = "examples/mnist_mlp.json";

/// $WIDE columns: a terminal of its own runs it.
#define IN_TERMINAL(COLUMNS, COMMAND) \
  "script -qec 'stty cols " COLUMNS "; " COMMAND "' /dev/null | tr -d '\\r'"

constexpr Row kRows[] = {
    {"A wrong command", "gradc trian examples/mnist_mlp.json", 2},
    {"A wrong command of a command", "gradc new tabel houses.csv:target=price", 2},
    {"A command that is like none", "gradc solve", 2},
    {"A wrong option", "gradc train examples/mnist_mlp.json --epoch 3 --optimizr=sgd", 2},
    {"A wrong option of gradc itself", "gradc --hlp", 2},
    {"A wrong choice", "gradc inspect examples/mnist_mlp.json --stage fuzed", 2},
    {"A choice that is like none", "gradc completion tcsh", 2},
    {"A wrong choice of a repeatable option",
     "gradc plan examples/mnist_mlp.json --no-warn missing-sofmax", 2},
    {"A wrong name", "gradc layers dens", 2},
    {"A wrong value", "gradc bench examples/mnist_mlp.json --threads many", 2},
    {"A wrong size", "gradc plan examples/mnist_mlp.json --memory-budget much", 2},
    {"A wrong path of --set", "gradc plan examples/mnist_mlp.json --set training.optimizr=sgd", 1},
    {"An option is missing", "gradc compile examples/mnist_mlp.json", 2},
    {"An option's value is missing", "gradc plan examples/mnist_mlp.json --batch-size", 2},
    {"One argument too many", "gradc plan examples/mnist_mlp.json more", 2},
    {"A file that is not there", "gradc plan examples/mnist.json", 1},
    {"Help of a command", "gradc help completion", 0},
    {"Help of a command's command", "gradc help new series", 0},
    {"Help in a terminal of 60 columns", IN_TERMINAL("60", "gradc help plan"), 0, "script",
     "gradc help plan"},
    {"Help in a terminal of 120 columns", IN_TERMINAL("120", "gradc help plan"), 0, "script",
     "gradc help plan"},
    {"A page of the manual",
     "gradc man new series | MANWIDTH=80 man -l - 2> /dev/null | col -bx | sed '/^$/N;/^\\n$/D'", 0,
     "man", "gradc man new series | man -l -"},
};

/// The command from the source folder, with `gradc` in the path.
Outcome run(const std::string& command) {
  const std::filesystem::path folder = std::filesystem::path(tool()).parent_path();
  return shell("sh -c 'cd " + source(".") + " && PATH=" + folder.string() +
               ":$PATH && export PATH && eval \"$1\"' sh '" +
               std::regex_replace(command, std::regex("'"), "'\\''") + "'");
}

std::string block_of(const Row& row, const Outcome& outcome) {
  return std::string("## ") + row.title + "\n\n```\n$ " +
         (row.shown != nullptr ? row.shown : row.command) + "\n" + outcome.output +
         "```\n\nExit code " + std::to_string(outcome.code) + ".\n";
}

constexpr const char* kHead =
    "# Manners of the command line\n\nWhat `gradc` says to what people type. Every block of this "
    "page is what the "
    "command printed: `gradc_command_tests` runs them and\ncompares (`GRADC_UPDATE=1` writes the "
    "page anew).\n";

struct Completion {
  const char* typed;
  const char* completed;  ///< "_": a blank
};

/// What each shell makes of them when Tab is pressed.
constexpr Completion kCompletions[] = {
    {"gradc tra", "gradc train_"},
    {"gradc new ser", "gradc new series_"},
    {"gradc help conv", "gradc help convert_"},
    {"gradc train m.json --checkp", "gradc train m.json --checkpoint"},
    {"gradc inspect m.json --stage fus", "gradc inspect m.json --stage fused_"},
    {"gradc inspect m.json --stage=fus", "gradc inspect m.json --stage=fused_"},
    {"gradc inspect m.json --entry tuned_step_", "gradc inspect m.json --entry tuned_step_tail_"},
    {"gradc run m.json --entry grad", "gradc run m.json --entry gradients_"},
    {"gradc plan m.json --no-warn learning", "gradc plan m.json --no-warn learning-rate_"},
    {"gradc layers multi_head_", "gradc layers multi_head_attention_"},
    {"gradc completion z", "gradc completion zsh_"},
    {"gradc new images --o", "gradc new images --out"},
};
constexpr const char* kShells[] = {"bash", "zsh", "fish"};

std::string completion_table() {
  std::string table =
      "## Completion\n\nIn bash, zsh and fish, each in a terminal of its own, Tab behind the left "
      "makes the right of "
      "it:\n\n| typed | becomes |\n|---|---|\n";
  for (const Completion& one : kCompletions) {
    std::string completed = one.completed;
    if (completed.back() == '_') completed.back() = ' ';
    table += std::string("| `") + one.typed + "` | `" + completed + "` |\n";
  }
  return table +
         "\nThe scripts: `source <(gradc completion bash)`, `gradc completion zsh > "
         "~/.zfunc/_gradc`, `gradc "
         "completion fish >\n~/.config/fish/completions/gradc.fish`; installed packages have "
         "them.\n";
}

const std::string kPage = source("docs/command.md");

TEST(Manners, AreThoseOfThePage) {
  const bool update = std::getenv("GRADC_UPDATE") != nullptr;
  std::string page = kHead;
  const std::string now = update ? std::string() : read_file(kPage);
  for (const Row& row : kRows) {
    SCOPED_TRACE(row.title);
    if (shell(std::string("command -v ") + row.needs).code != 0) {
      EXPECT_FALSE(update) << row.needs << " is needed to write the page";
      continue;
    }
    const Outcome outcome = run(row.command);
    EXPECT_EQ(outcome.code, row.code) << outcome.output;
    const std::string block = block_of(row, outcome);
    page += "\n" + block;
    EXPECT_TRUE(update || now.find(block) != std::string::npos) << block;
  }
  page += "\n" + completion_table();
  if (update) write_text_file(kPage, page);
  EXPECT_NE(read_file(kPage).find(completion_table()), std::string::npos);
}

TEST(Manners, ShellsCompleteAsThePageSays) {
  if (shell("command -v python3").code != 0) GTEST_SKIP() << "there is no python3";
  const Scratch scratch;
  const std::string path = std::filesystem::path(tool()).parent_path().string();
  size_t tried = 0;
  for (const std::string name : kShells) {
    const std::string script = scratch / (name + ".completion");
    ASSERT_EQ(gradc("completion " + name + " > " + script).code, 0);
    std::string lines;
    for (const Completion& one : kCompletions)
      lines += std::string(" '") + one.typed + "'";
    const Outcome outcome =
        shell("env HOME=" + (scratch / ".") + " PATH=" + path + ":$PATH python3 " +
              source("tests/support/complete.py") + " " + name + " " + script + lines);
    if (outcome.code == 3) continue;  // not installed
    EXPECT_EQ(outcome.code, 0) << name << "\n" << outcome.output;
    ++tried;
    std::istringstream answers(outcome.output);
    for (const Completion& one : kCompletions) {
      std::string answer, wanted = one.completed;
      std::getline(answers, answer);
      // Shells differ in whether a blank or "=" follows an option.
      if (answer.ends_with('=') && !wanted.ends_with('=')) answer.pop_back();
      if (answer.ends_with('_') && !wanted.ends_with('_')) answer.pop_back();
      if (wanted.ends_with('_') && !answer.ends_with('_')) wanted.pop_back();
      EXPECT_EQ(answer, wanted) << name;
    }
  }
  EXPECT_GE(tried, 1U);
}

TEST(Manners, HelpKeepsTheWidthOfTheTerminal) {
  for (const int width : {60, 80, 120}) {
    for (const std::string words :
         {"", "train", "inspect", "bench", "new", "new images", "opt", "convert", "run"}) {
      const Outcome help = run("script -qec 'stty cols " + std::to_string(width) + "; gradc help " +
                               words + "' /dev/null | tr -d '\\r'");
      ASSERT_EQ(help.code, 0) << help.output;
      std::istringstream lines(help.output);
      for (std::string line; std::getline(lines, line);) {
        // A single word is not cut.
        const size_t begin = line.find_first_not_of(' ');
        const bool one_word =
            begin == std::string::npos || line.find(' ', begin) >= line.size() - 2;
        EXPECT_TRUE(line.size() <= static_cast<size_t>(width) || one_word)
            << width << " " << words << "\n"
            << line;
      }
    }
  }
}

TEST(Manners, EveryChoiceIsOfferedAndListed) {
  const std::string bash = gradc("completion bash").output;
  for (const char* part :
       {"'inspect:--entry') words='predict evaluate", "outputs_to_all_tail learning_rate'",
        "'opt:--stop-after')", "'run:--engine') words='jit interpreter'",
        "'compile:--emit') words='exe",
        "'convert:--no-warn') words=", "'new series:'-*) words=", "'ops:'*) words='"})
    EXPECT_NE(bash.find(part), std::string::npos) << part;
  EXPECT_EQ(bash.find("--break-after"), std::string::npos);  // for tests
}

TEST(Manners, EntriesOfHostsAreShown) {
  const Outcome forward = gradc("inspect " + source(kModel) + " --entry forward --stage planned");
  EXPECT_EQ(forward.code, 0) << forward.output;
  EXPECT_NE(forward.output.find("output/digit"), std::string::npos) << forward.output;
  for (const char* entry : {"tuned_step", "apply_gradients", "loss_to_inputs_tail",
                            "outputs_to_all", "loss_to_parameters"}) {
    for (const char* stage : {"gradient", "kernels"}) {
      const Outcome shown =
          gradc("inspect " + source(kModel) + " --entry " + entry + " --stage " + stage);
      EXPECT_EQ(shown.code, 0) << entry << shown.output;
      EXPECT_GT(shown.output.size(), 500U) << entry << " " << stage;
    }
  }
  const Scratch scratch;
  write_text_file(scratch / "m.json", R"({"inputs": [{"name": "x", "shape": [4]}],
    "layers": [{"type": "dense", "units": 3}]})");
  EXPECT_EQ(gradc("inspect " + (scratch / "m.json")).code, 0);
  const Outcome none = gradc("inspect " + (scratch / "m.json") + " --entry gradients");
  EXPECT_EQ(none.code, 1);
  EXPECT_NE(none.output.find("no \"training\" section, so it has no entry \"gradients\""),
            std::string::npos)
      << none.output;
}

}  // namespace
}  // namespace gradc::test
