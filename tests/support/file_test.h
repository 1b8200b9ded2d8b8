// File tests: a file under tests/filetests whose first line names a command,
//
//   // test: passes(dce)
//
// is run through that command and checked by what else it holds:
//   // error: TEXT     at the end of a line: a diagnostic on this line holds TEXT; all must be
//   named
//   // CHECK: ...      FileCheck lines: the output satisfies them
//   // output:         the comment lines below are the output (or the rendered diagnostics)
//   exactly;
//                      GRADC_UPDATE=1 rewrites them
// A .json file may hold such // lines too; they are blanked before the command sees the text.
#pragma once

#include "support/result.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc::testing {

struct FileTest {
  std::string path;      ///< below tests/filetests, as diagnostics show it
  std::string text;      ///< what the command reads; lines and columns are those of the file
  std::string command;   ///< "passes"
  std::string argument;  ///< "dce"
  std::string all;       ///< the file as it is

  /// The rest of each line that begins with "// KEY: ".
  std::vector<std::string> directives(std::string_view key) const;
};

/// What a command makes of a file: text to check, or diagnostics.
using FileCommandFn = Result<std::string> (*)(const FileTest&);

struct FileCommand {
  std::string_view name;
  FileCommandFn run = nullptr;
  bool checks_itself = false;  ///< a file without CHECK lines still tests something
};

/// All commands; a new one is a line in file_commands.cpp.
std::span<const FileCommand> file_commands();

/// Splits a file into its parts; diagnosed when the first line names no command.
Result<FileTest> read_file_test(const std::string& path, std::string contents);

/// Runs a test and says what is wrong, or is empty. `new_contents` receives the file with its
/// exact output replaced when that differs.
std::string run_file_test(const FileTest& test, std::string* new_contents);

}  // namespace gradc::testing
