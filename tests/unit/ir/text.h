// What the IR tests share: parsing with the diagnostics shown on failure.
#pragma once

#include "ir/parser.h"
#include "ir/printer.h"
#include "support/diagnostic_render.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace gradc::testing {

inline std::string rendered(const std::vector<Diagnostic>& diagnostics, const std::string& text) {
  SourceSet sources;
  sources.add(SourceFile("test.gir", text));
  return render_diagnostics(diagnostics, sources);
}

/// The graph of a valid text; a test failure and null otherwise.
inline std::shared_ptr<Graph> parsed(const std::string& text) {
  auto result = parse_graph(text, "test.gir");
  if (result.ok()) return result.take();
  ADD_FAILURE() << rendered(result.diagnostics(), text);
  return nullptr;
}

/// All diagnostics of an invalid text, rendered; empty when the text is valid.
inline std::string errors_of(const std::string& text) {
  const auto result = parse_graph(text, "test.gir");
  return result.ok() ? std::string() : rendered(result.diagnostics(), text);
}

}  // namespace gradc::testing
