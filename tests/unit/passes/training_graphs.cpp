#include "training_graphs.h"

#include "ir/interpreter.h"
#include "ir/op_attrs.h"
#include "ir/step_rule.h"
#include "ir/verifier.h"
#include "passes/passes.h"

#include <cmath>
#include <map>
#include <random>

namespace gradc::test {
namespace {

void must(const Result<bool>& result) {
  GRADC_CHECK(result.ok(), "{}", result.message());
}

/// Collects a model's parameters while it is built; finish() makes the training step of it.
class Maker {
 public:
  explicit Maker(const std::string& name) : graph_(std::make_shared<Graph>(name)), b_(*graph_) {}

  Builder& builder() { return b_; }
  Val input(const TensorType& type, const std::string& name) {
    return b_.input(InputKind::kInput, type, "input/" + name, name);
  }
  Val param(const TensorType& type, const std::string& name) {
    b_.set_location("/layers/" + name);
    return b_.input(InputKind::kParam, type, name, name);
  }
  Val dense(Val x, int64_t units, const std::string& name) {
    const Val w = param(f32({x.shape().back(), units}), name + "/kernel");
    const Val bias = param(f32({units}), name + "/bias");
    const Val y = matmul(x, w);
    return y + broadcast_to(bias, y.shape());
  }
  Val conv(Val x, int64_t channels, int64_t window, const std::string& name) {
    const Val w = param(f32({window, window, x.shape().back(), channels}), name + "/kernel");
    const Val bias = param(f32({channels}), name + "/bias");
    const Val y =
        b_.add(Op::kConv, {x, w}, make_attrs(ConvAttrs{{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1, {}}));
    return y + broadcast_to(bias, y.shape());
  }
  void loss(Val per_example) {
    std::vector<int64_t> axes;
    for (int axis = 0; axis < per_example.rank(); ++axis)
      axes.push_back(axis);
    graph_->add_output("loss", reduce_mean(per_example, axes).id());
  }

  std::shared_ptr<Graph> finish(Step step) {
    PassContext context;
    must(passes::differentiate(*graph_, context));
    if (step != Step::kNone) add_steps(step);
    must(passes::expand_composites(*graph_, context));
    must(passes::cse(*graph_, context));
    must(passes::dce(*graph_, context));
    GRADC_CHECK(verify(*graph_).empty(), "{} does not verify", graph_->name());
    return graph_;
  }

 private:
  void add_steps(Step step) {
    b_.set_phase(Phase::kUpdate);
    b_.set_location("/training/optimizer");
    std::vector<std::pair<std::string, Val>> gradients;
    for (size_t i = graph_->outputs().size(); i-- > 0;) {
      const GraphOutput output = graph_->outputs()[i];
      if (!output.name.starts_with("gradient/")) continue;
      gradients.emplace(gradients.begin(), output.name.substr(9), b_.wrap(output.value));
      graph_->remove_output(i);
    }
    Val iteration = b_.wrap(graph_->find_input("optimizer/iteration").value_or(ValueId()));
    if (!iteration.id().valid())
      iteration =
          b_.input(InputKind::kState, {DType::kI64, {}}, "optimizer/iteration", "iteration");
    const Val next = iteration + b_.scalar(1.0, DType::kI64);
    const Val t = cast(next, DType::kF32);
    const Val rate = 0.01 * sqrt(1.0 - pow(b_.scalar(0.999), t)) / (1.0 - pow(b_.scalar(0.9), t));
    if (step == Step::kClippedAdam) clip(gradients);
    for (auto& [name, gradient] : gradients)
      add_step(step, name, gradient, rate);
    b_.update(iteration, next);
  }

  static void clip(std::vector<std::pair<std::string, Val>>& gradients) {
    Val sum;
    for (auto& [name, g] : gradients) {
      std::vector<int64_t> axes;
      for (int axis = 0; axis < g.rank(); ++axis)
        axes.push_back(axis);
      const Val part = reduce_sum(g * g, axes);
      sum = sum.valid() ? sum + part : part;
    }
    const Val scale = minimum(1.0 / sqrt(sum), 1.0);
    for (auto& [name, g] : gradients)
      g = g * broadcast_to(scale, g.shape());
  }

  void add_step(Step step, const std::string& name, Val gradient, Val rate) {
    const Val w = b_.wrap(graph_->find_input(name).value());
    const auto slot = [&](const std::string& slot_name) {
      return b_.input(InputKind::kState, w.type(), "optimizer/" + name + "/" + slot_name,
                      name + "." + slot_name);
    };
    const auto results = [&](std::string_view rule, std::vector<Val> operands) {
      return b_.add_multi(Op::kOptimizerStep, std::move(operands), make_attrs(StepAttrs(rule)));
    };
    if (step == Step::kSgd) {
      b_.update(w, results("sgd", {w, gradient, rate})[0]);
      return;
    }
    const Val momentum = slot("momentum");
    if (step == Step::kMomentum) {
      const std::vector<Val> moved = results("momentum", {w, gradient, momentum, rate});
      b_.update(w, moved[0]);
      b_.update(momentum, moved[1]);
      return;
    }
    const Val velocity = slot("velocity");
    const std::vector<Val> moved = results("adam", {w, gradient, momentum, velocity, rate});
    b_.update(w, moved[0]);
    b_.update(momentum, moved[1]);
    b_.update(velocity, moved[2]);
  }

  std::shared_ptr<Graph> graph_;
  Builder b_;
};

Val sparse_cross_entropy(Builder& b, Val logits, Val labels) {
  return b.add(Op::kSparseSoftmaxCrossEntropy, {logits, labels});
}

}  // namespace

std::shared_ptr<Graph> mlp_step(std::vector<int64_t> sizes, int64_t batch, Step step) {
  Maker m("mlp");
  Val h = m.input(f32({batch, sizes.front()}), "image");
  const Val labels = m.input({DType::kI32, {batch}}, "labels");
  for (size_t i = 1; i < sizes.size(); ++i) {
    h = m.dense(h, sizes[i], "dense_" + std::to_string(i));
    if (i + 1 < sizes.size()) h = relu(h);
  }
  m.loss(sparse_cross_entropy(m.builder(), h, labels));
  const Val hits = cast(equal(argmax(h, 1), labels), DType::kF32);
  m.builder().graph().add_output("metric/accuracy", reduce_mean(hits, {0}).id());
  return m.finish(step);
}

std::shared_ptr<Graph> conv_step(int64_t batch, Step step) {
  Maker m("conv");
  const Val image = m.input(f32({batch, 12, 12, 1}), "image");
  const Val labels = m.input({DType::kI32, {batch}}, "labels");
  const AttrRef pool = make_attrs(PoolAttrs{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {}});
  Val h = relu(m.conv(image, 4, 3, "conv_1"));
  h = m.builder().add(Op::kMaxPool, {h}, pool);
  h = relu(m.conv(h, 6, 2, "conv_2"));
  h = m.builder().add(Op::kAvgPool, {h}, pool);
  h = reshape(h, {batch, 2 * 2 * 6});
  h = relu(m.dense(h, 8, "dense_1"));
  const Val logits = m.dense(h, 5, "logits");
  m.loss(sparse_cross_entropy(m.builder(), logits, labels));
  m.builder().graph().add_output("output/logits", logits.id());
  return m.finish(step);
}

std::shared_ptr<Graph> mixed_step(int64_t batch, Step step) {
  Maker m("mixed");
  Builder& b = m.builder();
  const Val x = m.input(f32({batch, 6}), "x");
  const Val y = m.input(f32({batch, 3}), "y");
  const Val seed = m.input({DType::kI64, {}}, "seed");
  const Val iteration =
      b.input(InputKind::kState, {DType::kI64, {}}, "optimizer/iteration", "iteration");
  Val h = m.dense(x, 8, "dense_1");
  // Batch normalisation by the batch's statistics, with a moving mean.
  const Val mean = reduce_mean(h, {0});
  const Val centred = h - broadcast_to(mean, h.shape());
  const Val variance = reduce_mean(centred * centred, {0});
  const Val scale = m.param(f32({8}), "norm/gamma") / sqrt(variance + 1e-3);
  h = centred * broadcast_to(scale, h.shape()) +
      broadcast_to(m.param(f32({8}), "norm/beta"), h.shape());
  h = tanh(h);
  const Val keep =
      b.add(Op::kBernoulli, {seed, iteration}, make_attrs(BernoulliAttrs{{batch, 8}, 3, 0.75}));
  const Val dropped = h * keep * (1.0 / 0.75);
  const Val normed =
      b.add(Op::kLayerNorm, {dropped, m.param(f32({8}), "ln/gamma"), m.param(f32({8}), "ln/beta")},
            make_attrs(LayerNormAttrs{}));
  const Val out = m.dense(normed + h, 3, "dense_2");
  const Val error = out - y;
  m.loss(error * error);
  if (step != Step::kNone) {
    const Val moving = b.input(InputKind::kState, f32({8}), "norm/moving_mean", "moving");
    b.set_phase(Phase::kUpdate);
    b.update(moving, moving * 0.9 + mean * 0.1);
    b.set_phase(Phase::kForward);
  }
  return m.finish(step);
}

std::shared_ptr<Graph> embedding_step(int64_t batch, Step step) {
  Maker m("embedding");
  const Val tokens = m.input({DType::kI32, {batch, 4}}, "tokens");
  const Val targets = m.input({DType::kI32, {batch, 4}}, "targets");
  const Val table = m.param(f32({7, 6}), "embedding/table");
  Val h = m.builder().add(Op::kGather, {table, tokens});
  h = reshape(h, {batch * 4, 6});
  h = m.dense(h, 10, "dense_1");
  h = m.builder().add(Op::kGelu, {reshape(h, {batch, 4, 10})});
  h = m.dense(reshape(h, {batch * 4, 10}), 7, "dense_2");
  m.loss(sparse_cross_entropy(m.builder(), reshape(h, {batch, 4, 7}), targets));
  return m.finish(step);
}

std::vector<std::shared_ptr<Graph>> all_training_graphs() {
  std::vector<std::shared_ptr<Graph>> graphs;
  for (const Step step :
       {Step::kNone, Step::kSgd, Step::kMomentum, Step::kAdam, Step::kClippedAdam}) {
    graphs.push_back(mlp_step({9, 6, 5, 4}, 3, step));
    graphs.push_back(conv_step(2, step));
    graphs.push_back(mixed_step(4, step));
    graphs.push_back(embedding_step(3, step));
  }
  return graphs;
}

namespace {

/// Grows a graph node by node from the values so far.
class RandomMaker {
 public:
  RandomMaker(uint64_t seed, const std::shared_ptr<Graph>& graph) : random_(seed), b_(*graph) {}

