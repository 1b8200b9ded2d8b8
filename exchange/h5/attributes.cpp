#include "exchange/h5/attributes.h"

#include "exchange/h5/btree2.h"
#include "exchange/h5/fractal_heap.h"

namespace gradc::exchange::h5 {
namespace {

class AttributeReader {
 public:
  AttributeReader(const FileBytes& file, const Shared& shared, Meter& meter)
      : file_(file), shared_(shared), meter_(meter) {}

  /// Messages that are shared lie in a heap of all objects, which only a file that was made so has.
  bool add(const Message& message) {
    if (message.type == MessageType::kAttribute)
      return !message.shared && add_attribute(message.data);
    if (message.type == MessageType::kAttributeInfo)
      return !message.shared && add_dense(message.data);
    return true;
  }

  std::optional<std::vector<Attribute>> take() {
    std::ranges::sort(attributes_, {}, &Attribute::name);
    const auto twice = std::ranges::adjacent_find(attributes_, {}, &Attribute::name);
    if (twice != attributes_.end()) return std::nullopt;
    return std::move(attributes_);
  }

 private:
  bool add_attribute(Span message) {
    Cursor at(message);
    const uint8_t version = at.u8();
    const uint8_t flags = at.u8();
    const uint64_t name_bytes = at.u16();
    const uint64_t type_bytes = at.u16();
    const uint64_t space_bytes = at.u16();
    if (version < 1 || version > 3) return false;
    if (version == 3) at.skip(1);  // ASCII or UTF-8
    const auto part = [&](uint64_t bytes) {
      const Span taken = at.take(bytes);
      if (version == 1) at.skip((8 - bytes % 8) % 8);
      return taken;
    };
    const Span name = part(name_bytes);
    Attribute made;
    made.name.assign(name.begin(), std::ranges::find(name, uint8_t{0}));
    made.type = part(type_bytes);
    made.space = part(space_bytes);
    made.data = at.rest();
    const bool type_elsewhere = version > 1 && (flags & 0x01U) != 0;
    const bool space_elsewhere = version > 1 && (flags & 0x02U) != 0;
    if (!at.ok() || space_elsewhere || !meter_.spend(message.size())) return false;
    if (type_elsewhere) made.type = shared_(made.type);
    attributes_.push_back(std::move(made));
    return true;
  }

  /// An attribute info message: attribute messages in a heap.
  bool add_dense(Span message) {
    Cursor at(message);
    if (at.u8() != 0) return false;
    if ((at.u8() & 0x01U) != 0) at.skip(2);  // the order that attributes were made in
    const uint64_t where = at.u64();
    const uint64_t names = at.u64();
    if (!at.ok() || where == kNowhere) return at.ok();
    constexpr uint8_t kByName = 8;
    const auto heap = FractalHeap::open(file_, where, meter_);
    const auto records = heap ? btree2_records(file_, names, kByName, meter_) : std::nullopt;
    if (!records) return false;
    return std::ranges::all_of(*records, [&](Span record) {
      constexpr uint64_t kIdBytes = 8;
      Cursor own(record);
      const Span id = own.take(kIdBytes);
      const bool is_shared = (own.u8() & 0x02U) != 0;
      return own.ok() && !is_shared && add_attribute(heap->object(id));
    });
  }

  const FileBytes& file_;
  const Shared& shared_;
  Meter& meter_;
  std::vector<Attribute> attributes_;
};

}  // namespace

std::optional<std::vector<Attribute>> read_attributes(const FileBytes& file,
                                                      const std::vector<Message>& header,
                                                      const Shared& shared, Meter& meter) {
  AttributeReader reader(file, shared, meter);
  const bool good =
      std::ranges::all_of(header, [&](const Message& message) { return reader.add(message); });
  return good ? reader.take() : std::nullopt;
}

}  // namespace gradc::exchange::h5
