// Strong 32-bit index types. An id is only meaningful together with the store that made it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace gradc {

template <class Tag>
struct Id {
  static constexpr uint32_t kNone = UINT32_MAX;
  uint32_t index = kNone;

  constexpr Id() = default;
  constexpr explicit Id(size_t i) : index(static_cast<uint32_t>(i)) {}
  constexpr bool valid() const { return index != kNone; }
  constexpr auto operator<=>(const Id&) const = default;
};

}  // namespace gradc

template <class Tag>
struct std::hash<gradc::Id<Tag>> {
  size_t operator()(gradc::Id<Tag> id) const noexcept { return id.index; }
};
