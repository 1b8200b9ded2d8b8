// JSON pointer -> byte range. Only made when an error is printed, in one pass over the text, so
// that reading a good file costs nothing and many errors cost no more than one. On text that stops
// being JSON it knows what came before.
#pragma once

#include "support/json_scanner.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace gradc {

enum class JsonPart { kValue, kKey };

class JsonIndex {
 public:
  explicit JsonIndex(std::string_view text);

  /// Byte range of the value (or of the member's key, quotes included) that `pointer` (RFC 6901)
  /// names, of equal keys the first; nothing when it is not there.
  std::optional<ByteRange> find(std::string_view pointer, JsonPart part) const;
  /// The same for the nearest value around it that is there.
  std::optional<ByteRange> find_enclosing(std::string_view pointer) const;

 private:
  friend class JsonIndexBuilder;

  struct Node {
    ByteRange value;
    ByteRange key;
    std::string name;  ///< of a member
    bool is_object = false;
    size_t first_child = 0;  ///< in children_
    size_t num_children = 0;
  };
  using Members = std::unordered_map<std::string_view, size_t>;

  /// The node of a pointer, or of as much of it as is there.
  const Node* walk(std::string_view pointer, bool whole) const;
  const Node* child(const Node& node, const std::string& token) const;

  std::vector<Node> nodes_;
  std::vector<size_t> children_;
  mutable std::unordered_map<const Node*, Members> members_;  ///< of large objects, once asked for
};

/// One pointer step escaped as RFC 6901 says: "~" -> "~0", "/" -> "~1".
std::string escape_pointer_token(std::string_view token);
std::vector<std::string> split_pointer(std::string_view pointer);

}  // namespace gradc
