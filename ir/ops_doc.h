// The op table as a page of documentation: docs/ops.md and `gradc ops` are this text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// Markdown: one table per family with operands, attributes and defaults, formula, gradient.
std::string ops_markdown();
/// What that page says of one op, in lines; empty if there is none of that name.
std::string op_text(std::string_view name);
std::vector<std::string> op_names();

}  // namespace gradc
