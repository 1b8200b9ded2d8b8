#include "exchange/h5/links.h"

#include "exchange/h5/btree2.h"
#include "exchange/h5/fractal_heap.h"

namespace gradc::exchange::h5 {
namespace {

constexpr uint64_t kMaxLinks = 1'000'000;

class LinkReader {
 public:
  LinkReader(const FileBytes& file, Meter& meter) : file_(file), meter_(meter) {}

  bool add(const Message& message) {
    if (message.type == MessageType::kSymbolTable)
      return !message.shared && add_symbol_table(message.data);
    if (message.type == MessageType::kLink) return !message.shared && add_link(message.data);
    if (message.type == MessageType::kLinkInfo) return !message.shared && add_dense(message.data);
    return true;
  }

  /// In byte order; a name that is there twice would be one of two objects.
  std::optional<std::vector<Link>> take() {
    std::ranges::sort(links_, {}, &Link::name);
    const auto twice = std::ranges::adjacent_find(links_, {}, &Link::name);
    if (twice != links_.end()) return std::nullopt;
    return std::move(links_);
  }

 private:
  bool put(Span name, std::optional<uint64_t> address) {
    if (name.empty() || links_.size() >= kMaxLinks || !meter_.spend(name.size())) return false;
    links_.push_back({std::string(name.begin(), name.end()), address});
    return true;
  }

  /// A link message (IV.A.2.g).
  bool add_link(Span message) {
    constexpr uint8_t kHard = 0;
    Cursor at(message);
    if (at.u8() != 1) return false;
    const uint8_t flags = at.u8();
    const uint8_t kind = (flags & 0x08U) != 0 ? at.u8() : kHard;
    if ((flags & 0x04U) != 0) at.skip(8);  // the order that links were made in
    if ((flags & 0x10U) != 0) at.skip(1);  // ASCII or UTF-8
    const uint64_t length = at.number(size_t{1} << (flags & 0x03U));
    const Span name = at.take(length);
    if (kind != kHard) return at.ok() && put(name, std::nullopt);
    const uint64_t address = at.u64();
    return at.ok() && put(name, address);
  }

  /// A link info message (IV.A.2.c): link messages in a heap.
  bool add_dense(Span message) {
    Cursor at(message);
    if (at.u8() != 0) return false;
    if ((at.u8() & 0x01U) != 0) at.skip(8);  // the order that links were made in
    const uint64_t where = at.u64();
    const uint64_t names = at.u64();
    if (!at.ok() || where == kNowhere) return at.ok();
    constexpr uint8_t kByName = 5;
    const auto heap = FractalHeap::open(file_, where, meter_);
    const auto records = heap ? btree2_records(file_, names, kByName, meter_) : std::nullopt;
    if (!records) return false;
    return std::ranges::all_of(*records, [&](Span record) {
      Cursor own(record);
      own.skip(4);  // of its name
      const Span link = heap->object(own.rest());
      return meter_.spend(link.size()) && add_link(link);
    });
  }

  bool add_symbol_table(Span message) {
    Cursor at(message);
    const uint64_t tree = at.u64();
    Cursor heap(file_.from(at.u64()));
    if (!at.ok() || !heap.expect("HEAP") || heap.u8() != 0) return false;
    heap.skip(3);
    const uint64_t size = heap.u64();
    heap.skip(8);  // what of it is free
    const uint64_t where = heap.u64();
    if (!heap.ok() || !file_.holds(where, size)) return false;
    constexpr size_t kMaxLevel = 255;
    return add_tree(tree, file_.at(where, size), kMaxLevel);
  }

  /// A node of a B-tree of version 1 whose leaves are symbol tables' nodes.
  bool add_tree(uint64_t address, Span names, size_t max_level) {
    Cursor at(file_.from(address));
    if (!at.expect("TREE") || at.u8() != 0) return false;
    const size_t level = at.u8();
    const uint64_t entries = at.u16();
    at.skip(8 + 8);  // siblings
    if (!at.ok() || level > max_level || !meter_.spend(16 * entries + 24)) return false;
    for (uint64_t i = 0; i < entries; ++i) {
      at.skip(8);  // the greatest name before
      const uint64_t child = at.u64();
      if (!at.ok()) return false;
      if (level == 0 ? !add_symbols(child, names) : !add_tree(child, names, level - 1))
        return false;
    }
    return true;
  }

  bool add_symbols(uint64_t address, Span names) {
    Cursor at(file_.from(address));
    if (!at.expect("SNOD\x01")) return false;
    at.skip(1);
    const uint64_t count = at.u16();
    if (!at.ok() || !meter_.spend(40 * count + 8)) return false;
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t offset = at.u64();
      const uint64_t object = at.u64();
      const bool is_soft = at.u32() == 2;
      at.skip(4 + 16);
      if (!at.ok() || offset >= names.size()) return false;
      const Span rest = names.subspan(offset);
      const auto end = std::ranges::find(rest, uint8_t{0});
      if (end == rest.end()) return false;
      const Span name = rest.first(static_cast<size_t>(end - rest.begin()));
      if (!put(name, is_soft ? std::nullopt : std::optional(object))) return false;
    }
    return true;
  }

  const FileBytes& file_;
  Meter& meter_;
  std::vector<Link> links_;
};

}  // namespace

bool is_group(const std::vector<Message>& header) {
  return find_message(header, MessageType::kSymbolTable) != nullptr ||
         find_message(header, MessageType::kLinkInfo) != nullptr;
}

std::optional<std::vector<Link>> read_links(const FileBytes& file,
                                            const std::vector<Message>& header, Meter& meter) {
  LinkReader reader(file, meter);
  const bool good =
      std::ranges::all_of(header, [&](const Message& message) { return reader.add(message); });
  return good ? reader.take() : std::nullopt;
}

}  // namespace gradc::exchange::h5
