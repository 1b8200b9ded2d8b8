// Line differences between two texts, for people.
#pragma once

#include <string>
#include <string_view>

namespace gradc {

/// The lines that differ, removed ones after "- " and added ones after "+ ", in order; equal lines
/// are left out and each run of differences is followed by an empty line.
std::string line_diff(std::string_view before, std::string_view after);

}  // namespace gradc
