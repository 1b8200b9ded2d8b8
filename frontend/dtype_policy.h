// Dtype policies, as Keras's: in which types a layer computes and keeps its parameters. A mixed
// policy keeps parameters in f32 and multiplies in a shorter type; what layers pass on is rounded
// to it, everything inside a layer but the operands of products is f32.
#pragma once

#include "frontend/json_reader.h"
#include "ir/type.h"

#include <optional>
#include <string_view>

namespace gradc {

struct DTypePolicy {
  DType compute = DType::kF32;  ///< of a layer's inputs, parameters and result, as it sees them
  std::optional<DType> short_float;  ///< of the operands of products, and of results in memory
};

/// The names that there are, separated by spaces.
inline constexpr std::string_view kPolicyNames = "float32 mixed_bfloat16 float64";

/// Reads a policy's name; reports, and gives nothing, when it is none.
std::optional<DTypePolicy> read_policy(DiagnosticSink& sink, const JsonCursor& at);

}  // namespace gradc
