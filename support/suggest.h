// "did you mean": the known name nearest to what was written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gradc {

/// Optimal-string-alignment distance: insertions, deletions, substitutions and swaps of neighbours,
/// each 1. Distances above `limit` are given as limit + 1.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit = SIZE_MAX - 1);

/// The nearest candidate within a third of the length (at least 1 edit; case and "-"/"_" are free),
/// or nothing.
std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates);

/// Advice for an unknown name: "did you mean ...?", else the list of known names when it is short,
/// else nothing.
std::string suggestion(std::string_view name, std::span<const std::string> candidates);

/// Many names, of which the nearest is asked for again and again: the cost of a question does not
/// grow with their number. Of few names all are compared; of many those that share the rarest
/// groups of three letters with what was written, or its beginning.
class NameIndex {
 public:
  NameIndex() = default;
  explicit NameIndex(std::vector<std::string> names);

  std::optional<std::string> nearest(std::string_view name) const;
  /// As the function above.
  std::string suggestion(std::string_view name) const;

 private:
  /// Indices of the names worth comparing.
  std::vector<size_t> candidates(const std::string& wanted) const;

  std::vector<std::string> names_;
  std::vector<std::string> folded_;
  std::vector<size_t> sorted_;                               ///< by folded name; only of many
  std::unordered_map<uint32_t, std::vector<size_t>> grams_;  ///< likewise
};

}  // namespace gradc
