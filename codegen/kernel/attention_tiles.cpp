#include "codegen/kernel/attention_tiles.h"

#include "ir/op.h"
#include "passes/fusion_cost.h"
#include "support/check.h"

#include <limits>
#include <utility>

namespace gradc::kernel {

namespace {

constexpr int64_t kBlock = 64;  // steps: a tile of f32 scores is 16 KiB
/// Of causal attention: smaller tiles leave out more of what lies above the diagonal.
constexpr int64_t kCausalBlock = 32;
constexpr int64_t kSharedWork = 16384;
constexpr int64_t kFar = int64_t{1} << 40;

/// Up to half as many again are not cut; an even cut is better than a rest, down to three quarters.
int64_t block_size(int64_t steps, int64_t block) {
  if (steps <= block + block / 2) return steps;
  for (int64_t size = block; size >= block - block / 4; --size) {
    if (steps % size == 0) return size;
  }
  return block;
}

}  // namespace

Affine times(const Affine& x, int64_t factor) {
  return Affine().add(x, factor);
}

Affine sum(const Affine& a, const Affine& b) {
  Affine result = a;
  return result.add(b);
}

StepBlocks::StepBlocks(int64_t all, bool causal)
    : steps(all), size(block_size(all, causal ? kCausalBlock : kBlock)) {}

namespace {

int64_t steps_of(const Graph& body, ValueId value) {
  const Shape& shape = body.type(value).shape;
  return shape[shape.rank() - 2];
}

}  // namespace

AttentionShape::AttentionShape(const Graph& body, const Node& node)
    : attrs(node.attrs.as<AttentionAttrs>()),
      queries(steps_of(body, node.operands[0]), attrs.causal),
      keys(steps_of(body, node.operands[1]), attrs.causal) {
  const Shape& query = body.type(node.operands[0]).shape;
  const Shape& key = body.type(node.operands[1]).shape;
  for (int axis = 0; axis < query.rank() - 3; ++axis)
    leading.push_back(query[axis]);
  kv_heads = key[key.rank() - 3];
  group = query[query.rank() - 3] / kv_heads;
  width = query.back();
  value_width = body.type(node.operands[2]).shape.back();
  const DType given = body.type(node.operands[0]).dtype;
  dtype = accumulator_dtype(given);
  multiply = attrs.multiply.value_or(given);
}

AttentionKernel::AttentionKernel(Unit& unit, const Node& node, size_t fixed,
                                 const std::string& suffix)
    : unit_(unit),
      node_(node),
      shape_(unit.body(), node),
      at_(shape_.attrs, fixed, node.operands.size()),
      frame_(unit.frame(suffix)),
      e_(kernel_, unit.body()) {
  kernel_.name = frame_.kernel.name;
  kernel_.flops = node_flops(unit.body(), node);
}

// ---- loops
// ---------------------------------------------------------------------------------------

void AttentionKernel::loop(const std::string& name, int64_t extent, LoopKind kind, const Body& body,
                           SumOrder sums) {
  if (extent == 1 && kind != LoopKind::kVector) return body(Affine());
  auto statement = std::make_unique<For>();
  statement->var = e_.new_var(name, extent);
  statement->end = extent;
  statement->kind = kind;
  statement->sums = sums;
  const Affine var = Affine::variable(statement->var);
  e_.open(&statement->body, {statement->var});
  body(var);
  e_.close();
  e_.block().push_back(std::move(statement));
}

void AttentionKernel::share(int64_t members, int64_t blocks, const Body& body) {
  std::vector<int64_t> extents = shape_.leading;
  extents.insert(extents.end(), {shape_.kv_heads, members, blocks});
  std::vector<VarId> vars;
  std::vector<Affine> at;
  std::vector<std::unique_ptr<For>> loops;
  for (size_t axis = 0; axis < extents.size(); ++axis) {
    at.emplace_back();
    if (extents[axis] == 1) continue;
    auto loop = std::make_unique<For>();
    loop->var = e_.new_var("share" + std::to_string(axis), extents[axis]);
    loop->end = extents[axis];
    loop->kind = kernel_.flops >= kSharedWork ? LoopKind::kParallel : LoopKind::kSerial;
    at.back() = Affine::variable(loop->var);
    vars.push_back(loop->var);
    loops.push_back(std::move(loop));
  }
  // One scope for all, so that nothing stands between the loops.
  Block inner;
  e_.open(&inner, vars);
  const auto heads = static_cast<std::ptrdiff_t>(shape_.leading.size());
  leading_.assign(at.begin(), at.begin() + heads);
  kv_ = at[shape_.leading.size()];
  member_ = at[shape_.leading.size() + 1];
  body(at.back());
  e_.close();
  while (!loops.empty()) {
    loops.back()->body = std::move(inner);
    inner.clear();
    inner.emplace_back(std::move(loops.back()));
    loops.pop_back();
  }
  for (Stmt& statement : inner)
    e_.block().push_back(std::move(statement));
}

void AttentionKernel::each_key_block(const Affine& first, int64_t rows,
                                     const std::function<void(const Affine&, int64_t)>& body) {
  const auto block = [&](const Affine& key, int64_t count) {
    const Index beyond{sum(key, times(first, -1)), {}};
    if (!shape_.attrs.causal) return body(key, count);
    if (e_.never_in_range(beyond, -kFar, rows - 1)) return;
    const ExprId seen = e_.in_range(beyond, -kFar, rows - 1);
    if (!seen.valid()) return body(key, count);
    auto branch = std::make_unique<If>();
    branch->condition = seen;
    e_.open(&branch->body, {});
    body(key, count);
    e_.close();
    e_.block().push_back(std::move(branch));
  };
  const StepBlocks& keys = shape_.keys;
  loop("block", keys.whole(), LoopKind::kSerial,
       [&](const Affine& at) { block(times(at, keys.size), keys.size); });
  if (keys.rest() > 0) block(Affine::constant(keys.rest_first()), keys.rest());
}

Affine AttentionKernel::tile_at(const Affine& column, const Affine& row) const {
  return sum(times(column, rows_), row);
}

void AttentionKernel::each_score(
    const Affine& first, const Affine& key, int64_t count,
    const std::function<ExprId(const Affine& row, ExprId score)>& then) {
  contract(
      count, rows_, shape_.width,
      [&](const Affine& j, const Affine& d) {
        return operand(1, key_at(sum(key, j), shape_.width, d));
      },
      [&](const Affine& i, const Affine& d) { return load(queries_, tile_at(d, i)); },
      [&](const Affine& j, const Affine& i, ExprId product) {
        const ExprId of = score(product, sum(first, i), sum(key, j));
        store(tile_, tile_at(j, i), then(i, of));
      });
}

void AttentionKernel::contract(int64_t m, int64_t n, int64_t k, const Operand& a, const Operand& b,
                               const Epilogue& epilogue) {
  auto statement = std::make_unique<Contract>();
  statement->parallel = false;
  statement->m.push_back({e_.new_var("m", m), m});
  statement->n.push_back({e_.new_var("n", n), n});
  statement->k.push_back({e_.new_var("k", k), k});
  const VarId vars[] = {statement->m[0].var, statement->n[0].var, statement->k[0].var};
  const Affine row = Affine::variable(vars[0]);
  const Affine column = Affine::variable(vars[1]);
  const Affine step = Affine::variable(vars[2]);
  e_.open(&statement->epilogue, {vars[0], vars[1], vars[2]});
  e_.allow_lets(false);
  statement->a = e_.builder().cast(a(row, step), shape_.multiply);
  statement->b = e_.builder().cast(b(column, step), shape_.multiply);
  e_.allow_lets(true);
  statement->acc = e_.new_local("acc", accumulator_dtype(shape_.multiply), false);
  epilogue(row, column, e_.builder().cast(e_.builder().read(statement->acc), shape_.dtype));
  e_.close();
  e_.block().push_back(std::move(statement));
}

// ---- values
// --------------------------------------------------------------------------------------

BufferId AttentionKernel::local(const std::string& name, int64_t elements) {
  return e_.builder().buffer(name, shape_.dtype, Shape{elements}, BufferRole::kLocal);
}

Affine AttentionKernel::flat_key_head() const {
  Affine head;
  for (size_t axis = 0; axis < leading_.size(); ++axis)
    head = sum(times(head, shape_.leading[axis]), leading_[axis]);
  return sum(times(head, shape_.kv_heads), kv_);
}

Affine AttentionKernel::key_at(const Affine& step, int64_t width, const Affine& column) const {
  return sum(times(sum(times(flat_key_head(), shape_.keys.steps), step), width), column);
}

Affine AttentionKernel::query_at(const Affine& step, int64_t width, const Affine& column) const {
  const Affine head = sum(times(flat_key_head(), shape_.group), member_);
  return sum(times(sum(times(head, shape_.queries.steps), step), width), column);
}

ExprId AttentionKernel::of_score(size_t index, const Affine& query, const Affine& key) {
  const Shape& shape = unit_.body().type(node_.operands[index]).shape;
  std::vector<Affine> axes = leading_;
  axes.push_back(sum(times(kv_, shape_.group), member_));
  axes.push_back(query);
  axes.push_back(key);
  Affine at;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    at = times(at, shape[axis]);
    if (shape[axis] != 1) at.add(axes[static_cast<size_t>(axis)]);
  }
  return e_.value(node_.operands[index], {at, {}});
}

