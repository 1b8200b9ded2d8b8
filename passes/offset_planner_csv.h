// Buffers as CSV in MiniMalloc's format: a header naming the columns id, lower, upper, size and
// optionally offset, then one buffer a line, live on [lower, upper).
#pragma once

#include "passes/offset_planner.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gradc {

/// Reads the text of a CSV file; `file` names it in diagnostics (all bad lines are reported, up to
/// a limit). Alignment is 1; a number in the offset column fixes the buffer there.
Result<std::vector<BufferSpec>> parse_buffers_csv(std::string_view text, const std::string& file);

/// The buffers with their offsets, in the format that parse_buffers_csv reads.
std::string print_buffers_csv(std::span<const BufferSpec> buffers,
                              std::span<const int64_t> offsets);

}  // namespace gradc
