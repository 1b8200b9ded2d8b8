#include "exchange/piece.h"

#include "support/json_index.h"

namespace gradc::exchange {

Piece::Piece(Json value, const JsonCursor& from) : json(std::move(value)) {
  places.emplace_back("", from.pointer());
}

void Piece::put(std::string_view key, Json value, const JsonCursor& from) {
  put(key, Piece(std::move(value), from));
}

void Piece::put(std::string_view key, Piece value) {
  json[std::string(key)] = std::move(value.json);
  const std::string at = "/" + escape_pointer_token(key);
  for (auto& [inner, original] : value.places)
    places.emplace_back(at + inner, std::move(original));
}

void Piece::push(Piece value) {
  const std::string at = fmt::format("/{}", json.size());
  json.push_back(std::move(value.json));
  for (auto& [inner, original] : value.places)
    places.emplace_back(at + inner, std::move(original));
}

void Piece::tell(const std::string& pointer, PlaceMap& map) const {
  for (const auto& [inner, original] : places)
    map.add(pointer + inner, original);
}

}  // namespace gradc::exchange
