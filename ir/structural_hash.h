// Equality and hash of graphs up to the names of values.
#pragma once

#include "ir/graph.h"
#include "support/byte_stream.h"

#include <cstdint>
#include <string>

namespace gradc {

struct EqualityOptions {
  bool value_names = false;  ///< names of values count
  bool locations = false;    ///< locations of nodes and inputs count
};

/// Where two graphs differ first, in words; empty when they are structurally equal: same inputs
/// (kind, type, name, init), nodes in the same order (op, attributes, operands, types, phase,
/// body), outputs. Phases inside bodies and names of bodies have no meaning and do not count.
std::string first_difference(const Graph& a, const Graph& b, const EqualityOptions& options = {});

bool structurally_equal(const Graph& a, const Graph& b, const EqualityOptions& options = {});

/// The same for two bodies.
bool bodies_equal(const Graph& a, const Graph& b);

/// Equal for structurally equal graphs (with default options), and on every machine.
uint64_t structural_hash(const Graph& graph);
uint64_t body_hash(const Graph& body);

/// Bytes that are the same exactly for structurally equal graphs (with default options).
void put_content(ByteWriter& out, const Graph& graph);
/// The same for attributes of one op.
void put_content(ByteWriter& out, const AttrRef& attrs);

}  // namespace gradc
