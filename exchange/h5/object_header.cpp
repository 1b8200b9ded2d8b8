#include "exchange/h5/object_header.h"

#include <utility>

namespace gradc::exchange::h5 {
namespace {

class HeaderReader {
 public:
  HeaderReader(const FileBytes& file, Meter& meter) : file_(file), meter_(meter) {}

  bool read(uint64_t address) {
    Cursor first(file_.from(address));
    if (first.left() == 0) return false;
    const Span block = first.rest()[0] == 1 ? begin_old(first) : begin_new(first);
    if (!first.ok() || !add_block(block)) return false;
    // What follows is found while it is gone through.
    for (size_t i = 0; i < continuations_.size(); ++i) {
      if (!add_continuation(continuations_[i])) return false;
    }
    return true;
  }
  std::vector<Message> take() {
    std::ranges::sort(messages_, {}, [](const Message& message) {
      return std::pair(message.type, message.data.data());
    });
    return std::move(messages_);
  }

 private:
  /// Version 1 (IV.A.1.a).
  Span begin_old(Cursor& at) {
    at.skip(1 + 1 + 2 + 4);  // version, reserved, number of messages, references
    const uint64_t size = at.u32();
    at.skip(4);
    return at.take(size);
  }

  /// Version 2 (IV.A.1.b).
  Span begin_new(Cursor& at) {
    is_new_ = true;
    at.expect("OHDR\x02");
    const uint8_t flags = at.u8();
    has_order_ = (flags & 0x04U) != 0;
    if ((flags & 0x20U) != 0) at.skip(16);  // times
    if ((flags & 0x10U) != 0) at.skip(4);   // where attributes become dense
    const uint64_t size = at.number(size_t{1} << (flags & 0x03U));
    return at.take(size);
  }

  bool add_continuation(Span message) {
    Cursor where(message);
    const uint64_t address = where.u64();
    const uint64_t size = where.u64();
    if (!where.ok() || !file_.holds(address, size)) return false;
    const Span block = file_.at(address, size);
    if (!is_new_) return add_block(block);
    Cursor at(block);
    constexpr size_t kChecksum = 4;
    if (!at.expect("OCHK") || at.left() < kChecksum) return false;
    return add_block(at.take(at.left() - kChecksum));
  }

  /// A header's size is what its messages take; in version 2 a gap too short for one may follow.
  bool add_block(Span block) {
    if (!meter_.spend(block.size())) return false;
    const size_t prefix = is_new_ ? (has_order_ ? 6U : 4U) : 8U;
    Cursor at(block);
    while (at.left() >= prefix) {
      const auto type = static_cast<MessageType>(is_new_ ? at.u8() : at.u16());
      const uint64_t size = at.u16();
      const uint8_t flags = at.u8();
      at.skip(prefix - (is_new_ ? 4U : 5U));
      const Span data = at.take(size);
      if (!at.ok()) return false;
      if (type == MessageType::kContinuation) {
        continuations_.push_back(data);
      } else if (type != MessageType{}) {
        messages_.push_back({type, (flags & 0x02U) != 0, data});
      }
    }
    return true;
  }

  const FileBytes& file_;
  Meter& meter_;
  bool is_new_ = false;
  bool has_order_ = false;
  std::vector<Message> messages_;
  std::vector<Span> continuations_;
};

}  // namespace

std::optional<std::vector<Message>> read_header(const FileBytes& file, uint64_t address,
                                                Meter& meter) {
  HeaderReader reader(file, meter);
  if (!reader.read(address)) return std::nullopt;
  return reader.take();
}

const Message* find_message(const std::vector<Message>& messages, MessageType type) {
  const auto found = std::ranges::lower_bound(messages, type, {}, &Message::type);
  return found == messages.end() || found->type != type ? nullptr : &*found;
}

}  // namespace gradc::exchange::h5
