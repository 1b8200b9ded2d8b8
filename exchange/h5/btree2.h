// B-trees of version 2 (III.A.2): all their records.
#pragma once

#include "exchange/h5/file_bytes.h"

#include <optional>
#include <vector>

namespace gradc::exchange::h5 {

/// The records of the tree there, which must be of that type; nothing where it is damaged.
std::optional<std::vector<Span>> btree2_records(const FileBytes& file, uint64_t address,
                                                uint8_t type, Meter& meter);

}  // namespace gradc::exchange::h5
