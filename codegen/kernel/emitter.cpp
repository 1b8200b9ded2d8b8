#include "codegen/kernel/emitter.h"

#include "ir/op.h"
#include "ir/op_attrs.h"
#include "support/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace gradc::kernel {

Emitter::Emitter(Kernel& kernel, const Graph& body)
    : kernel_(kernel), builder_(kernel), body_(body), bounds_(kernel) {
  scopes_.push_back({&kernel.body, {}, {}});
}

// ---- scopes
// --------------------------------------------------------------------------------------

VarId Emitter::new_var(const std::string& name, int64_t extent) {
  const VarId var = builder_.var(name);
  bounds_.set_range(var, Interval{0, extent - 1});
  var_levels_.resize(kernel_.vars.size(), 0);
  return var;
}

void Emitter::open(Block* block, const std::vector<VarId>& vars) {
  scopes_.push_back({block, vars, {}});
  for (const VarId var : vars)
    var_levels_[var.index] = depth();
}

void Emitter::close() {
  const int closing = depth();
  for (const ValueId value : scopes_.back().memoized)
    std::erase_if(memo_[value], [closing](const Memo& m) { return m.level >= closing; });
  scopes_.pop_back();
}

int Emitter::level(const Affine& affine) const {
  int result = 0;
  for (const auto& term : affine.terms)
    result = std::max(result, var_levels_[term.first.index]);
  return result;
}

int Emitter::level(ExprId expr) {
  if (!expr.valid()) return 0;
  if (expr_levels_.size() < kernel_.exprs.size()) expr_levels_.resize(kernel_.exprs.size(), -1);
  if (expr_levels_[expr.index] >= 0) return expr_levels_[expr.index];
  const Expr& e = kernel_.expr(expr);
  int result = level(e.index);
  if (e.kind == ExprKind::kLocal) result = std::max(result, local_levels_[e.local.index]);
  // An array of the kernel's own is written by the statements around: it cannot be read earlier.
  if (e.kind == ExprKind::kLoad && kernel_.buffer(e.buffer).role == BufferRole::kLocal)
    result = std::max(result, depth());
  const auto args = e.args;
  for (const ExprId arg : args)
    result = std::max(result, level(arg));
  expr_levels_[expr.index] = result;
  return result;
}

bool Emitter::is_trivial(ExprId expr) const {
  const Expr& e = kernel_.expr(expr);
  return e.kind == ExprKind::kConst || e.kind == ExprKind::kIndex || e.kind == ExprKind::kLocal;
}

LocalId Emitter::new_local(const std::string& name, DType dtype, bool is_mutable) {
  const std::string unique = fmt::format("{}{}", name, kernel_.locals.size());
  const LocalId local = builder_.local(unique, dtype, is_mutable);
  local_levels_.push_back(depth());
  return local;
}

ExprId Emitter::let(ExprId expr, const std::string& name) {
  const int at = level(expr);
  const LocalId local = new_local(name, kernel_.expr(expr).dtype, false);
  local_levels_[local.index] = at;
  scopes_[static_cast<size_t>(at)].block->push_back(Let{local, expr});
  bounds_.define(local, expr);
  return builder_.read(local);
}

/// The expression as a Let of its own scope if that lies outside scope `below`.
ExprId Emitter::hoisted(ExprId expr, int below, const std::string& name) {
  return !is_trivial(expr) && level(expr) < below ? let(expr, name) : expr;
}

ExprId Emitter::fail(const std::string& why) {
  if (failure_.empty()) failure_ = why;
  return builder_.constant(0);
}

// ---- bindings
// ------------------------------------------------------------------------------------

void Emitter::bind_buffer(ValueId value, BufferId buffer) {
  const NodeId def_id = body_.def(value);
  if (def_id.valid() && body_.node(def_id).op == Op::kRandomUniform) {
    streams_[value] = buffer;
    return;
  }
  bindings_[value] = Binding{buffer, {}, {}, 0};
}

void Emitter::bind_local(ValueId value, LocalId local, const Index& at) {
  Binding binding{{}, local, at, 0};
  std::sort(binding.at.affine.terms.begin(), binding.at.affine.terms.end());
  bindings_[value] = std::move(binding);
}

void Emitter::bind_row(ValueId value, BufferId buffer, int64_t modulo) {
  bindings_[value] = Binding{buffer, {}, {}, modulo};
}

ExprId Emitter::bound_value(ValueId value, const Binding& binding, const Index& at) {
  if (binding.buffer.valid())
    return load(binding.buffer, binding.modulo > 0 ? floor_mod(at, binding.modulo) : at);
  Index sorted = at;
  std::sort(sorted.affine.terms.begin(), sorted.affine.terms.end());
  if (sorted != binding.at)
    return fail(fmt::format("%{} is read at another position than it is computed at",
                            body_.value(value).name));
  return builder_.read(binding.local);
}

ExprId Emitter::load(BufferId buffer, const Index& at) {
  const ExprId plain = builder_.load(buffer, at.affine, at.dynamic);
  if (!condition_.valid()) return plain;
  return builder_.guard(condition_, plain, builder_.constant(0, kernel_.expr(plain).dtype));
}

// ---- values
// --------------------------------------------------------------------------------------

