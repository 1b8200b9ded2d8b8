#include "support/text_diff.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace gradc {

namespace {

/// Beyond this many cells the table is not worth its memory: the whole middle is shown as changed.
constexpr size_t kMaxCells = size_t{1} << 25;

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text = end == text.npos ? "" : text.substr(end + 1);
  }
  return lines;
}

/// lengths[i * (m + 1) + j]: the longest common subsequence of a[i..] and b[j..].
std::vector<uint32_t> common_lengths(const std::vector<std::string_view>& a,
                                     const std::vector<std::string_view>& b) {
  const size_t row = b.size() + 1;
  std::vector<uint32_t> lengths((a.size() + 1) * row);
  for (size_t i = a.size(); i-- > 0;) {
    for (size_t j = b.size(); j-- > 0;) {
      const uint32_t skip = std::max(lengths[(i + 1) * row + j], lengths[i * row + j + 1]);
      lengths[i * row + j] = a[i] == b[j] ? lengths[(i + 1) * row + j + 1] + 1 : skip;
    }
  }
  return lengths;
}

void put(std::string& out, std::string_view mark, std::string_view line) {
  out.append(mark).append(line).append("\n");
}

}  // namespace

std::string line_diff(std::string_view before, std::string_view after) {
  std::vector<std::string_view> a = split_lines(before);
  std::vector<std::string_view> b = split_lines(after);
  while (!a.empty() && !b.empty() && a.back() == b.back()) {
    a.pop_back();
    b.pop_back();
  }
  size_t same = 0;
  while (same < a.size() && same < b.size() && a[same] == b[same])
    ++same;
  a.erase(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(same));
  b.erase(b.begin(), b.begin() + static_cast<std::ptrdiff_t>(same));

  const bool exact = (a.size() + 1) * (b.size() + 1) <= kMaxCells;
  const std::vector<uint32_t> lengths = exact ? common_lengths(a, b) : std::vector<uint32_t>();
  const size_t row = b.size() + 1;
  std::string out;
  bool in_run = false;
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    if (exact && i < a.size() && j < b.size() && a[i] == b[j]) {
      if (in_run) out.append("\n");
      in_run = false;
      ++i;
      ++j;
      continue;
    }
    in_run = true;
    const bool remove = i < a.size() && (j == b.size() || !exact ||
                                         lengths[(i + 1) * row + j] >= lengths[i * row + j + 1]);
    if (remove)
      put(out, "- ", a[i++]);
    else
      put(out, "+ ", b[j++]);
  }
  if (in_run) out.append("\n");
  return out;
}

}  // namespace gradc
