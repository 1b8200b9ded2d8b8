// Definitions are scikit-learn's r2_score, mean_absolute_error, root_mean_squared_error.
#include "driver/results/value_results.h"

#include "driver/results/class_results.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gradc::results {
namespace {

constexpr size_t kBins = 30;

}  // namespace

ValueResults::ValueResults(size_t columns, int64_t expected) : columns_(columns) {
  const auto bytes = static_cast<int64_t>(columns * 2 * sizeof(double));
  holds_ = columns <= kMostDrawnColumns && expected <= kMostHeldBytes / bytes;
}

// 1 - errors / spread; where the truth does not vary 1 for no error, else 0.
double ValueResults::Column::r2() const {
  if (spread > 0) return 1 - squares / spread;
  return squares > 0 ? 0 : 1;
}

void ValueResults::add(std::span<const double> predicted, std::span<const double> truth) {
  positions_ += 1;
  for (size_t c = 0; c < columns_.size(); ++c) {
    Column& column = columns_[c];
    const double error = predicted[c] - truth[c];
    const double off = truth[c] - column.mean;
    column.mean += off / positions_;
    column.spread += off * (truth[c] - column.mean);
    column.squares += error * error;
    column.absolute += std::abs(error);
    column.sum += error;
    if (holds_) held_.insert(held_.end(), {truth[c], predicted[c]});
  }
}

// How many errors (predicted - true) lie in each of equal parts of their range.
Json ValueResults::residuals(size_t index) const {
  const size_t stride = columns_.size() * 2;
  double low = 0, high = 0;
  for (size_t at = index * 2; at < held_.size(); at += stride) {
    const double error = held_[at + 1] - held_[at];
    low = at == index * 2 ? error : std::min(low, error);
    high = at == index * 2 ? error : std::max(high, error);
  }
  std::vector<int64_t> counts(kBins);
  for (size_t at = index * 2; at < held_.size(); at += stride) {
    const double error = held_[at + 1] - held_[at];
    // A range beyond the largest number has no parts.
    const bool parts = high > low && std::isfinite(high - low);
    const double share = parts ? (error - low) / (high - low) : 0.5;
    ++counts[std::min(kBins - 1, static_cast<size_t>(share * kBins))];
  }
  return {{"low", low}, {"high", high}, {"counts", counts}};
}

Json ValueResults::column(size_t index) const {
  const Column& column = columns_[index];
  const double n = std::max(positions_, 1.0);
  Json out = {{"column", index},
              {"r2", positions_ > 1 ? Json(column.r2()) : Json()},
              {"mae", column.absolute / n},
              {"rmse", std::sqrt(column.squares / n)},
              {"bias", column.sum / n},
              {"mean", column.mean},
              {"deviation", std::sqrt(column.spread / n)}};
  if (!holds_) return out;
  const auto positions = static_cast<size_t>(positions_);
  const size_t every = (positions + kMostDots - 1) / kMostDots;
  Json dots = Json::array();
  for (size_t i = 0; i < positions; i += every) {
    const size_t at = (i * columns_.size() + index) * 2;
    dots.push_back({held_[at], held_[at + 1]});
  }
  out["dots"] = std::move(dots);
  out["every"] = every;
  out["residuals"] = residuals(index);
  return out;
}

Json ValueResults::json(const std::vector<std::string>& names) const {
  Json out;
  out["kind"] = "values";
  out["positions"] = static_cast<int64_t>(positions_);
  out["names"] = names;
  double r2 = 0, absolute = 0, squares = 0;
  for (const Column& column : columns_) {
    r2 += column.r2();
    absolute += column.absolute;
    squares += column.squares;
  }
  const auto columns = static_cast<double>(columns_.size());
  const double values = std::max(positions_, 1.0) * columns;
  out["r2"] = positions_ > 1 ? Json(r2 / columns) : Json();
  out["mae"] = absolute / values;
  out["rmse"] = std::sqrt(squares / values);
  std::vector<size_t> told(columns_.size());
  std::iota(told.begin(), told.end(), size_t{0});
  Json notes = Json::array();
  if (told.size() > kMostToldColumns) {
    std::sort(told.begin(), told.end(), [&](size_t a, size_t b) {
      const double first = columns_[a].r2(), second = columns_[b].r2();
      return first < second || (first == second && a < b);
    });
    told.resize(kMostToldColumns);
    notes.push_back("of " + std::to_string(columns_.size()) + " values the " +
                    std::to_string(kMostToldColumns) + " with the smallest R2 are listed");
  }
  if (columns_.size() > kMostDrawnColumns) {
    notes.push_back("more than " + std::to_string(kMostDrawnColumns) + " values: no pictures");
  } else if (!holds_) {
    notes.push_back("the values of all positions would take more than 512 MiB: no pictures");
  }
  Json list = Json::array();
  for (const size_t c : told)
    list.push_back(column(c));
  out["columns"] = std::move(list);
  out["notes"] = std::move(notes);
  return out;
}

}  // namespace gradc::results