ExprId Emitter::value(ValueId value, const Index& at) {
  for (const Memo& m : memo_[value]) {
    if (m.at == at && (m.condition == condition_ || !m.condition.valid())) return m.expr;
  }
  const auto binding = bindings_.find(value);
  ExprId expr =
      binding != bindings_.end() ? bound_value(value, binding->second, at) : compute(value, at);
  const Value& v = body_.value(value);
  const bool shared = v.uses.size() + (body_.is_output(value) ? 1U : 0U) > 1U;
  if (shared && !is_trivial(expr) && (lets_allowed_ || level(expr) < depth()))
    expr = let(expr, v.name.empty() ? "v" : v.name + ".");
  memo_[value].push_back({at, condition_, expr, level(expr)});
  scopes_[static_cast<size_t>(level(expr))].memoized.push_back(value);
  return expr;
}

ExprId Emitter::compute(ValueId value, const Index& at) {
  const NodeId def_id = body_.def(value);
  if (!def_id.valid()) return fail("an argument of the body is not bound");
  const Node& node = body_.node(def_id);
  switch (def(node.op).lowering) {
    case Lowering::kScalar:
      return scalar(node, at);
    case Lowering::kView:
      return view(node, at);
    case Lowering::kSource:
      return source(node, at);
    case Lowering::kGather:
      if (node.op == Op::kGather) return gather(node, at);
      break;
    case Lowering::kReduce:
    case Lowering::kMatmul:
    case Lowering::kConv:
    case Lowering::kPool:
    case Lowering::kAttention:
    case Lowering::kStructure:
    case Lowering::kComposite:
      break;
  }
  return fail(fmt::format("{} is not computed where it is used", op_name(node.op)));
}

ExprId Emitter::scalar(const Node& node, const Index& at) {
  std::array<ExprId, 3> x;
  int highest = 0;
  for (size_t i = 0; i < node.operands.size(); ++i) {
    x[i] = value(node.operands[i], at);
    highest = std::max(highest, level(x[i]));
  }
  for (size_t i = 0; i < node.operands.size(); ++i)
    x[i] = hoisted(x[i], highest, "c");
  const DType dtype = body_.type(node.results[0]).dtype;
  if (node.op == Op::kCast) return builder_.cast(x[0], dtype);
  return builder_.scalar(def(node.op).scalar, dtype, x[0], x[1], x[2]);
}

ExprId Emitter::guarded(ExprId condition, ValueId v, const Index& at, ExprId otherwise) {
  if (!condition.valid()) return value(v, at);
  if (lets_allowed_ && !is_trivial(condition)) condition = let(condition, "in");
  const ExprId outer = condition_;
  condition_ = both(outer, condition);
  if (outer.valid() && lets_allowed_) condition_ = let(condition_, "in");
  const size_t assumed = bounds_.num_constraints();
  bounds_.assume(condition_);
  const ExprId inner = value(v, at);
  bounds_.pop_constraints(assumed);
  const ExprId mine = std::exchange(condition_, outer);
  // A bare load takes the other value directly; everything else was computed from guarded loads.
  const Expr& e = kernel_.expr(inner);
  if (e.kind == ExprKind::kGuard && e.args[0] == mine && !outer.valid())
    return builder_.guard(mine, e.args[1], otherwise);
  return builder_.scalar(ScalarOp::kSelect, kernel_.expr(inner).dtype, condition, inner, otherwise);
}

ExprId Emitter::source(const Node& node, const Index& at) {
  const TensorType& type = body_.type(node.results[0]);
  if (node.op == Op::kConstant) {
    const auto& attrs = node.attrs.as<ConstantAttrs>();
    if (attrs.value->size() == 1) return builder_.constant(attrs.value->front(), type.dtype);
    return fail("a constant of many elements is not bound");
  }
  if (node.op == Op::kIota) {
    const auto axis = static_cast<int>(node.attrs.as<IotaAttrs>().axis);
    int64_t inner = 1;
    for (int i = axis + 1; i < type.rank(); ++i)
      inner *= type.shape[i];
    const Index q = split(at, inner, type.shape[axis], type.num_elements());
    if (!q.dynamic.valid() && type.dtype == DType::kI32)
      return builder_.index(q.affine, type.dtype);
    return builder_.cast(index_expr(q), type.dtype);
  }
  if (node.op != Op::kRandomUniform) return fail("an unknown source");
  const auto bound = streams_.find(node.results[0]);
  if (bound == streams_.end()) return fail("the stream of random numbers is not bound");
  // The seed exists whatever guards this element.
  const ExprId condition = std::exchange(condition_, ExprId());
  const ExprId seed = value(node.operands[0], constant_index(0));
  const ExprId iteration = value(node.operands[1], constant_index(0));
  const ExprId stream = load(bound->second, constant_index(0));
  condition_ = condition;
  return builder_.random(hoisted(seed, depth(), "seed"), hoisted(iteration, depth(), "iteration"),
                         index_expr(at), hoisted(stream, depth(), "stream"));
}

ExprId Emitter::gather(const Node& node, const Index& at) {
  const TensorType& table = body_.type(node.operands[0]);
  const int64_t rows = table.shape[0];
  const int64_t width = table.num_elements() / rows;
  const Index which = width == 1 ? at : floor_div(at, width);
  ExprId row = builder_.cast(value(node.operands[1], which), DType::kI64);
  const auto clamp = [&](ScalarOp op, int64_t limit) {
    row = builder_.scalar(op, DType::kI64, row,
                          builder_.constant(static_cast<double>(limit), DType::kI64));
  };
  clamp(ScalarOp::kMax, 0);
  clamp(ScalarOp::kMin, rows - 1);
  Index place = scaled(Index{{}, row}, width);
  if (lets_allowed_ || level(place.dynamic) < depth()) place.dynamic = let(place.dynamic, "row");
  return value(node.operands[0], width == 1 ? place : plus(place, floor_mod(at, width)));
}

}  // namespace gradc::kernel
