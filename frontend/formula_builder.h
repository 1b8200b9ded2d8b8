// Formulas as ops of a graph. A formula is of one example: the batch is no axis of it, and no value
// of one example meets another's.
#pragma once

#include "frontend/formula.h"
#include "frontend/model.h"
#include "ir/builder.h"

#include <functional>
#include <optional>

namespace gradc {

/// What names mean.
struct FormulaScope {
  const Model& model;
  /// The output that "output" is, and whose target "target" is; none: these words mean nothing.
  std::optional<size_t> own;
  std::function<Val(size_t output)> output = {};  ///< floats [batch, ...]
  std::function<Val(size_t output)> target = {};  ///< [batch, ...], or i32 where it is of classes
};

struct FormulaValue {
  Val value;                 ///< floats [batch, ...]
  bool meets_steps = false;  ///< an element may be made of several along the first axis of examples
};

/// Nothing after a report, at the place in the text.
std::optional<FormulaValue> build_formula(const Formula& formula, const FormulaScope& scope,
                                          const Place& place, DiagnosticSink& sink);

}  // namespace gradc
