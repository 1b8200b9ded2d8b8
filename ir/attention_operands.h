// Which operand of an op of attention is which. Behind those that every call has (`fixed` of them:
// query, key, value, ...) stand, each where it is there, in this order: the mask; with `slopes` a
// number for each head of the query, which a score loses for every step between query and key
// (ALiBi: Press, Smith, Lewis 2021); with `factors` what the weights are multiplied by before they
// meet the values (dropout).
#pragma once

#include "ir/op_attrs.h"

#include <cstddef>
#include <optional>

namespace gradc {

struct AttentionOperands {
  std::optional<size_t> mask, slopes, factors;
  size_t count = 0;  ///< of operands that such a call has

  AttentionOperands(const AttentionAttrs& attrs, size_t fixed, size_t operands) {
    const auto next = [&](bool there) { return there ? std::optional(count++) : std::nullopt; };
    const size_t named = (attrs.slopes ? 1U : 0U) + (attrs.factors ? 1U : 0U);
    count = fixed;
    mask = next(operands > fixed + named);
    slopes = next(attrs.slopes);
    factors = next(attrs.factors);
  }
};

}  // namespace gradc