ExprId AttentionKernel::score(ExprId product, const Affine& query, const Affine& key) {
  KernelBuilder& b = e_.builder();
  const ExprId unseen = number(-std::numeric_limits<double>::infinity());
  ExprId result = op(ScalarOp::kMul, product, number(shape_.attrs.scale));
  if (at_.slopes) {
    const ExprId slope = operand(*at_.slopes, sum(times(kv_, shape_.group), member_));
    const ExprId behind = b.cast(b.index(sum(query, times(key, -1)), DType::kI32), shape_.dtype);
    const ExprId lost = op(ScalarOp::kMul, slope, op(ScalarOp::kAbs, behind));
    result = op(ScalarOp::kSub, result, lost);
  }
  if (shape_.attrs.causal) {
    const Index beyond{sum(key, times(query, -1)), {}};
    const ExprId seen = e_.in_range(beyond, -kFar, 0);
    if (seen.valid()) result = b.scalar(ScalarOp::kSelect, shape_.dtype, seen, result, unseen);
  }
  if (!at_.mask) return result;
  const ExprId mask = of_score(*at_.mask, query, key);
  if (unit_.body().type(node_.operands[*at_.mask]).dtype != DType::kBool)
    return op(ScalarOp::kAdd, result, b.cast(mask, shape_.dtype));
  return b.scalar(ScalarOp::kSelect, shape_.dtype, mask, result, unseen);
}

