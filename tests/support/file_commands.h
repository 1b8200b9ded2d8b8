// The commands of file tests, one function each; file_commands.cpp lists them.
#pragma once

#include "tests/support/file_test.h"

namespace gradc::testing {

/// The graph prints to a text that reads back to an equal graph; output: that text.
Result<std::string> file_command_parse(const FileTest& test);
/// Reads (and so verifies) a graph; output: "ok". For files with // error: lines.
Result<std::string> file_command_verify(const FileTest& test);
/// Runs a graph on "// in NAME: 1, 2, 3" (one number fills the input); output: a line per result.
Result<std::string> file_command_interpret(const FileTest& test);
/// The graph in Graphviz's language, or as JSON.
Result<std::string> file_command_dot(const FileTest& test);
Result<std::string> file_command_json(const FileTest& test);
/// Runs a pipeline, checks that the numbers stay the same; output: the warnings and
/// the graph's text.
Result<std::string> file_command_passes(const FileTest& test);
/// Kernels print to a text that reads back to equal kernels; output: that text, and what the
/// verifier finds.
Result<std::string> file_command_kernel(const FileTest& test);
/// The graph planned, each result with its place; the plan is verified.
Result<std::string> file_command_plan(const FileTest& test);
/// A graph carried on, or kernels (.kernel), for a target: sse, avx2, avx512 or neon. Output: the
/// program's text, LLVM IR after optimisation, assembly.
Result<std::string> file_command_kernels(const FileTest& test);
Result<std::string> file_command_llvm(const FileTest& test);
Result<std::string> file_command_asm(const FileTest& test);

}  // namespace gradc::testing
