// A part of a native document under construction, and where what stands in it was written.
#pragma once

#include "frontend/json_reader.h"
#include "frontend/native_reader.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradc::exchange {

struct Piece {
  Json json = Json::object();
  /// Pointers inside of `json`, and of the original document.
  std::vector<std::pair<std::string, std::string>> places = {};

  Piece() = default;
  Piece(Json value, const JsonCursor& from);

  void put(std::string_view key, Json value, const JsonCursor& from);
  void put(std::string_view key, Piece value);
  /// At the end of a list.
  void push(Piece value);
  /// Says where all parts stand, this one being at `pointer` of the finished document.
  void tell(const std::string& pointer, PlaceMap& map) const;
};

}  // namespace gradc::exchange
