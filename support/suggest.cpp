// Edit distance over three rows of the table, in the band that the limit leaves.
#include "support/suggest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <utility>

namespace gradc {
namespace {

constexpr size_t kMaxNameLength = 200;  // longer names are not typing mistakes
constexpr size_t kMaxListedNames = 12;
constexpr size_t kFewNames = 256;      // of no more all are compared
constexpr size_t kMaxPostings = 1024;  // of shared groups of letters, per question
constexpr size_t kMaxCompared = 64;    // edit distances per question
constexpr size_t kMaxNeighbours = 8;   // before and behind in alphabetical order

std::string folded(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '_' || c == '-' || c == ' ') continue;
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

size_t edits_allowed(const std::string& wanted) {
  return std::max<size_t>(1, wanted.size() / 3);
}

/// The groups of three letters, the beginning and the end being letters too.
std::vector<uint32_t> grams_of(const std::string& name) {
  const std::string text = "^" + name + "$";
  std::vector<uint32_t> grams;
  for (size_t i = 0; i + 2 < text.size(); ++i) {
    const auto at = [&](size_t k) { return uint32_t{static_cast<unsigned char>(text[i + k])}; };
    grams.push_back(at(0) << 16U | at(1) << 8U | at(2));
  }
  std::sort(grams.begin(), grams.end());
  grams.erase(std::unique(grams.begin(), grams.end()), grams.end());
  return grams;
}

/// Keeps the nearest of the names offered; of equally near ones the first.
class Nearest {
 public:
  explicit Nearest(const std::string& wanted) : wanted_(wanted), best_(edits_allowed(wanted) + 1) {}

  void offer(size_t index, const std::string& folded_name) {
    if (best_ == 0) return;
    const size_t distance = edit_distance(wanted_, folded_name, best_ - 1);
    if (distance >= best_) return;
    best_ = distance;
    found_ = index;
  }
  /// SIZE_MAX: none is near.
  size_t found() const { return found_; }

 private:
  const std::string& wanted_;
  size_t best_;
  size_t found_ = SIZE_MAX;
};

std::string advice(const std::optional<std::string>& nearest,
                   std::span<const std::string> candidates) {
  if (nearest) return fmt::format("did you mean \"{}\"?", *nearest);
  if (candidates.empty() || candidates.size() > kMaxListedNames) return {};
  return fmt::format("known: {}", fmt::join(candidates, ", "));
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  const size_t difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (difference > limit) return limit + 1;
  const size_t far = a.size() + b.size() + 1;  // more than any distance
  const size_t band = std::min(limit, far);
  std::vector<size_t> before(b.size() + 1, far);
  std::vector<size_t> previous(b.size() + 1, far);
  std::vector<size_t> current(b.size() + 1, far);
  for (size_t j = 0; j <= std::min(b.size(), band); ++j)
    previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    const size_t first = i > band ? i - band : 0;
    const size_t last = std::min(b.size(), i + band);
    size_t least = far;
    std::fill(current.begin(), current.end(), far);
    for (size_t j = first; j <= last; ++j) {
      if (j == 0) {
        current[0] = i;
      } else {
        const size_t substitution = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
        current[j] = std::min({previous[j] + 1, current[j - 1] + 1, substitution});
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
          current[j] = std::min(current[j], before[j - 2] + 1);
      }
      least = std::min(least, current[j]);
    }
    if (least > band && i > 1 && *std::ranges::min_element(previous) > band) return limit + 1;
    std::swap(before, previous);
    std::swap(previous, current);
  }
  return std::min(previous[b.size()], limit + 1);
}

std::optional<std::string> nearest_name(std::string_view name,
                                        std::span<const std::string> candidates) {
  if (name.empty() || name.size() > kMaxNameLength) return std::nullopt;
  const std::string wanted = folded(name);
  Nearest nearest(wanted);
  for (size_t i = 0; i < candidates.size(); ++i)
    nearest.offer(i, folded(candidates[i]));
  if (nearest.found() == SIZE_MAX) return std::nullopt;
  return candidates[nearest.found()];
}

std::string suggestion(std::string_view name, std::span<const std::string> candidates) {
  return advice(nearest_name(name, candidates), candidates);
}

NameIndex::NameIndex(std::vector<std::string> names) : names_(std::move(names)) {
  for (const std::string& name : names_)
    folded_.push_back(name.size() > kMaxNameLength ? std::string() : folded(name));
  if (names_.size() <= kFewNames) return;
  for (size_t i = 0; i < names_.size(); ++i) {
    sorted_.push_back(i);
    for (const uint32_t gram : grams_of(folded_[i]))
      grams_[gram].push_back(i);
  }
  std::ranges::sort(sorted_, {},
                    [&](size_t i) { return std::pair(std::string_view(folded_[i]), i); });
}

std::vector<size_t> NameIndex::candidates(const std::string& wanted) const {
  std::vector<const std::vector<size_t>*> postings;
  for (const uint32_t gram : grams_of(wanted)) {
    if (const auto found = grams_.find(gram); found != grams_.end())
      postings.push_back(&found->second);
  }
  std::ranges::sort(postings, {}, [](const auto* list) { return list->size(); });
  std::vector<size_t> shared;  // a name as often as it shares a group
  for (const std::vector<size_t>* list : postings) {
    if (!shared.empty() && shared.size() + list->size() > kMaxPostings) break;
    const auto count = static_cast<ptrdiff_t>(std::min(list->size(), kMaxPostings));
    shared.insert(shared.end(), list->begin(), list->begin() + count);
  }
  std::sort(shared.begin(), shared.end());
  std::vector<std::pair<size_t, size_t>> ranked;  // name, groups that it shares
  for (const size_t name : shared) {
    if (ranked.empty() || ranked.back().first != name) ranked.emplace_back(name, 0);
    ++ranked.back().second;
  }
  // (std::stable_sort calls what libstdc++ 12 itself marks as deprecated.)
  std::ranges::sort(ranked, [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  std::vector<size_t> chosen;
  for (size_t k = 0; k < std::min(ranked.size(), kMaxCompared); ++k)
    chosen.push_back(ranked[k].first);
  const auto at = std::ranges::lower_bound(
      sorted_, wanted, {}, [&](size_t i) -> const std::string& { return folded_[i]; });
  const auto place = at - sorted_.begin();
  const auto reach = static_cast<ptrdiff_t>(kMaxNeighbours);
  const auto end = std::min(place + reach, static_cast<ptrdiff_t>(sorted_.size()));
  for (ptrdiff_t k = std::max<ptrdiff_t>(place - reach, 0); k < end; ++k)
    chosen.push_back(sorted_[static_cast<size_t>(k)]);
  std::sort(chosen.begin(), chosen.end());  // of equally near names the first is offered
  return chosen;
}

std::optional<std::string> NameIndex::nearest(std::string_view name) const {
  if (name.empty() || name.size() > kMaxNameLength) return std::nullopt;
  const std::string wanted = folded(name);
  Nearest nearest(wanted);
  if (names_.size() <= kFewNames) {
    for (size_t i = 0; i < names_.size(); ++i)
      nearest.offer(i, folded_[i]);
  } else {
    for (const size_t i : candidates(wanted))
      nearest.offer(i, folded_[i]);
  }
  if (nearest.found() == SIZE_MAX) return std::nullopt;
  return names_[nearest.found()];
}

std::string NameIndex::suggestion(std::string_view name) const {
  return advice(nearest(name), names_);
}

}  // namespace gradc
