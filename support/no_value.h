// An alternative that stands for nothing in a std::variant whose copies may run out of memory.
#pragma once

namespace gradc {

/// libstdc++ takes a variant of numbers, strings, vectors and pointers alone for one that always
/// holds something, and crashes where copying one fails (GCC 12, _Never_valueless_alt). With a type
/// that copies by a function of its own among them it looks.
struct NoValue {
  NoValue() = default;
  NoValue(const NoValue&) noexcept {}
  NoValue& operator=(const NoValue&) noexcept { return *this; }
  ~NoValue() = default;
  bool operator==(const NoValue&) const { return true; }
};

}  // namespace gradc
