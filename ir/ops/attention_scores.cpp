// What the ops of attention share: which types fit, scores in the reference and in terms of other
// ops, gradients of what is added to them.
#include "ir/ops/attention.h"

#include <cmath>
#include <vector>

namespace gradc::ops {

// ---- inference ----------------------------------------------------------------------------------

namespace {

/// Whether key (or value) has as many leading axes, and as long ones, as the query.
bool same_batches(const TensorType& query, const TensorType& other) {
  if (other.rank() != query.rank()) return false;
  for (int axis = 0; axis < query.rank() - 3; ++axis) {
    if (query.shape[axis] != other.shape[axis]) return false;
  }
  return true;
}

/// Floats of the query's type, or of that in which its products are added up.
bool joins_scores(DType dtype, DType query) {
  return dtype == query || dtype == accumulator_dtype(query);
}

bool repeats_to(const Shape& shape, const Shape& scores) {
  if (shape.rank() != scores.rank()) return false;
  for (int axis = 0; axis < scores.rank(); ++axis) {
    if (shape[axis] != scores[axis] && shape[axis] != 1) return false;
  }
  return true;
}

}  // namespace

Shape scores_shape(const Shape& query, const Shape& key) {
  Shape shape = query;
  shape[shape.rank() - 1] = steps_of(key);
  return shape;
}

Status check_query_key(const InferArgs& args) {
  const TensorType& query = args.operands[0];
  const TensorType& key = args.operands[1];
  if (!is_float(query.dtype) || query.rank() < 3)
    return shape_error("{} takes a float query [.., heads, steps, width], got {}", args.name,
                       to_string(query));
  const bool fits = key.dtype == query.dtype && same_batches(query, key) &&
                    heads_of(query.shape) % heads_of(key.shape) == 0 &&
                    query.shape.back() == key.shape.back();
  if (fits) return Ok{};
  return shape_error(
      "{} of query {} and key {}: the type, the leading axes and the width must be equal, and the "
      "query's heads a multiple of the key's",
      args.name, to_string(query), to_string(key));
}

Status check_extras(const InferArgs& args, size_t fixed) {
  const auto& attrs = args.attr<AttentionAttrs>();
  if (!std::isfinite(attrs.scale)) return attr_error("{} has the scale {}", args.name, attrs.scale);
  if (attrs.multiply && !is_float(*attrs.multiply))
    return attr_error("{} multiplies floats, not {}", args.name, dtype_name(*attrs.multiply));
  const AttentionOperands at(attrs, fixed, args.operands.size());
  const size_t least = at.count - (at.mask ? 1 : 0);
  if (args.operands.size() != at.count)
    return shape_error("{} has {} operands, expected {} or {}", args.name, args.operands.size(),
                       least, least + 1);
  const TensorType& query = args.operands[0];
  const Shape scores = scores_shape(query.shape, args.operands[1].shape);
  const auto wrong = [&](size_t index, std::string_view what) {
    return shape_error("{} with scores {} takes {}, its extents those or 1, got {}", args.name,
                       to_string(scores), what, to_string(args.operands[index]));
  };
  if (at.mask) {
    const TensorType& mask = args.operands[*at.mask];
    const bool fits = mask.dtype == DType::kBool || joins_scores(mask.dtype, query.dtype);
    if (!fits || !repeats_to(mask.shape, scores))
      return wrong(*at.mask, fmt::format("a mask of bool or {}", dtype_name(query.dtype)));
  }
  if (at.factors) {
    const TensorType& factors = args.operands[*at.factors];
    if (!joins_scores(factors.dtype, query.dtype) || !repeats_to(factors.shape, scores))
      return wrong(*at.factors, fmt::format("factors of {}", dtype_name(query.dtype)));
  }
  if (!at.slopes) return Ok{};
  const TensorType& slopes = args.operands[*at.slopes];
  if (joins_scores(slopes.dtype, query.dtype) && slopes.shape == Shape{heads_of(query.shape)})
    return Ok{};
  return shape_error("{} takes slopes {}, got {}", args.name,
                     to_string(query.with(Shape{heads_of(query.shape)})), to_string(slopes));
}

OperandAxes attention_axes(const AxesArgs& a, size_t values) {
  OperandAxes map;
  const bool grouped = heads_of(a.operands[0].shape) != heads_of(a.operands[1].shape);
  for (size_t i = 0; i < a.operands.size(); ++i) {
    const int rank = a.rank(i);
    map.push_back(same_axes(rank, std::array{int64_t{rank - 1}}));
    const bool keys = i == 1 || i == values;
    if (keys) map[i][static_cast<size_t>(rank - 2)] = kMeets;
    if (keys && grouped) map[i][static_cast<size_t>(rank - 3)] = kMeets;
    if (i == values) map[i].back() = rank - 1;
  }
  return map;
}

Result<TensorType> infer_attended(const InferArgs& args, size_t fixed) {
  GRADC_TRY_STATUS(check_query_key(args));
  const TensorType& query = args.operands[0];
  const TensorType& key = args.operands[1];
  const TensorType& value = args.operands[2];
  if (value.dtype != key.dtype || !same_batches(key, value) ||
      heads_of(value.shape) != heads_of(key.shape) || steps_of(value.shape) != steps_of(key.shape))
    return shape_error("{} of key {} and value {}: only the width may differ", args.name,
                       to_string(key), to_string(value));
  GRADC_TRY_STATUS(check_extras(args, fixed));
  GRADC_TRY_STATUS(
      checked_type(args.name, query.dtype, scores_shape(query.shape, key.shape).dims()));
  Shape shape = query.shape;
  shape[shape.rank() - 1] = value.shape.back();
  return checked_type(args.name, query.dtype, shape.dims());
}

// ---- reference ----------------------------------------------------------------------------------

namespace {

/// The element of a mask, or of factors, at a position of the scores.
double repeated_at(const Tensor& mask, const Shape& scores, int64_t position) {
  int64_t at = 0;
  int64_t stride = 1;
  for (int axis = scores.rank() - 1; axis >= 0; --axis) {
    const int64_t extent = mask.type.shape[axis];
    if (extent != 1) at += position % scores[axis] * stride;
    position /= scores[axis];
    stride *= extent;
  }
  return mask[at];
}

}  // namespace

void for_each_query(const EvalArgs& e, size_t fixed,
                    const std::function<void(const QueryRow&)>& visit) {
  const auto& attrs = e.attr<AttentionAttrs>();
  const AttentionOperands at(attrs, fixed, e.inputs.size());
  const Tensor& query = e.in(0);
  const Tensor& key = e.in(1);
  const Shape scores = scores_shape(query.type.shape, key.type.shape);
  const int64_t width = query.type.shape.back();
  const int64_t steps = steps_of(scores);
  const int64_t seen = scores.back();
  const int64_t group = heads_of(scores) / heads_of(key.type.shape);
  QueryRow q;
  q.scores.resize(static_cast<size_t>(seen));
  q.factors.assign(static_cast<size_t>(seen), 1.0);
  for (q.row = 0; q.row < query.size() / width; ++q.row) {
    q.kv = q.row / steps / group;
    for (int64_t j = 0; j < seen; ++j) {
      double sum = 0.0;
      for (int64_t p = 0; p < width; ++p)
        sum += query[q.row * width + p] * key[(q.kv * seen + j) * width + p];
      double& score = q.scores[static_cast<size_t>(j)];
      score = attrs.causal && j > q.row % steps ? kUnseenScore : sum * attrs.scale;
      const int64_t position = q.row * seen + j;
      if (at.factors)
        q.factors[static_cast<size_t>(j)] = repeated_at(e.in(*at.factors), scores, position);
      if (at.slopes) {
        const double slope = e.in(*at.slopes)[q.row / steps % heads_of(scores)];
        score -= slope * static_cast<double>(std::abs(q.row % steps - j));
      }
      if (!at.mask) continue;
      const Tensor& mask = e.in(*at.mask);
      const double m = repeated_at(mask, scores, position);
      if (mask.type.dtype != DType::kBool)
        score += m;
      else if (m == 0.0)
        score = kUnseenScore;
    }
    visit(q);
  }
}

// ---- in terms of other ops ----------------------------------------------------------------------

Val grouped(Val x, int64_t kv_heads) {
  Shape shape = x.shape();
  const int heads = shape.rank() - 3;
  if (shape[heads] == kv_heads) return x;
  shape[heads + 1] *= shape[heads] / kv_heads;
  shape[heads] = kv_heads;
  return reshape(x, shape);
}

Val product(Val a, Val b, MatmulAttrs flags, const AttentionAttrs& attrs) {
  flags.multiply = attrs.multiply;
  return a.builder().add(Op::kMatmul, {a, b}, make_attrs(flags));
}

Val along_rows(Val rows, Val like) {
  const int64_t last = like.rank() - 1;
  return broadcast(rows, like.shape(), other_axes(like.rank(), std::span(&last, 1)));
}

Extras::Extras(std::span<const Val> operands, const AttentionAttrs& attrs, size_t fixed)
    : at(attrs, fixed, operands.size()) {
  if (at.mask) mask = operands[*at.mask];
  if (at.slopes) slopes = operands[*at.slopes];
  if (at.factors) factors = operands[*at.factors];
}

namespace {

/// The axes that a mask repeats.
Ints repeated_axes(const Shape& mask, const Shape& scores) {
  Ints axes;
  for (int axis = 0; axis < scores.rank(); ++axis) {
    if (mask[axis] != scores[axis]) axes.push_back(axis);
  }
  return axes;
}

/// Steps between the query and the key of each score.
Val distances(Builder& builder, const TensorType& scores) {
  const int last = scores.rank() - 1;
  const TensorType index = {DType::kI32, scores.shape};
  return cast(abs(iota(builder, index, last) - iota(builder, index, last - 1)), scores.dtype);
}

}  // namespace

Val repeated(Val mask, const Shape& scores) {
  const Ints axes = repeated_axes(mask.shape(), scores);
  if (axes.empty()) return mask;
  return broadcast(reshape(mask, mask.shape().without(axes)), scores,
                   other_axes(scores.rank(), axes));
}

Val scores_of(Val query, Val key, const Extras& extras, const AttentionAttrs& attrs) {
  Builder& builder = query.builder();
  const Shape shape = scores_shape(query.shape(), key.shape());
  const int last = shape.rank() - 1;
  const Val products =
      product(grouped(query, heads_of(key.shape())), key, {.transpose_b = true}, attrs);
  const DType dtype = products.dtype();
  Val scores = reshape(products, shape) * attrs.scale;
  if (extras.slopes.valid()) {
    const Val slopes = broadcast(cast(extras.slopes, dtype), shape, {last - 2});
    scores = scores - slopes * distances(builder, scores.type());
  }
  if (attrs.causal) {
    const TensorType index = {DType::kI32, shape};
    const Val seen = less_equal(iota(builder, index, last), iota(builder, index, last - 1));
    scores = select(seen, scores, kUnseenScore);
  }
  if (!extras.mask.valid()) return scores;
  const Val all = repeated(extras.mask, shape);
  if (all.dtype() == DType::kBool) return select(all, scores, kUnseenScore);
  return scores + cast(all, dtype);
}

Val mask_gradient(Val scores, const TensorType& mask) {
  const Ints axes = repeated_axes(mask.shape, scores.shape());
  const Val sums = axes.empty() ? scores : reshape(reduce_sum(scores, axes), mask.shape);
  return cast(sums, mask.dtype);
}

void give_score_gradients(const GradArgs& g, const Extras& extras, Val scores, Grads& grads) {
  const auto& [mask, slopes, factors, count] = extras.at;
  if (mask && g.needs(*mask)) grads[*mask] = mask_gradient(scores, extras.mask.type());
  if (!slopes || !g.needs(*slopes)) return;
  const int64_t heads = scores.rank() - 3;
  const Ints others = other_axes(scores.rank(), std::span(&heads, 1));
  const Val sums = reduce_sum(scores * distances(g.builder, scores.type()), others);
  grads[*slopes] = cast(-sums, extras.slopes.dtype());
}

}  // namespace gradc::ops
