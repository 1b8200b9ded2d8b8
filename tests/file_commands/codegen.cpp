// Commands on kernels and code.
#include "codegen/kernel/kernel_parser.h"
#include "codegen/kernel/kernel_printer.h"
#include "codegen/kernel/kernel_verifier.h"
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

}  // namespace gradc::testing
