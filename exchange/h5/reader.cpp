#include "exchange/h5/reader.h"

namespace gradc::exchange::h5 {
namespace {

/// What is looked at and kept of a file: its size would do if nothing were looked at twice.
uint64_t room_of(const FileBytes& bytes) {
  return 4 * bytes.size() + 65536;
}

template <class Value>
const Value* pointer_to(const std::optional<Value>& value) {
  return value ? &*value : nullptr;
}

}  // namespace

Reader::Reader(std::unique_ptr<const FileBytes> bytes)
    : bytes_(std::move(bytes)), meter_(room_of(*bytes_)), indices_(16 * room_of(*bytes_)) {}

std::unique_ptr<Reader> Reader::open(std::unique_ptr<const FileBytes> bytes) {
  if (!bytes) return nullptr;
  std::unique_ptr<Reader> made(new Reader(std::move(bytes)));
  if (!made->read_superblock()) return nullptr;
  const std::vector<Message>* root = made->header(made->root_);
  return root != nullptr && is_group(*root) ? std::move(made) : nullptr;
}

/// II.A, all versions.
bool Reader::read_superblock() {
  Cursor at(bytes_->from(0));
  if (!at.expect(std::string_view("\x89HDF\r\n\x1a\n", 8))) return false;
  const uint8_t version = at.u8();
  if (version > 3) return false;
  if (version < 2) at.skip(4);  // versions of its parts
  const uint8_t address_bytes = at.u8();
  const uint8_t length_bytes = at.u8();
  at.skip(1);                                       // reserved, or flags
  if (version < 2) at.skip(version == 0 ? 8 : 12);  // how B-trees are split, flags
  const uint64_t base = at.u64();
  at.skip(8);  // free space, or where the superblock goes on
  const uint64_t end = at.u64();
  if (version < 2) at.skip(8 + 8);  // a driver's part; the root's name
  root_ = at.u64();
  return at.ok() && address_bytes == 8 && length_bytes == 8 && base == 0 && end <= bytes_->size();
}

const std::vector<Message>* Reader::header(uint64_t object) {
  const auto [at, is_new] = headers_.try_emplace(object);
  if (is_new) at->second = read_header(*bytes_, object, meter_);
  return pointer_to(at->second);
}

const std::vector<Link>* Reader::links(uint64_t group) {
  const auto [at, is_new] = links_.try_emplace(group);
  if (is_new) {
    const std::vector<Message>* messages = header(group);
    if (messages != nullptr && is_group(*messages))
      at->second = read_links(*bytes_, *messages, meter_);
  }
  return pointer_to(at->second);
}

const std::vector<Attribute>* Reader::attributes(uint64_t object) {
  const auto [at, is_new] = attributes_.try_emplace(object);
  if (is_new) {
    const std::vector<Message>* messages = header(object);
    const Shared shared = [this](Span message) { return shared_datatype(message); };
    if (messages != nullptr) at->second = read_attributes(*bytes_, *messages, shared, meter_);
  }
  return pointer_to(at->second);
}

Span Reader::datatype(const Message& message) {
  return message.shared ? shared_datatype(message.data) : message.data;
}

Span Reader::shared_datatype(Span message) {
  Cursor at(message);
  const uint8_t version = at.u8();
  const uint8_t kind = at.u8();
  if (version == 1) at.skip(6);
  constexpr uint8_t kInHeap = 1;
  if (version < 1 || version > 3 || (version == 3 && kind == kInHeap)) return {};
  const uint64_t object = at.u64();
  const std::vector<Message>* messages = at.ok() ? header(object) : nullptr;
  const Message* type =
      messages == nullptr ? nullptr : find_message(*messages, MessageType::kDatatype);
  return type == nullptr || type->shared ? Span() : type->data;
}

/// Objects of a global heap (III.E) follow each other, each at a multiple of 8 bytes.
const Reader::Heap* Reader::heap(uint64_t address) {
  const auto [place, is_new] = heaps_.try_emplace(address);
  if (!is_new) return pointer_to(place->second);
  Cursor at(bytes_->from(address));
  constexpr uint64_t kHeader = 16;  // of a heap and of each object
  if (!at.expect(std::string_view("GCOL\x01\0\0\0", 8))) return nullptr;
  const uint64_t size = at.u64();
  if (!at.ok() || size < kHeader || !meter_.spend(size)) return nullptr;
  Cursor objects(at.take(size - kHeader));
  if (!at.ok()) return nullptr;
  Heap found;
  while (objects.left() >= kHeader) {
    const uint64_t number = objects.u16();
    objects.skip(6);  // references, reserved
    const uint64_t length = objects.u64();
    if (number == 0) break;  // what is free
    found.emplace(number, objects.take(length));
    objects.skip(std::min<uint64_t>((8 - length % 8) % 8, objects.left()));
    if (!objects.ok()) return nullptr;
  }
  place->second = std::move(found);
  return pointer_to(place->second);
}

std::optional<std::string> Reader::text(Span reference) {
  Cursor at(reference);
  const uint64_t length = at.u32();
  const uint64_t where = at.u64();
  const uint64_t number = at.u32();
  if (!at.ok()) return std::nullopt;
  if (length == 0) return std::string();
  const Heap* objects = heap(where);
  if (objects == nullptr) return std::nullopt;
  const auto found = objects->find(number);
  if (found == objects->end() || found->second.size() != length) return std::nullopt;
  const Span bytes = found->second;
  return std::string(bytes.begin(), std::ranges::find(bytes, uint8_t{0}));
}

}  // namespace gradc::exchange::h5
