// Rotary positions: pairs of features, each as far apart as half of them, are turned by an angle
// that grows with the position, more slowly from pair to pair.
#pragma once

#include "ir/builder.h"

namespace gradc::layers {

struct Rotation {
  double max_wavelength = 10000.0;
  double scaling_factor = 1.0;  ///< positions are divided by it
};

/// x with its features turned by their position along `steps`; an even number of features.
Val rotated(Val x, int steps, int features, const Rotation& rotation);

}  // namespace gradc::layers
