// The curves of one class against the rest, exact: every distinct score is a threshold.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace gradc::results {

using Points = std::vector<std::pair<double, double>>;

struct Scored {
  double score;
  bool positive;
};

/// As scikit-learn's roc_curve with roc_auc_score (trapezoids), and precision_recall_curve with
/// average_precision_score (sum of gains in recall times precision); what ties are one step.
struct Curves {
  std::optional<double> roc_area;           ///< none where one of the two is absent
  std::optional<double> average_precision;  ///< none without positives
  Points roc;  ///< (false positives, true positives) as shares, rising, thinned for drawing
  Points pr;   ///< (recall, precision), likewise
};

/// `scored` is sorted on the way.
Curves curves_of(std::vector<Scored>& scored);

/// First, last, and of those between what is more than `step` from the one kept before it, in
/// either direction.
Points thinned(const Points& points, double step);

}  // namespace gradc::results
