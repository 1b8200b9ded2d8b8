#include "exchange/h5/btree2.h"

#include <array>
#include <bit>

namespace gradc::exchange::h5 {
namespace {

constexpr size_t kMaxDepth = 12;
constexpr size_t kLeastRecord = 8;               ///< bytes; every type has more
constexpr size_t kNodeOverhead = 4 + 1 + 1 + 4;  ///< signature, version, type, checksum

/// Bytes that numbers up to this one take.
size_t bytes_for(uint64_t limit) {
  return limit == 0 ? 1 : (static_cast<size_t>(std::bit_width(limit)) - 1) / 8 + 1;
}

class TreeReader {
 public:
  TreeReader(const FileBytes& file, uint8_t type, Meter& meter)
      : file_(file), type_(type), meter_(meter) {}

  bool read(uint64_t address) {
    Cursor at(file_.from(address));
    if (!at.expect("BTHD") || at.u8() != 0 || at.u8() != type_) return false;
    node_bytes_ = at.u32();
    record_bytes_ = at.u16();
    const size_t depth = at.u16();
    at.skip(2);  // when nodes are split and merged
    const uint64_t root = at.u64();
    const uint64_t records = at.u16();
    if (!at.ok() || depth > kMaxDepth || record_bytes_ < kLeastRecord ||
        node_bytes_ < kNodeOverhead)
      return false;
    if (!measure(depth)) return false;
    return records == 0 || read_node(root, records, depth);
  }
  std::vector<Span> take() { return std::move(records_); }

 private:
  /// How long a pointer to a node is, by the node's depth: an address, how many records it has,
  /// and how many the tree below it has, the leaves excepted.
  bool measure(size_t depth) {
    uint64_t here = (node_bytes_ - kNodeOverhead) / record_bytes_;
    uint64_t below = here;
    if (here == 0) return false;
    count_bytes_ = bytes_for(here);
    pointer_bytes_[0] = 8 + count_bytes_;
    for (size_t level = 1; level <= depth; ++level) {
      const size_t pointer = pointer_bytes_[level - 1];
      if (node_bytes_ < kNodeOverhead + pointer) return false;
      here = (node_bytes_ - kNodeOverhead - pointer) / (record_bytes_ + pointer);
      if (here == 0 || below > (uint64_t{1} << 62U) / (here + 1)) return false;
      below = (here + 1) * below + here;
      pointer_bytes_[level] = 8 + count_bytes_ + bytes_for(below);
    }
    return true;
  }

  bool read_node(uint64_t address, uint64_t count, size_t depth) {
    if (!meter_.spend(node_bytes_)) return false;
    Cursor at(file_.at(address, node_bytes_));
    if (!at.expect(depth > 0 ? "BTIN" : "BTLF") || at.u8() != 0 || at.u8() != type_) return false;
    for (uint64_t i = 0; i < count && at.ok(); ++i)
      records_.push_back(at.take(record_bytes_));
    for (uint64_t i = 0; depth > 0 && i <= count && at.ok(); ++i) {
      Cursor child(at.take(pointer_bytes_[depth - 1]));
      const uint64_t where = child.u64();
      const uint64_t records = child.number(count_bytes_);
      if (!child.ok() || !read_node(where, records, depth - 1)) return false;
    }
    return at.ok();
  }

  const FileBytes& file_;
  uint8_t type_;
  Meter& meter_;
  size_t node_bytes_ = 0;
  size_t record_bytes_ = 0;
  size_t count_bytes_ = 0;
  std::array<size_t, kMaxDepth + 1> pointer_bytes_{};
  std::vector<Span> records_;
};

}  // namespace

std::optional<std::vector<Span>> btree2_records(const FileBytes& file, uint64_t address,
                                                uint8_t type, Meter& meter) {
  TreeReader reader(file, type, meter);
  if (!reader.read(address)) return std::nullopt;
  return reader.take();
}

}  // namespace gradc::exchange::h5
