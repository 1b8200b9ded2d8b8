// What the ops of attention share: shapes, inference, the scores of the reference, the expansion's
// products and samples.
#pragma once

#include "ir/attention_operands.h"
#include "ir/ops/common.h"

#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace gradc::ops {

/// Lower scores, those of masks made of a type's lowest number too, are those of keys not seen. In
/// range for every float type of this exponent.
inline constexpr double kLowestScore = -3e38;
inline constexpr double kUnseenScore = -std::numeric_limits<double>::infinity();

// ---- shapes -------------------------------------------------------------------------------------

/// Axes from the back: heads, steps, width.
inline int64_t heads_of(const Shape& shape) {
  return shape[shape.rank() - 3];
}
inline int64_t steps_of(const Shape& shape) {
  return shape[shape.rank() - 2];
}
Shape scores_shape(const Shape& query, const Shape& key);

// ---- inference ----------------------------------------------------------------------------------

Status check_query_key(const InferArgs& args);
/// Mask, slopes and factors behind `fixed` operands.
Status check_extras(const InferArgs& args, size_t fixed);
/// Query, key and value, and what there is behind `fixed` operands: the type of the result.
Result<TensorType> infer_attended(const InferArgs& args, size_t fixed);

/// Leading axes and, where query and key have as many of them, heads are apart; queries too. Keys
/// meet; an operand number `values` has the result's width.
OperandAxes attention_axes(const AxesArgs& a, size_t values);

// ---- reference ----------------------------------------------------------------------------------

/// One query of the reference.
struct QueryRow {
  int64_t row = 0;              ///< counts queries
  int64_t kv = 0;               ///< counts heads of keys
  std::vector<double> scores;   ///< of every key; -infinity where it is not seen
  std::vector<double> factors;  ///< of every key's weight
};
/// Calls visit for every query of operands 0 and 1, others standing behind `fixed` operands.
void for_each_query(const EvalArgs& e, size_t fixed,
                    const std::function<void(const QueryRow&)>& visit);

// ---- in terms of other ops ----------------------------------------------------------------------

/// [.., heads, steps, n] as [.., kv_heads, group * steps, n]: the queries of one key head are one
/// matrix.
Val grouped(Val x, int64_t kv_heads);
Val product(Val a, Val b, MatmulAttrs flags, const AttentionAttrs& attrs);
/// One number per row of the last axis, repeated along it.
Val along_rows(Val rows, Val like);

/// The operands that not every call has.
struct Extras {
  AttentionOperands at;
  Val mask, slopes, factors;  ///< invalid: there is none

  Extras(std::span<const Val> operands, const AttentionAttrs& attrs, size_t fixed);
};
/// Scores of all queries and keys, of the type in which they are added up.
Val scores_of(Val query, Val key, const Extras& extras, const AttentionAttrs& attrs);
/// A mask, or factors, as one number for every score.
Val repeated(Val mask, const Shape& scores);
/// The gradient of a mask, or of factors, from that of what they are added to or multiply.
Val mask_gradient(Val scores, const TensorType& mask);
/// Those of mask and slopes, where they are needed, from that of the scores.
void give_score_gradients(const GradArgs& g, const Extras& extras, Val scores, Grads& grads);

// ---- samples ------------------------------------------------------------------------------------

/// Queries and keys, values of a width (0: none, and no factors), and what may stand behind them:
/// plain, of other lengths, with grouped heads, under every kind of mask, slopes and factors.
Samples attention_samples_with(int64_t value_width);

}  // namespace gradc::ops
