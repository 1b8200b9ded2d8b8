// How the blocks of a dataset are packed (IV.A.2.l).
#pragma once

#include "exchange/h5/cursor.h"

#include <string>
#include <vector>

namespace gradc::exchange::h5 {

struct Filter {
  uint16_t id = 0;
  uint32_t value = 0;  ///< the first of its own numbers
};

/// Empty where they are all known; else what of them is not.
std::string read_filters(Span message, std::vector<Filter>& out);

/// Undoes the filters, those excepted whose bit in `skipped` is set; false unless exactly `bytes`
/// bytes come out. Sums of fletcher32 are compared.
bool unpack(const std::vector<Filter>& filters, uint64_t skipped, Span packed, size_t bytes,
            std::vector<uint8_t>& out);

}  // namespace gradc::exchange::h5