  void run(int num_nodes) {
    for (int i = 0; i < 3; ++i)
      values_.push_back(b_.input(InputKind::kInput, f32({4, 6}), "x" + std::to_string(i), "x"));
    values_.push_back(b_.input(InputKind::kInput, f32({6}), "row", "row"));
    const Val w = b_.input(InputKind::kParam, f32({4, 6}), "w", "w");
    const Val v = b_.input(InputKind::kState, f32({6}), "v", "v");
    values_.push_back(w);
    values_.push_back(v);
    for (int i = 0; i < num_nodes; ++i) {
      if (i == num_nodes / 2) b_.set_phase(Phase::kBackward);
      values_.push_back(next());
    }
    b_.graph().add_output("a", values_.back().id());
    b_.graph().add_output("b", pick().id());
    b_.graph().add_output("c", pick().id());
    b_.set_phase(Phase::kUpdate);
    update(w);
    update(v);
  }

 private:
  size_t below(size_t limit) { return random_() % limit; }
  /// Recent values are more likely.
  Val pick() {
    const size_t n = values_.size();
    return below(3) == 0 ? values_[below(n)] : values_[n - 1 - below(std::min<size_t>(n, 5))];
  }
  Val pick_like(const TensorType& type) {
    for (int i = 0; i < 30; ++i) {
      const Val v = pick();
      if (v.type() == type) return v;
    }
    return b_.splat(0.5, type);
  }
  void update(Val target) {
    for (int i = 0; i < 60; ++i) {
      const Val v = pick();
      if (v.type() != target.type()) continue;
      b_.update(target, v);
      return;
    }
  }

