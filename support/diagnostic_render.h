// Diagnostics as text: file:line:column, the source line, a caret under the place, pointer, notes
// and help.
#pragma once

#include "support/diagnostic.h"
#include "support/source_file.h"

#include <cstdio>
#include <span>
#include <string>

namespace gradc {

struct RenderOptions {
  bool color = false;        ///< ANSI colours
  size_t max_columns = 110;  ///< longer source lines are cut to a window around the caret
  size_t max_shown = 100;    ///< of more diagnostics only the number is told
};

/// All diagnostics, in order, as DESIGN 2.5 shows; places are looked up in the texts of `sources`.
std::string render_diagnostics(std::span<const Diagnostic> diagnostics, const SourceSet& sources,
                               const RenderOptions& options = {});

/// True when that stream is a terminal and NO_COLOR is not set.
bool wants_color(FILE* stream);

}  // namespace gradc
