// Commands on plans, kernels and code.
#include "codegen/kernel/kernel_parser.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"
#include "codegen/kernel/program_text.h"
#include "codegen/object_writer.h"
#include "driver/gir_file.h"
#include "passes/plan_memory.h"
#include "passes/plan_text.h"
#include "tests/support/file_commands.h"
#include "tests/unit/codegen/kernel_text.h"

#include <fmt/format.h>

namespace gradc::testing {

Result<std::string> file_command_kernel(const FileTest& test) {
  GRADC_TRY(const std::vector<kernel::Kernel> kernels, kernel::parse_kernels(test.text, test.path));
  std::string text;
  for (const kernel::Kernel& one : kernels) {
    const std::string problem = reading_back_problem(one);
    if (!problem.empty()) return make_error(DiagKind::kIrInvalid, {}, "{}", problem);
    text += kernel::to_string(one);
    for (const Diagnostic& error : kernel::verify(one))
      text += fmt::format("error: {}\n", error.message);
  }
  return text;
}

namespace {

Result<TargetInfo> target_of(const FileTest& test) {
  const std::string& name = test.argument;
  if (name == "sse") return TargetInfo::generic_sse();
  if (name == "avx2") return TargetInfo::generic_avx2();
  if (name == "avx512") return TargetInfo::generic_avx512();
  if (name == "neon") return TargetInfo::generic_neon();
  return make_error(DiagKind::kInvalidUsage, {},
                    "the target \"{}\" is none of sse, avx2, avx512, neon", name);
}

/// The kernels of the text, or of its graph.
Result<kernel::Program> program_of(const FileTest& test, const TargetInfo& target) {
  if (test.path.ends_with(".kernel")) {
    kernel::Program program;
    program.name = "test";
    GRADC_TRY(program.kernels, kernel::parse_kernels(test.text, test.path));
    for (const kernel::Kernel& one : program.kernels) {
      const std::vector<Diagnostic> errors = kernel::verify(one);
      if (!errors.empty()) return Failure(errors);
    }
    return program;
  }
  GRADC_TRY(GirFile file, parse_gir(test.text, test.path));
  BuildOptions build;
  build.verify_each = true;
  return lower_gir(file, target, build);
}

Result<std::string> code_of(const FileTest& test, ObjectKind kind) {
  GRADC_TRY(const TargetInfo target, target_of(test));
  GRADC_TRY(const kernel::Program program, program_of(test, target));
  ObjectOptions options;
  options.kind = kind;
  GRADC_TRY(ObjectFile file, write_object(program, target, options));
  return std::move(file.bytes);
}

}  // namespace

Result<std::string> file_command_plan(const FileTest& test) {
  GRADC_TRY(const GirFile file, parse_gir(test.text, test.path));
  BuildOptions build;
  build.verify_each = true;
  build.name_bodies = true;
  GRADC_TRY(const StagedEntry entry, stage_gir(file, PipelineStage::kPlanned, build));
  for (const std::string& problem : verify_plan(*entry.graph, *entry.plan))
    return make_error(DiagKind::kIrInvalid, {}, "the plan is wrong: {}", problem);
  return print_planned(*entry.graph, *entry.plan);
}

Result<std::string> file_command_kernels(const FileTest& test) {
  GRADC_TRY(const TargetInfo target, target_of(test));
  GRADC_TRY(const kernel::Program program, program_of(test, target));
  return kernel::to_string(program);
}

Result<std::string> file_command_llvm(const FileTest& test) {
  return code_of(test, ObjectKind::kLlvm);
}

Result<std::string> file_command_asm(const FileTest& test) {
  return code_of(test, ObjectKind::kAssembly);
}

}  // namespace gradc::testing
