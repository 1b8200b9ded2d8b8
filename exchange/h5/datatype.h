// Datatypes and dataspaces (IV.A.2.b, IV.A.2.d).
#pragma once

#include "exchange/h5/cursor.h"

#include <optional>
#include <string_view>
#include <vector>

namespace gradc::exchange::h5 {

constexpr size_t kMaxRank = 32;

enum class TypeClass : uint8_t {
  kInteger = 0,
  kFloat = 1,
  kTime = 2,
  kString = 3,
  kBits = 4,
  kOpaque = 5,
  kCompound = 6,
  kReference = 7,
  kEnumeration = 8,
  kVariable = 9,
  kArray = 10,
};

struct Datatype {
  TypeClass kind = TypeClass::kInteger;
  uint32_t bits = 0;  ///< 24, of which each class has its own
  uint64_t size = 0;  ///< bytes of an element
  Span properties;
};

/// Nothing where it is damaged, or of no known version or class.
std::optional<Datatype> read_datatype(Span message);
/// "a compound".
std::string_view name_of(TypeClass kind);

struct Dataspace {
  bool is_null = false;
  std::vector<uint64_t> extents;
  std::vector<uint64_t> limits;  ///< as many; kNowhere: none
};
std::optional<Dataspace> read_dataspace(Span message);
/// Elements; nothing where there are more than a number can tell.
std::optional<uint64_t> element_count(const Dataspace& space);

}  // namespace gradc::exchange::h5
