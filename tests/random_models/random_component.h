// Random activations, initializers, optimizers, schedules, ...: drawn from the tables that the
// reader itself uses, so that a new member or option is tried without a word here.
#pragma once

#include "frontend/options.h"
#include "support/json.h"
#include "tests/support/random_graph_builder.h"

#include <set>
#include <string_view>

namespace gradc::testing {

/// A member of the family that is not in `without`, by name or with some of its options.
Json random_component(Random& random, Family family,
                      const std::set<std::string_view>& without = {});

}  // namespace gradc::testing
