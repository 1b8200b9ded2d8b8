// What a group holds: by symbol tables (III.A.1, III.B, III.C) or by link messages (IV.A.2.c, .g),
// in its header or in a heap.
#pragma once

#include "exchange/h5/object_header.h"

#include <string>

namespace gradc::exchange::h5 {

struct Link {
  std::string name;
  std::optional<uint64_t> address;  ///< nothing: it leads to a name, here or in another file
};

bool is_group(const std::vector<Message>& header);

/// By name, each of which is there once; nothing where the group is damaged.
std::optional<std::vector<Link>> read_links(const FileBytes& file,
                                            const std::vector<Message>& header, Meter& meter);

}  // namespace gradc::exchange::h5
