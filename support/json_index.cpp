// Children of a container stand side by side, so that elements are found at once.
#include "support/json_index.h"

#include <charconv>
#include <utility>

namespace gradc {

class JsonIndexBuilder final : public JsonHandler {
 public:
  explicit JsonIndexBuilder(JsonIndex& index) : index_(index) {}

  bool open(bool is_object, size_t at) override {
    add({at, at + 1}, is_object);
    open_.push_back({index_.nodes_.size() - 1, {}});
    return true;
  }
  bool close(size_t end) override {
    JsonIndex::Node& node = index_.nodes_[open_.back().node];
    node.value.end = end;
    node.first_child = index_.children_.size();
    node.num_children = open_.back().children.size();
    index_.children_.insert(index_.children_.end(), open_.back().children.begin(),
                            open_.back().children.end());
    open_.pop_back();
    return true;
  }
  bool key(std::string name, ByteRange at) override {
    key_ = at;
    name_ = std::move(name);
    return true;
  }
  bool string(std::string, ByteRange at) override { return add(at, false); }
  bool number(ByteRange at) override { return add(at, false); }
  bool literal(ByteRange at) override { return add(at, false); }

  /// What is still open ends with the text.
  void finish(size_t end) {
    while (!open_.empty())
      close(end);
  }

 private:
  struct Level {
    size_t node;
    std::vector<size_t> children;
  };

  bool add(ByteRange at, bool is_object) {
    if (!open_.empty()) open_.back().children.push_back(index_.nodes_.size());
    index_.nodes_.push_back({.value = at,
                             .key = std::exchange(key_, {}),
                             .name = std::exchange(name_, {}),
                             .is_object = is_object});
    return true;
  }

  JsonIndex& index_;
  std::vector<Level> open_;
  ByteRange key_;
  std::string name_;
};

JsonIndex::JsonIndex(std::string_view text) {
  JsonIndexBuilder builder(*this);
  scan_json(text, builder);
  builder.finish(text.size());
}

const JsonIndex::Node* JsonIndex::child(const Node& node, const std::string& token) const {
  constexpr size_t kFew = 8;
  if (!node.is_object) {
    size_t index = 0;
    const char* end = token.data() + token.size();
    const auto read = std::from_chars(token.data(), end, index);
    if (read.ec != std::errc() || read.ptr != end || index >= node.num_children) return nullptr;
    return &nodes_[children_[node.first_child + index]];
  }
  if (node.num_children <= kFew) {
    for (size_t i = 0; i < node.num_children; ++i) {
      const Node& member = nodes_[children_[node.first_child + i]];
      if (member.name == token) return &member;
    }
    return nullptr;
  }
  const auto [entry, fresh] = members_.try_emplace(&node);
  for (size_t i = 0; fresh && i < node.num_children; ++i) {
    const size_t member = children_[node.first_child + i];
    entry->second.emplace(nodes_[member].name, member);
  }
  const auto found = entry->second.find(token);
  return found == entry->second.end() ? nullptr : &nodes_[found->second];
}

const JsonIndex::Node* JsonIndex::walk(std::string_view pointer, bool whole) const {
  if (nodes_.empty()) return nullptr;
  const Node* node = &nodes_.front();
  for (const std::string& token : split_pointer(pointer)) {
    const Node* next = child(*node, token);
    if (next == nullptr) return whole ? nullptr : node;
    node = next;
  }
  return node;
}

std::optional<ByteRange> JsonIndex::find(std::string_view pointer, JsonPart part) const {
  const Node* node = walk(pointer, true);
  if (node == nullptr) return std::nullopt;
  return part == JsonPart::kKey && node->key.end > 0 ? node->key : node->value;
}

std::optional<ByteRange> JsonIndex::find_enclosing(std::string_view pointer) const {
  const Node* node = walk(pointer, false);
  if (node == nullptr) return std::nullopt;
  return node->value;
}

std::vector<std::string> split_pointer(std::string_view pointer) {
  std::vector<std::string> tokens;
  size_t i = 0;
  while (i < pointer.size()) {
    ++i;  // the slash
    std::string token;
    for (; i < pointer.size() && pointer[i] != '/'; ++i) {
      if (pointer[i] == '~' && i + 1 < pointer.size()) {
        token += pointer[++i] == '1' ? '/' : '~';
      } else {
        token += pointer[i];
      }
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

std::string escape_pointer_token(std::string_view token) {
  std::string out;
  for (const char c : token) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace gradc
