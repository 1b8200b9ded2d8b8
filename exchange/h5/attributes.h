// Attributes of an object (IV.A.2.m), in its header or in a heap (IV.A.2.v).
#pragma once

#include "exchange/h5/object_header.h"

#include <functional>
#include <string>

namespace gradc::exchange::h5 {

struct Attribute {
  std::string name;
  Span type, space, data;  ///< a datatype message, a dataspace message, and the elements
};

/// The datatype message that a message leads to; empty where there is none.
using Shared = std::function<Span(Span)>;

/// By name, each of which is there once; nothing where they are damaged.
std::optional<std::vector<Attribute>> read_attributes(const FileBytes& file,
                                                      const std::vector<Message>& header,
                                                      const Shared& shared, Meter& meter);

}  // namespace gradc::exchange::h5
