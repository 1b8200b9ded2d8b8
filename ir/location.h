// The text of a location (ir/graph.h) in its parts: what was done, where in the model's file, and
// which of a block's repetitions it is of.
#pragma once

#include <string>
#include <string_view>

namespace gradc {

/// Of "gradient of /blocks/b/layers/1 [b_3/dense]".
struct LocationParts {
  bool is_gradient = false;  ///< of whatever order
  std::string_view pointer;  ///< "/blocks/b/layers/1"; empty: the location is no place in a file
  std::string_view call;     ///< "b_3/dense"; empty where the pointer alone says which layer
};

/// The parts are in `location`'s own text.
LocationParts location_parts(std::string_view location);

/// Where one call of several that stand at the same place comes from: "/blocks/b/layers/1
/// [b_3/dense]".
std::string location_of_call(std::string_view pointer, std::string_view call);

}  // namespace gradc
