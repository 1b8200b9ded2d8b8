#include "frontend/call_locations.h"

#include "ir/location.h"

#include <map>
#include <string_view>

namespace gradc {

std::vector<std::string> call_locations(const Model& model) {
  std::map<std::string_view, int> calls_at;
  for (const Call& call : model.calls)
    ++calls_at[call.place.pointer];
  std::vector<std::string> locations;
  for (const Call& call : model.calls) {
    const std::string& pointer = call.place.pointer;
    const bool repeats = calls_at[pointer] > 1 && !pointer.empty();
    locations.push_back(repeats ? location_of_call(pointer, call.name) : pointer);
  }
  return locations;
}

}  // namespace gradc
