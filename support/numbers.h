// Numbers in texts, never by the process's locale: a host may have set one that writes 0,5.
// Writing is fmt's, whose {} gives the shortest text that reads back as the same double.
#pragma once

#include <optional>
#include <string_view>

namespace gradc {

/// The double nearest to a decimal number like "-1.5e3", all of the text; infinite when it is too
/// large, zero when it is too small. Nothing when the text is no such number ("+1", "0x1p3", " 1").
std::optional<double> parse_double(std::string_view text);

}  // namespace gradc
