// The scalar functions generated code can compute for one element (or one vector of elements).
// A small closed set, listed in scalar_ops.def: elementwise ops of the op table map to one each;
// emission and the kernel interpreter switch over it.
#pragma once

#include <cstdint>
#include <string_view>

namespace gradc {

enum class ScalarOp : uint8_t {
#define GRADC_SCALAR_OP(enumerator, name, arity, cost) enumerator,
#include "ir/scalar_ops.def"
#undef GRADC_SCALAR_OP
  kNone,
};
inline constexpr int kNumScalarOps = static_cast<int>(ScalarOp::kNone);

std::string_view scalar_op_name(ScalarOp op);
int scalar_op_arity(ScalarOp op);
/// Of one element, in additions.
int scalar_op_cost(ScalarOp op);
/// Dear enough that a result is better kept than computed again: transcendental functions.
bool is_expensive(ScalarOp op);

}  // namespace gradc
