#include "tests/support/random_graph.h"

#include "ir/interpreter.h"
#include "support/check.h"
#include "tests/support/noise.h"
#include "tests/support/random_graph_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace gradc::testing {

namespace {

constexpr double kMaxMagnitude = 16.0;  // of float values
constexpr double kNoise = 2e-6;         // relative; some roundings of fp32

uint64_t hash_text(const std::string& text, uint64_t seed) {
  uint64_t h = seed ^ 0xCBF29CE484222325ULL;
  for (char c : text)
    h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return h;
}

bool all_elements(const Tensor& t, bool (*holds)(double)) {
  return std::all_of(t.data.begin(), t.data.end(), holds);
}

/// Two different elements closer than rounding noise.
bool has_near_ties(const Tensor& t, double noise) {
  std::vector<double> sorted = t.data;
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 1; i < sorted.size(); ++i) {
    const double gap = sorted[i] - sorted[i - 1];
    if (gap != 0.0 && gap < 4 * noise * std::max(1.0, std::abs(sorted[i]))) return true;
  }
  return false;
}

}  // namespace

// ---- random numbers ----------------------------------------------------------------------------

uint64_t Random::bits() {
  state_ += 0x9E3779B97F4A7C15ULL;
  uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

int64_t Random::below(int64_t count) {
  return static_cast<int64_t>(bits() % static_cast<uint64_t>(count));
}

bool Random::chance(double probability) {
  return static_cast<double>(bits() >> 11) * 0x1p-53 < probability;
}

Tensor random_tensor(const TensorType& type, const std::string& name, uint64_t seed) {
  Random random(hash_text(name, seed));
  Tensor tensor(type);
  for (double& x : tensor.data) {
    if (is_float(type.dtype)) {
      x = static_cast<double>(random.between(-2048, 2048)) / 1024.0;
    } else {
      x = static_cast<double>(random.below(type.dtype == DType::kBool ? 2 : 4));
    }
  }
  return tensor;
}

std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed) {
  std::vector<Tensor> inputs;
  for (const GraphInput& input : graph.inputs())
    inputs.push_back(random_tensor(graph.type(input.value), input.name, seed));
  return inputs;
}

// ---- values ------------------------------------------------------------------------------------

RandomGraphBuilder::RandomGraphBuilder(uint64_t seed, const RandomGraphOptions& options)
    : seed_(seed),
      options_(options),
      noise_(options.product_types ? 1e-2 : kNoise),
      tolerance_(options.product_types ? 0.1 : 1e-4),
      random_(seed * 0x9E3779B97F4A7C15ULL + 1),
      graph_(std::make_shared<Graph>(fmt::format("random_{}", seed))),
      builder_(*graph_) {}

Val RandomGraphBuilder::new_input(InputKind kind, TensorType type) {
  const int number = num_inputs_++;
  std::string name = kind == InputKind::kInput ? fmt::format("input/x{}", number)
                                               : fmt::format("layer{}/kernel", number);
  if (kind == InputKind::kState) name = fmt::format("layer{}/moving", number);
  InitSpec init;
  if (kind != InputKind::kInput) init.kind = "zeros";
  const Val val = builder_.input(kind, type, name, fmt::format("{}{}", name[0], number), init);
  Tensor data = random_tensor(type, name, seed_);
  pool_.push_back({val, data, std::move(data)});
  return val;
}

Val RandomGraphBuilder::new_constant(TensorType type) {
  std::vector<double> elements(random_.chance(0.5) ? 1 : static_cast<size_t>(type.num_elements()));
  for (double& x : elements)
    x = static_cast<double>(random_.between(-32, 32)) / 16.0;
  if (is_integer(type.dtype)) {
    for (double& x : elements)
      x = std::floor(std::abs(x));
  }
  const Val val = builder_.constant(type, std::move(elements));
  evaluate(graph_->def(val.id()));
  return val;
}

const RandomGraphBuilder::Entry& RandomGraphBuilder::entry(ValueId id) const {
  const auto found =
      std::find_if(pool_.begin(), pool_.end(), [&](const Entry& e) { return e.val.id() == id; });
  GRADC_CHECK(found != pool_.end(), "a value without numbers");
  return *found;
}

bool RandomGraphBuilder::is_sane(const Tensor& exact, const Tensor& noisy) const {
  for (int64_t i = 0; i < exact.size(); ++i) {
    if (!std::isfinite(exact[i])) return false;
    if (is_float(exact.type.dtype) && std::abs(exact[i]) > kMaxMagnitude) return false;
    if (std::abs(exact[i] - noisy[i]) > tolerance_ * std::max(1.0, std::abs(exact[i])))
      return false;
  }
  return true;
}