/// By four keys, unrolled: of a multiple of four keys, where they are drawn, these are the words of
/// one block of random bits.
void AttentionKernel::multiply_factors(const Affine& first, const Affine& key, int64_t count,
                                       BufferId out) {
  constexpr int64_t kWords = 4;
  const auto one = [&](const Affine& j, const Affine& i) {
    const ExprId factor = of_score(*at_.factors, sum(first, i), sum(key, j));
    store(out, tile_at(j, i),
          op(ScalarOp::kMul, load(tile_, tile_at(j, i)), e_.builder().cast(factor, shape_.dtype)));
  };
  vector("i", rows_, [&](const Affine& i) {
    loop("group", count / kWords, LoopKind::kSerial, [&](const Affine& group) {
      loop("word", kWords, LoopKind::kUnroll,
           [&](const Affine& word) { one(sum(times(group, kWords), word), i); });
    });
    const int64_t done = count / kWords * kWords;
    if (done == count) return;
    loop("rest", count - done, LoopKind::kUnroll,
         [&](const Affine& word) { one(sum(Affine::constant(done), word), i); });
  });
}

void AttentionKernel::transpose_queries(size_t index, int64_t width, const Affine& first,
                                        int64_t rows, BufferId out) {
  loop("row", rows, LoopKind::kSerial, [&](const Affine& i) {
    vector("d", width, [&](const Affine& d) {
      store(out, sum(times(d, rows), i), operand(index, query_at(sum(first, i), width, d)));
    });
  });
}

void AttentionKernel::fill(BufferId buffer, const Affine& first, int64_t elements, double value) {
  vector("x", elements, [&](const Affine& x) { store(buffer, sum(first, x), number(value)); });
}

BufferId AttentionKernel::result(size_t index, BufferRole role) {
  const ValueId value = node_.results[index];
  const auto& outputs = unit_.body().outputs();
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].value != value) continue;
    const BufferId id = frame_.output(i);
    frame_.kernel.buffers[id.index].role = role;
    return id;
  }
  const TensorType& type = unit_.body().type(value);
  return frame_.add("unread" + std::to_string(index), type.dtype, type.shape, role,
                    unit_.temporary(type.dtype, type.shape));
}

Status AttentionKernel::finish(bool joins) {
  if (e_.failed()) return make_error(DiagKind::kInternal, {}, "{}: {}", kernel_.name, e_.failure());
  unit_.add_call(frame_, std::move(kernel_), joins);
  return Ok{};
}

}  // namespace gradc::kernel
