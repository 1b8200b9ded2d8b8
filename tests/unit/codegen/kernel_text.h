// What holds for every kernel: its text reads back to the same kernel.
#pragma once

#include "codegen/kernel/kernel_parser.h"
#include "codegen/kernel/kernel_printer.h"
#include "support/diagnostic_render.h"

#include <span>
#include <string>

namespace gradc::testing {

/// Empty, or what parse(print(kernel)) lost.
inline std::string reading_back_problem(const kernel::Kernel& k) {
  const std::string text = kernel::to_string(k);
  const auto again = kernel::parse_kernel(text, "printed");
  if (!again.ok()) {
    SourceSet sources;
    sources.add(SourceFile("printed", text));
    return render_diagnostics(again.diagnostics(), sources) + text;
  }
  if (kernel::to_string(*again) != text) return "prints differently:\n" + text;
  if (kernel::canonical_text(*again) != kernel::canonical_text(k))
    return "is another kernel:\n" + text + kernel::canonical_text(k) +
           kernel::canonical_text(*again);
  return again->flops == k.flops ? "" : "has other flops:\n" + text;
}

/// The first problem of any of them.
inline std::string reading_back_problem(std::span<const kernel::Kernel> kernels) {
  for (const kernel::Kernel& k : kernels) {
    if (std::string problem = reading_back_problem(k); !problem.empty()) return problem;
  }
  return {};
}

}  // namespace gradc::testing
