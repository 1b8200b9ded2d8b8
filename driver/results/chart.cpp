#include "driver/results/chart.h"

#include "driver/report/document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace gradc::results {
namespace {

constexpr double kWidth = 380, kHeight = 300;
constexpr double kLeft = 58, kRight = 10, kTop = 8, kBottom = 38;

/// A range that has some width.
Axis widened(Axis axis) {
  if (!(axis.high > axis.low)) {
    const double by = std::max(std::abs(axis.low) * 0.5, 0.5);
    axis.low -= by;
    axis.high += by;
  }
  return axis;
}

}  // namespace

std::vector<double> round_marks(double low, double high) {
  const double rough = (high - low) / 5;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {2.0, 5.0, 10.0}) {
    if (step < rough) step = power * factor;
  }
  std::vector<double> marks;
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1)
    marks.push_back(k == 0 ? 0.0 : k * step);
  return marks;
}

Chart::Chart(std::string id, std::string title, std::string words, Axis x, Axis y)
    : id_(std::move(id)),
      title_(std::move(title)),
      words_(std::move(words)),
      x_(widened(std::move(x))),
      y_(widened(std::move(y))) {}

double Chart::x(double value) const {
  return kLeft + (kWidth - kLeft - kRight) * (value - x_.low) / (x_.high - x_.low);
}

double Chart::y(double value) const {
  return kHeight - kBottom - (kHeight - kTop - kBottom) * (value - y_.low) / (y_.high - y_.low);
}

void Chart::line(const Points& points, std::string_view style) {
  if (points.empty()) return;
  content_ += fmt::format("<polyline class=\"{}\" points=\"", style);
  for (const auto& [px, py] : points)
    content_ += fmt::format("{:.1f},{:.1f} ", x(px), y(py));
  content_ += "\"/>\n";
}

void Chart::dots(const Points& points, std::string_view style, double radius) {
  content_ += fmt::format("<g class=\"{}\">", style);
  for (const auto& [px, py] : points)
    content_ += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\"/>", x(px), y(py), radius);
  content_ += "</g>\n";
}

void Chart::bar(double from, double to, double height, std::string_view style) {
  const double top = y(height), bottom = y(y_.low);
  content_ += fmt::format(
      "<rect class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"/>\n", style,
      x(from) + 0.5, top, std::max(x(to) - x(from) - 1, 0.5), std::max(bottom - top, 0.0));
}

std::string Chart::axes() const {
  std::string out =
      fmt::format("<rect class=\"frame\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", kLeft,
                  kTop, kWidth - kLeft - kRight, kHeight - kTop - kBottom);
  for (const double mark : round_marks(x_.low, x_.high)) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.5g}</text>", x(mark),
                       kHeight - kBottom + 14, mark);
  }
  for (const double mark : round_marks(y_.low, y_.high)) {
    out += fmt::format(
        "<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{:.5g}</text>"
        "<path class=\"grid\" d=\"M{} {:.1f}H{}\"/>\n",
        kLeft - 4, y(mark) + 3.5, mark, kLeft, y(mark), kWidth - kRight);
  }
  out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                     (kLeft + kWidth - kRight) / 2, kHeight - 6, escaped_text(x_.label));
  const double middle = (kTop + kHeight - kBottom) / 2;
  out += fmt::format(
      "<text x=\"12\" y=\"{0:.1f}\" text-anchor=\"middle\" transform=\"rotate(-90 12 "
      "{0:.1f})\">{1}</text>\n",
      middle, escaped_text(y_.label));
  return out;
}

std::string Chart::svg() const {
  return fmt::format(
      "<svg class=\"chart\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" role=\"img\" "
      "aria-labelledby=\"{2}-title {2}-words\"><title id=\"{2}-title\">{3}</title>"
      "<desc id=\"{2}-words\">{4}</desc>\n{5}{6}</svg>\n",
      kWidth, kHeight, id_, escaped_text(title_), escaped_text(words_), axes(), content_);
}

}  // namespace gradc::results