  Val next() {
    const Val x = pick();
    const Shape& shape = x.shape();
    const int last = x.rank() - 1;
    switch (below(16)) {
      case 0:
        return tanh(x);
      case 1:
        return x + pick_like(x.type());
      case 2:
        return x * pick_like(x.type());
      case 3:
        return select(greater(x, 0.1), x, pick_like(x.type()));
      case 4:
        return x.rank() > 0 ? reduce_sum(x, {last}) : sigmoid(x);
      case 5:
        return x.rank() > 1 ? reduce_max(x, {0}) : x * 2.0;
      case 6:
        return x.rank() > 0 && shape[0] * shape[last] <= 64 ? repeated(x) : x - 0.5;
      case 7:
        return reshape(x, {x.type().num_elements()});
      case 8:
        return x.rank() == 2 ? transpose(x, {1, 0}) : relu(x);
      case 9:
        return x.rank() == 2 ? matmul(x, x, false, true) : exp(-(x * x));
      case 10:
        return x.rank() == 2 ? x - broadcast(reduce_max(x, {1}), shape, {0}) : abs(x);
      case 11:
        return x.rank() == 2 && shape[0] == 4 && shape[1] == 6
                   ? matmul(x, pick_like(x.type()), true)
                   : -x;
      case 12:
        return x.rank() == 2 ? b_.add(Op::kSoftmax, {x}, make_attrs(AxisAttrs{1})) : x / 3.0;
      case 13:
        return x.rank() == 1 && shape[0] > 2 ? slice(x, {1}, {shape[0]}) : tanh(x * 0.5);
      case 14:
        return x.rank() == 2 && shape[0] <= 8 ? concat({x, pick_like(x.type())}, 0) : x + 1.0;
      default:
        return x.rank() == 2 ? reduce_mean(x, {0, 1}) : maximum(x, -0.5);
    }
  }

