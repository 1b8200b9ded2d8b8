// The messages that an object's header is made of (File Format Specification, section IV.A).
#pragma once

#include "exchange/h5/file_bytes.h"

#include <optional>
#include <vector>

namespace gradc::exchange::h5 {

enum class MessageType : uint16_t {
  kDataspace = 0x01,
  kLinkInfo = 0x02,
  kDatatype = 0x03,
  kOldFillValue = 0x04,
  kFillValue = 0x05,
  kLink = 0x06,
  kExternalFiles = 0x07,
  kLayout = 0x08,
  kFilters = 0x0B,
  kAttribute = 0x0C,
  kContinuation = 0x10,
  kSymbolTable = 0x11,
  kAttributeInfo = 0x15,
};

struct Message {
  MessageType type;
  bool shared;  ///< it tells where the message is
  Span data;
};

/// All messages of the header there, continuations too, by type; nothing where it is damaged.
/// Checksums of version 2 are not looked at.
std::optional<std::vector<Message>> read_header(const FileBytes& file, uint64_t address,
                                                Meter& meter);

/// The first message of a type; null where there is none.
const Message* find_message(const std::vector<Message>& messages, MessageType type);

}  // namespace gradc::exchange::h5
