#include "driver/results/curves.h"

#include <algorithm>
#include <cmath>

namespace gradc::results {

namespace {

constexpr double kDrawnStep = 1.0 / 400;

}  // namespace

Points thinned(const Points& points, double step) {
  Points kept;
  for (size_t i = 0; i < points.size(); ++i) {
    const auto& [x, y] = points[i];
    const bool end = i == 0 || i + 1 == points.size();
    if (end || std::abs(x - kept.back().first) > step || std::abs(y - kept.back().second) > step)
      kept.emplace_back(x, y);
  }
  return kept;
}

Curves curves_of(std::vector<Scored>& scored) {
  std::sort(scored.begin(), scored.end(),
            [](const Scored& a, const Scored& b) { return a.score > b.score; });
  double positives = 0;
  for (const Scored& one : scored)
    positives += one.positive ? 1 : 0;
  const double negatives = static_cast<double>(scored.size()) - positives;
  Curves curves;
  Points roc = {{0, 0}};
  Points pr = {{0, 1}};
  double found = 0, wrong = 0, area = 0, precision = 0;
  for (size_t i = 0; i < scored.size();) {
    const double found_before = found, wrong_before = wrong;
    const double score = scored[i].score;
    for (; i < scored.size() && !(scored[i].score < score); ++i)
      (scored[i].positive ? found : wrong) += 1;
    area += (wrong - wrong_before) * (found + found_before) / 2;
    precision += (found - found_before) * (found / (found + wrong));
    if (positives > 0 && negatives > 0) roc.emplace_back(wrong / negatives, found / positives);
    // (Once all are found, more thresholds add nothing.)
    if (positives > 0 && found_before < positives)
      pr.emplace_back(found / positives, found / (found + wrong));
  }
  if (positives > 0 && negatives > 0) {
    curves.roc_area = area / positives / negatives;
    curves.roc = thinned(roc, kDrawnStep);
  }
  if (positives > 0) {
    curves.average_precision = precision / positives;
    curves.pr = thinned(pr, kDrawnStep);
  }
  return curves;
}

}  // namespace gradc::results
