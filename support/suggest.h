// "did you mean": the known name nearest to what was written.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace gradc {

/// Optimal-string-alignment distance: insertions, deletions, substitutions and swaps of neighbours,
/// each 1.
size_t edit_distance(std::string_view a, std::string_view b);

/// The nearest candidate within a third of the length (at least 1 edit; case and "-"/"_" are free),
/// or nothing.
std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates);

/// Advice for an unknown name: "did you mean ...?", else the list of known names when it is short,
/// else nothing.
std::string suggestion(std::string_view name, std::span<const std::string> candidates);

}  // namespace gradc