  /// Repeats along a new leading or trailing axis.
  Val repeated(Val x) {
    if (x.rank() != 1) return x + 0.25;
    if (below(2) == 0) return broadcast(x, {4, x.shape()[0]}, {1});
    return broadcast(x, {x.shape()[0], 6}, {0});
  }

  std::mt19937_64 random_;
  Builder b_;
  std::vector<Val> values_;
};

}  // namespace

std::shared_ptr<Graph> random_graph(uint64_t seed, int num_nodes) {
  auto graph = std::make_shared<Graph>("random");
  RandomMaker(seed, graph).run(num_nodes);
  PassContext context;
  must(passes::expand_composites(*graph, context));
  must(passes::cse(*graph, context));
  must(passes::dce(*graph, context));
  return graph;
}

std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Tensor> result;
  for (const GraphInput& input : graph.inputs()) {
    Tensor& t = result.emplace_back(graph.type(input.value));
    // Squared gradients are kept in "velocity", which is never negative.
    const bool positive = input.name.ends_with("velocity");
    for (double& x : t.data) {
      const double u = static_cast<double>(random() >> 11U) / 9007199254740992.0;
      x = is_float(t.type.dtype) ? (positive ? 0.1 + u : 2 * u - 1) : std::floor(u * 4);
    }
  }
  return result;
}

namespace {

std::string compare(const std::string& name, const Tensor& a, const Tensor& b) {
  if (a.type != b.type)
    return fmt::format("{}: {} and {}", name, to_string(a.type), to_string(b.type));
  for (int64_t i = 0; i < a.size(); ++i) {
    const bool both_nan = std::isnan(a[i]) && std::isnan(b[i]);
    if (both_nan || std::abs(a[i] - b[i]) <= 1e-9 * (1 + std::abs(a[i]))) continue;
    return fmt::format("{}[{}]: {} and {}", name, i, a[i], b[i]);
  }
  return {};
}

}  // namespace

std::string difference(const Graph& a, const Graph& b, uint64_t seed) {
  const std::vector<Tensor> inputs = random_inputs(a, seed);
  const auto left = interpret(a, inputs);
  const auto right = interpret(b, inputs);
  if (!left.ok() || !right.ok()) return "does not run: " + left.message() + right.message();
  if (left->outputs.size() != right->outputs.size()) return "different numbers of outputs";
  for (size_t i = 0; i < left->outputs.size(); ++i) {
    if (a.outputs()[i].name != b.outputs()[i].name) return "outputs are named differently";
    const std::string wrong = compare(a.outputs()[i].name, left->outputs[i], right->outputs[i]);
    if (!wrong.empty()) return wrong;
  }
  std::map<std::string, Tensor> updates(left->updates.begin(), left->updates.end());
  if (updates.size() != right->updates.size()) return "different numbers of updates";
  for (const auto& [name, value] : right->updates) {
    if (!updates.contains(name)) return "an update of " + name + " was not there";
    const std::string wrong = compare(name, updates.at(name), value);
    if (!wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace gradc::test
