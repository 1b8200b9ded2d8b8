#include "support/diagnostic.h"

#include <array>

namespace gradc {

std::string_view diag_name(DiagKind kind) {
  static constexpr std::array kNames = {
#define GRADC_DIAG(enumerator, name) std::string_view(name),
#include "support/diagnostics.def"
#undef GRADC_DIAG
  };
  return kNames[static_cast<size_t>(kind)];
}

Diagnostic& DiagnosticSink::add(Diagnostic diagnostic) {
  if (diagnostic.severity == Severity::kError) ++num_errors_;
  return diagnostics_.emplace_back(std::move(diagnostic));
}

void DiagnosticSink::append(std::vector<Diagnostic> diagnostics) {
  for (Diagnostic& diagnostic : diagnostics)
    add(std::move(diagnostic));
}

std::vector<Diagnostic> DiagnosticSink::take() {
  num_errors_ = 0;
  return std::exchange(diagnostics_, {});
}

}  // namespace gradc
