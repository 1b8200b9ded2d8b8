// Random models in the native JSON, valid by construction: chains and branches of all layers with
// random options, blocks repeated, shared layers, several inputs and outputs, every loss,
// optimizer, schedule, metric, initializer and regularizer.
#pragma once

#include "support/json.h"

#include <cstdint>

namespace gradc::testing {

/// From this seed on models have recurrent layers.
inline constexpr uint64_t kFirstRecurrentSeed = 200;

/// The same on every machine for a seed. Its name is "m<seed>".
Json random_model(uint64_t seed);

}  // namespace gradc::testing