/// Where the value jumps within the noise. Numbers without noise are exact in fp32 too: they may be
/// on a jump.
bool RandomGraphBuilder::is_near_jump(const Node& node) const {
  const auto holds = [&](std::initializer_list<Op> ops) {
    return std::find(ops.begin(), ops.end(), node.op) != ops.end();
  };
  const Entry& x = entry(node.operands[0]);
  if (!is_float(x.exact.type.dtype)) return false;
  const bool truncates = node.op == Op::kCast && !is_float(graph_->type(node.results[0]).dtype);
  double shift = 0.0;
  if (node.op == Op::kRound) shift = 0.5;
  if (truncates || holds({Op::kFloor, Op::kCeil, Op::kRound})) {
    for (int64_t i = 0; i < x.exact.size(); ++i) {
      const double to_jump = x.exact[i] - shift - std::round(x.exact[i] - shift);
      if (std::abs(to_jump) < 100 * noise_ && x.exact[i] != x.noisy[i]) return true;
    }
  }
  if (holds({Op::kEqual, Op::kNotEqual, Op::kLess, Op::kLessEqual, Op::kGreater,
             Op::kGreaterEqual})) {
    const Entry& y = entry(node.operands[1]);
    for (int64_t i = 0; i < x.exact.size(); ++i) {
      const bool exact = x.exact[i] == x.noisy[i] && y.exact[i] == y.noisy[i];
      if (!exact && std::abs(x.exact[i] - y.exact[i]) < 100 * noise_) return true;
    }
  }
  return false;
}

/// Where the derivative jumps within the noise: the gradient would not be comparable.
bool RandomGraphBuilder::is_near_kink(NodeId id) const {
  const Node& node = graph_->node(id);
  if (node.operands.empty()) return false;
  const Tensor& x = entry(node.operands[0]).exact;
  const auto holds = [&](std::initializer_list<Op> ops) {
    return std::find(ops.begin(), ops.end(), node.op) != ops.end();
  };
  const auto near_zero = [&](double v) { return v != 0.0 && std::abs(v) < 10 * noise_; };
  if (is_near_jump(node)) return true;
  if (holds({Op::kRelu, Op::kAbs, Op::kSign, Op::kSigmoidCrossEntropy}))
    return std::any_of(x.data.begin(), x.data.end(), near_zero);
  if (holds({Op::kMax, Op::kMin})) {
    const Tensor& y = entry(node.operands[1]).exact;
    for (int64_t i = 0; i < x.size(); ++i) {
      if (near_zero(x[i] - y[i])) return true;
    }
    return false;
  }
  return holds({Op::kReduceMax, Op::kReduceMin, Op::kMaxPool, Op::kArgmax}) &&
         has_near_ties(x, noise_);
}

/// Computes the numbers of a node's results and takes them into the pool; false when they are not
/// sane.
bool RandomGraphBuilder::evaluate(NodeId id) {
  const Node& node = graph_->node(id);
  std::vector<const Tensor*> exact;
  std::vector<const Tensor*> noisy;
  for (ValueId operand : node.operands) {
    exact.push_back(&entry(operand).exact);
    noisy.push_back(&entry(operand).noisy);
  }
  Random noise(node.results[0].index);
  const auto share = [&] { return static_cast<double>(noise.between(-64, 64)) / 64.0; };
  std::vector<Tensor> rounded;
  rounded.reserve(noisy.size());
  const RoundingNoise products = product_noise(*graph_, node);
  for (const Tensor*& operand : noisy) {
    if (products.relative == 0.0) break;
    for (double& x : rounded.emplace_back(*operand).data)
      x = moved(x, products, share());
    operand = &rounded.back();
  }
  std::vector<Tensor> results = interpret_node(*graph_, id, exact);
  std::vector<Tensor> noisy_results = interpret_node(*graph_, id, noisy);
  for (size_t i = 0; i < results.size(); ++i) {
    const bool moves_data = def(node.op).lowering == Lowering::kView ||
                            def(node.op).lowering == Lowering::kSource ||
                            !is_float(results[i].type.dtype);
    const RoundingNoise own = rounding_noise(results[i].type.dtype);
    for (double& x : noisy_results[i].data) {
      if (!moves_data) x *= 1.0 + kNoise * share();
      if (own.relative > 0.0) x = moved(x, own, share());
    }
    if (!is_sane(results[i], noisy_results[i])) return false;
  }
  if (is_near_kink(id)) return false;
  for (size_t i = 0; i < results.size(); ++i) {
    pool_.push_back(
        {builder_.wrap(node.results[i]), std::move(results[i]), std::move(noisy_results[i])});
  }
  return true;
}

