#include "tests/support/tensor_near.h"

#include <fmt/format.h>

#include <cmath>

namespace gradc::testing {

std::string tensor_difference(const Tensor& actual, const Tensor& expected,
                              const Tolerance& tolerance) {
  if (actual.type != expected.type || actual.size() != expected.size())
    return fmt::format("type {} ({} elements), expected {} ({} elements)", to_string(actual.type),
                       actual.size(), to_string(expected.type), expected.size());
  int64_t worst = -1;
  double worst_excess = 0.0;
  int64_t count = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i];
    const double b = expected[i];
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    const double allowed = tolerance.absolute + tolerance.relative * std::abs(b);
    double excess = std::abs(a - b) / allowed;
    if (!std::isfinite(excess)) excess = HUGE_VAL;
    if (excess <= 1.0) continue;
    ++count;
    if (excess > worst_excess) {
      worst = i;
      worst_excess = excess;
    }
  }
  if (worst < 0) return {};
  return fmt::format("{} of {} elements differ; the worst is element {}: {:.9g}, expected {:.9g}",
                     count, actual.size(), worst, actual[worst], expected[worst]);
}

}  // namespace gradc::testing
