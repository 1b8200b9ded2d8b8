// The op table as a page of documentation: docs/ops.md and `gradc ops` are this text.
#pragma once

#include <string>

namespace gradc {

/// Markdown: one table per family with operands, attributes and defaults, formula, gradient.
std::string ops_markdown();

}  // namespace gradc