std::optional<Val> RandomGraphBuilder::try_node(Op op, std::vector<Val> operands, AttrRef attrs,
                                                std::shared_ptr<Graph> body) {
  auto results = builder_.try_add(op, std::move(operands), std::move(attrs), {}, std::move(body));
  if (!results.ok()) return std::nullopt;
  const Val val = results->front();
  const NodeId node = graph_->def(val.id());
  if (val.type().num_elements() <= options_.max_elements && evaluate(node)) return val;
  graph_->erase(node);
  return std::nullopt;
}

bool RandomGraphBuilder::depends_on_inputs(ValueId value) const {
  const NodeId id = graph_->def(value);
  if (!id.valid()) return true;
  const ValueList& operands = graph_->node(id).operands;
  return std::any_of(operands.begin(), operands.end(),
                     [&](ValueId operand) { return depends_on_inputs(operand); });
}

/// A contraction, with types of its own where options ask for them. Constants keep f32: what is
/// folded is rounded, as the interpreter does not.
std::optional<Val> RandomGraphBuilder::try_product(Op op, Val a, Val b, AttrRef attrs) {
  const bool typed = options_.product_types && random_.chance(0.9) && depends_on_inputs(a.id()) &&
                     depends_on_inputs(b.id());
  if (!typed) return try_node(op, {a, b}, std::move(attrs));
  const DType multiply = random_.pick(
      std::vector<DType>{DType::kBF16, DType::kBF16, DType::kBF16, DType::kF16, DType::kF64});
  for (Val* operand : {&a, &b}) {
    const DType before = random_.chance(0.8) ? multiply : DType::kBF16;
    if (!random_.chance(0.3)) continue;
    *operand = try_node(Op::kCast, {*operand}, make_attrs(CastAttrs{before})).value_or(*operand);
  }
  const auto with_multiply = [&](auto typed_attrs) {
    typed_attrs.multiply = multiply;
    typed_attrs.result = DType::kF32;
    return make_attrs(std::move(typed_attrs));
  };
  attrs = op == Op::kMatmul ? with_multiply(attrs.as<MatmulAttrs>())
                            : with_multiply(attrs.as<ConvAttrs>());
  return try_node(op, {a, b}, std::move(attrs));
}

// ---- drawing -----------------------------------------------------------------------------------

Shape RandomGraphBuilder::random_shape(int min_rank, int max_rank) {
  static const std::vector<int64_t> kExtents = {1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 8, 9, 16, 17};
  for (;;) {
    Shape shape;
    for (int64_t rank = random_.between(min_rank, max_rank); rank > 0; --rank) {
      const bool any = options_.max_extent > 17 && random_.chance(0.6);
      shape.push_back(any ? random_.between(1, options_.max_extent) : random_.pick(kExtents));
    }
    if (shape.num_elements() <= options_.max_elements) return shape;
  }
}

/// Prefers recent values, so that graphs grow deep as well as wide.
Val RandomGraphBuilder::pick_float(int min_rank, int max_rank) {
  std::vector<Val> fitting;
  for (const Entry& e : pool_) {
    if (e.val.dtype() == DType::kF32 && e.val.rank() >= min_rank && e.val.rank() <= max_rank)
      fitting.push_back(e.val);
  }
  if (fitting.empty())
    return new_input(InputKind::kInput,
                     {DType::kF32, random_shape(min_rank, std::min(max_rank, min_rank + 2))});
  if (fitting.size() > 4 && random_.chance(0.6))
    return fitting[fitting.size() - 1 - static_cast<size_t>(random_.below(4))];
  return random_.pick(fitting);
}

Val RandomGraphBuilder::weights(TensorType type) {
  return new_input(options_.parameters ? InputKind::kParam : InputKind::kInput, type);
}

Val RandomGraphBuilder::pick_like(Val x) {
  std::vector<Val> same;
  std::vector<Val> narrower;  // a bias: the trailing axes
  for (const Entry& e : pool_) {
    if (e.val.type() == x.type()) same.push_back(e.val);
    if (e.val.dtype() == x.dtype() && e.val.rank() == 1 && x.rank() > 1 &&
        e.val.shape()[0] == x.shape().back())
      narrower.push_back(e.val);
  }
  if (!narrower.empty() && random_.chance(0.4)) {
    const auto wide = try_node(Op::kBroadcast, {random_.pick(narrower)},
                               make_attrs(BroadcastAttrs{x.shape().to_vector(), {x.rank() - 1}}));
    if (wide) return *wide;
  }
  if (same.size() > 1 && random_.chance(0.6)) return random_.pick(same);
  return random_.chance(0.4) ? new_constant(x.type()) : weights(x.type());
}

