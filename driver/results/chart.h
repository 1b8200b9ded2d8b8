// A picture of numbers as inline SVG: axes with round marks, lines, dots, bars. Its title and what
// it shows in words are read out in its place.
#pragma once

#include "driver/results/curves.h"

#include <string>
#include <string_view>

namespace gradc::results {

struct Axis {
  std::string label;
  double low = 0;
  double high = 1;
};

class Chart {
 public:
  Chart(std::string id, std::string title, std::string words, Axis x, Axis y);

  /// Series have colours of their own, "series-0" to "series-9".
  void line(const Points& points, std::string_view style);
  void dots(const Points& points, std::string_view style, double radius);
  /// From the bottom up to `height`.
  void bar(double from, double to, double height, std::string_view style);

  std::string svg() const;

 private:
  double x(double value) const;
  double y(double value) const;
  std::string axes() const;

  std::string id_, title_, words_, content_;
  Axis x_, y_;
};

/// Round numbers in a range, about five of them.
std::vector<double> round_marks(double low, double high);

}  // namespace gradc::results
