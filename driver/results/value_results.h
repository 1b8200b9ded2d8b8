// How near the numbers of a regression are, for each column over all positions that count. Sums are
// added up in double in the order of the data, as in class_results.h.
#pragma once

#include "support/json.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gradc::results {

/// Columns of which there are pictures; of more there are numbers alone.
inline constexpr size_t kMostDrawnColumns = 16;
/// Columns of which there are numbers, the worst by R2 where there are more.
inline constexpr size_t kMostToldColumns = 200;
/// Points of a picture: of more, every so many-th in the order of the data.
inline constexpr size_t kMostDots = 2000;

class ValueResults {
 public:
  /// `expected` positions at most come.
  ValueResults(size_t columns, int64_t expected);

  /// The values of one position.
  void add(std::span<const double> predicted, std::span<const double> truth);

  /// Members of an output's results (driver/results/evaluation.h).
  Json json(const std::vector<std::string>& names) const;

 private:
  struct Column {
    double mean = 0, spread = 0;  ///< of the true values; the sum of squares around the mean
    double squares = 0, absolute = 0, sum = 0;  ///< of the errors
    double r2() const;
  };
  Json column(size_t index) const;
  Json residuals(size_t index) const;

  std::vector<Column> columns_;
  double positions_ = 0;
  bool holds_ = false;
  std::vector<double> held_;  ///< [position][column][true, predicted]
};

}  // namespace gradc::results