Val RandomGraphBuilder::pick_indices(const Shape& shape) {
  for (const Entry& e : pool_) {
    if (is_integer(e.val.dtype()) && e.val.shape() == shape && random_.chance(0.5)) return e.val;
  }
  return new_input(InputKind::kInput, {random_.chance(0.7) ? DType::kI32 : DType::kI64, shape});
}

Val RandomGraphBuilder::pick_bool(const Shape& shape) {
  for (const Entry& e : pool_) {
    if (e.val.dtype() == DType::kBool && e.val.shape() == shape && random_.chance(0.7))
      return e.val;
  }
  return new_input(InputKind::kInput, {DType::kBool, shape});
}

Val RandomGraphBuilder::tame(Val x) {
  const bool large = !all_elements(entry(x.id()).exact, [](double v) { return std::abs(v) < 2.0; });
  if (!large) return x;
  return try_node(Op::kTanh, {x}).value_or(x);
}

// ---- the graph ---------------------------------------------------------------------------------

void RandomGraphBuilder::add_loss() {
  std::vector<Val> sinks;
  for (const Entry& e : pool_) {
    if (e.val.dtype() == DType::kF32 && graph_->value(e.val.id()).uses.empty())
      sinks.push_back(e.val);
  }
  std::optional<Val> loss;
  for (const Val sink : sinks) {
    if (random_.chance(0.1) && sink.id() != sinks.back().id()) continue;  // dead code
    std::vector<int64_t> axes;
    for (int64_t axis = 0; axis < sink.rank(); ++axis)
      axes.push_back(axis);
    Val term = reduce_mean(tanh(sink), std::move(axes));
    loss = loss ? *loss + term : term;
  }
  if (!loss) loss = builder_.scalar(0.0);
  graph_->add_output("loss", loss->id());
}

void RandomGraphBuilder::add_updates() {
  builder_.set_phase(Phase::kUpdate);
  for (int64_t count = random_.below(3); count > 0; --count) {
    const Val value = pick_float();
    const Val target = new_input(InputKind::kState, value.type());
    pool_.pop_back();
    if (random_.chance(0.5)) {  // a moving average
      builder_.update(target, target * 0.9 + value * 0.1);
    } else {
      builder_.update(target, value);
    }
  }
  builder_.set_phase(Phase::kForward);
}

void RandomGraphBuilder::add_outputs() {
  const int64_t count = random_.between(options_.loss ? 0 : 1, 3);
  for (int64_t i = 0; i < count; ++i)
    graph_->add_output(fmt::format("value/{}", i), random_.pick(pool_).val.id());
}

std::shared_ptr<Graph> RandomGraphBuilder::run() {
  static constexpr std::array<Maker, 12> kMakers = {
      &RandomGraphBuilder::make_elementwise, &RandomGraphBuilder::make_compare,
      &RandomGraphBuilder::make_view,        &RandomGraphBuilder::make_reduce,
      &RandomGraphBuilder::make_matmul,      &RandomGraphBuilder::make_conv,
      &RandomGraphBuilder::make_pool,        &RandomGraphBuilder::make_gather,
      &RandomGraphBuilder::make_norm,        &RandomGraphBuilder::make_source,
      &RandomGraphBuilder::make_loop,        &RandomGraphBuilder::make_attention};
  std::vector<size_t> enabled;
  for (size_t i = 0; i < kMakers.size(); ++i) {
    const size_t weight = i == 0 ? 4 : i == 2 ? 2 : 1;  // as in models: mostly elementwise
    if ((options_.families & (1U << i)) != 0) enabled.insert(enabled.end(), weight, i);
  }
  GRADC_CHECK(!enabled.empty(), "no family of ops is enabled");
  new_input(InputKind::kInput, {DType::kF32, random_shape(2, 2)});
  if (random_.chance(0.5)) new_input(InputKind::kInput, {DType::kF32, random_shape(3, 4)});
  for (int i = 0; i < options_.num_nodes; ++i) {
    builder_.set_location(fmt::format("/layers/{}", i));
    (this->*kMakers[random_.pick(enabled)])();
  }
  builder_.set_location(std::string());
  add_outputs();
  if (options_.loss) add_loss();
  if (options_.parameters) add_updates();
  return graph_;
}

std::shared_ptr<Graph> random_graph(uint64_t seed, const RandomGraphOptions& options) {
  return RandomGraphBuilder(seed, options).run();
}

}  // namespace gradc::testing
