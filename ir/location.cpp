#include "ir/location.h"

namespace gradc {

namespace {
constexpr std::string_view kGradient = "gradient of ";
}

LocationParts location_parts(std::string_view location) {
  LocationParts parts;
  while (location.starts_with(kGradient)) {
    parts.is_gradient = true;
    location.remove_prefix(kGradient.size());
  }
  if (!location.starts_with('/')) return parts;
  const size_t mark = location.ends_with(']') ? location.rfind(" [") : std::string_view::npos;
  parts.pointer = location.substr(0, mark);
  if (mark != std::string_view::npos)
    parts.call = location.substr(mark + 2, location.size() - mark - 3);
  return parts;
}

std::string location_of_call(std::string_view pointer, std::string_view call) {
  std::string text(pointer);
  text.append(" [").append(call).append("]");
  return text;
}

}  // namespace gradc
