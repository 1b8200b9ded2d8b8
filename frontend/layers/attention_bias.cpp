// ALiBi (Press et al. 2021, "Train short, test long"): scores lose a head's slope for each step
// that lies between query and key.
#include "frontend/layers/attend.h"

#include <cmath>
#include <vector>

namespace gradc::layers {
namespace {

/// 2^(-8 i / n), i = 1..n; where n is no power of two: those of the power below, then every second
/// of the power above.
std::vector<double> alibi_slopes(int64_t heads) {
  int64_t power = 1;
  while (power * 2 <= heads)
    power *= 2;
  std::vector<double> slopes;
  for (int64_t i = 1; i <= power; ++i)
    slopes.push_back(std::exp2(-8.0 * static_cast<double>(i) / static_cast<double>(power)));
  for (int64_t i = 1; static_cast<int64_t>(slopes.size()) < heads; i += 2)
    slopes.push_back(std::exp2(-4.0 * static_cast<double>(i) / static_cast<double>(power)));
  return slopes;
}

}  // namespace

Val alibi(Builder& builder, int64_t heads, DType dtype) {
  return builder.constant({dtype, Shape{heads}}, alibi_slopes(heads));
}

}  // namespace gradc::layers
