// Gradients of every op, from its samples, against central differences in double: one random
// direction per operand, first and second derivatives. A gradient that is zero everywhere fails,
// unless the entry says that it is.
#include "ir/differentiate.h"
#include "ir/interpreter.h"
#include "ir/op.h"
#include "ir/verifier.h"
#include "tests/support/op_samples.h"

#include <gtest/gtest.h>

namespace gradc {
namespace {

using test::SampleGraph;

constexpr double kStep = 1e-5;
constexpr double kTolerance = 1e-6;

std::vector<Tensor> random_like(std::span<const TensorType> types, uint64_t seed) {
  test::Draw draw(seed);
  std::vector<Tensor> tensors;
  for (const TensorType& type : types) {
    Tensor& t = tensors.emplace_back(type);
    for (double& x : t.data)
      x = is_float(type.dtype) ? draw.uniform(-1.0, 1.0) : 0.0;
  }
  return tensors;
}

double dot(const Tensor& a, const Tensor& b) {
  return std::inner_product(a.data.begin(), a.data.end(), b.data.begin(), 0.0);
}

// A graph as a function of its inputs; weighted() is the sum over outputs of <random, output>.
class Checked {
 public:
  Checked(const OpDef& op, const Sample& s) {
    SampleGraph sample(s);
    graph_ = sample.graph;
    for (const Val& v : sample.builder.add_multi(op.op, sample.operands, test::sample_attrs(op, s),
                                                 "", test::sample_body(s))) {
      if (is_float(v.dtype())) graph_->add_output("", v.id());
    }
    for (size_t i = 0; i < s.operands.size(); ++i) {
      if (is_float(s.operands[i].dtype)) wrt_.push_back(i);
    }
  }

  bool differentiable() const { return !graph_->outputs().empty() && !wrt_.empty(); }
  const std::vector<size_t>& wrt() const { return wrt_; }

  /// The gradients of weighted(.., seed) by each float operand; zero where it does not depend on
  /// it.
  Result<Checked> derivative(uint64_t seed) const {
    Checked result = *this;
    result.graph_ = graph_->clone();
    Graph& graph = *result.graph_;
    Builder builder(graph);
    std::vector<ValueId> outputs;
    std::vector<ValueId> seeds;
    for (const GraphOutput& output : graph.outputs())
      outputs.push_back(output.value);
    for (Tensor& w : random_like(output_types(), seed))
      seeds.push_back(builder.constant(w.type, std::move(w.data)).id());
    std::vector<ValueId> operands;
    for (size_t i : wrt_)
      operands.push_back(graph.inputs()[i].value);
    GRADC_TRY(const std::vector<ValueId> gradients,
              add_gradients(graph, outputs, seeds, operands, ""));
    while (!graph.outputs().empty())
      graph.remove_output(0);
    for (size_t i = 0; i < operands.size(); ++i) {
      const TensorType type = graph.type(operands[i]);
      graph.add_output("", gradients[i].valid() ? gradients[i] : builder.splat(0.0, type).id());
    }
    if (auto violations = verify(graph); !violations.empty()) return Failure(violations);
    return result;
  }

  std::vector<Tensor> evaluate(std::span<const Tensor> inputs) const {
    auto result = interpret(*graph_, inputs);
    EXPECT_TRUE(result.ok()) << result.message();
    return result.ok() ? result.take().outputs : std::vector<Tensor>();
  }

  double weighted(std::span<const Tensor> inputs, uint64_t seed) const {
    const std::vector<Tensor> results = evaluate(inputs);
    const std::vector<Tensor> weights = random_like(output_types(), seed);
    double sum = 0.0;
    for (size_t i = 0; i < results.size(); ++i)
      sum += dot(results[i], weights[i]);
    return sum;
  }

 private:
  std::vector<TensorType> output_types() const {
    std::vector<TensorType> types;
    for (const GraphOutput& output : graph_->outputs())
      types.push_back(graph_->type(output.value));
    return types;
  }

  std::shared_ptr<Graph> graph_;
  std::vector<size_t> wrt_;
};

// The derivative of f.weighted() in a random direction of operand `k`, by differences.
double central_difference(const Checked& f, std::vector<Tensor> inputs, size_t k,
                          const Tensor& direction, uint64_t weight_seed) {
  const std::vector<double> center = inputs[k].data;
  double ends[2];
  for (int side = 0; side < 2; ++side) {
    const double h = side == 0 ? kStep : -kStep;
    for (size_t i = 0; i < center.size(); ++i)
      inputs[k].data[i] = center[i] + h * direction.data[i];
    ends[side] = f.weighted(inputs, weight_seed);
  }
  return (ends[0] - ends[1]) / (2.0 * kStep);
}

// Compares `gradient` (its outputs are the gradients of f) with differences of f. Returns the
// largest derivative seen.
double compare(const Checked& f, const Checked& gradient, const std::vector<Tensor>& inputs,
               uint64_t weight_seed) {
  const std::vector<Tensor> analytic = gradient.evaluate(inputs);
  double largest = 0.0;
  for (size_t i = 0; i < f.wrt().size(); ++i) {
    const size_t k = f.wrt()[i];
    const std::vector<TensorType> type = {inputs[k].type};
    const Tensor direction = random_like(type, 100 + k)[0];
    const double numeric = central_difference(f, inputs, k, direction, weight_seed);
    const double computed = dot(analytic[i], direction);
    EXPECT_TRUE(test::near(numeric, computed, kTolerance))
        << "operand " << k << ": differences give " << numeric << ", the gradient " << computed;
    largest = std::max(largest, std::fabs(numeric));
  }
  return largest;
}

class GradientCheck : public testing::TestWithParam<const OpDef*> {};

TEST_P(GradientCheck, FirstAndSecondDerivatives) {
  const OpDef& op = *GetParam();
  const std::vector<Sample> samples = op.samples();
  int checked = 0;
  double largest_first = 0.0;
  double largest_second = 0.0;
  for (size_t i = 0; i < samples.size(); ++i) {
    SCOPED_TRACE(test::sample_name(op, i));
    const std::vector<Tensor> inputs = test::draw_operands(samples[i], 40 + i);
    const Checked f(op, samples[i]);
    if (!f.differentiable()) continue;
    ++checked;
    const Result<Checked> first = f.derivative(1);
    ASSERT_TRUE(first.ok()) << first.message();
    largest_first = std::max(largest_first, compare(f, *first, inputs, 1));
    const Result<Checked> second = first->derivative(2);
    ASSERT_TRUE(second.ok()) << second.message();
    largest_second = std::max(largest_second, compare(*first, *second, inputs, 2));
  }
  EXPECT_GT(checked, 0) << "no sample with float operands and results";
  if (op.has(kTraitPiecewiseConstant)) {
    EXPECT_EQ(largest_first, 0.0);
  } else {
    EXPECT_GT(largest_first, 1e-3) << "all gradients are zero";
  }
  if (op.has(kTraitSmooth)) {
    EXPECT_GT(largest_second, 1e-3) << "all second derivatives are zero";
  }
}

std::vector<const OpDef*> differentiable_ops() {
  std::vector<const OpDef*> ops;
  for (const OpDef* op : all_ops()) {
    if (op->no_grad.empty()) ops.push_back(op);
  }
  return ops;
}

INSTANTIATE_TEST_SUITE_P(Ops, GradientCheck, testing::ValuesIn(differentiable_ops()),
                         [](const auto& test) { return std::string(test.param->name); });

// An op may lack a gradient only where none could exist: integers, structure, optimizer steps.
TEST(GradientCheck, EveryRefusalIsAboutSomethingThatHasNoGradient) {
  for (const OpDef* op : all_ops()) {
    if (op->no_grad.empty() || op->name.ends_with("_step") || op->lowering == Lowering::kStructure)
      continue;
    for (const Sample& s : op->samples()) {
      const auto results = infer_types(op->op, s.operands, test::sample_attrs(*op, s));
      ASSERT_TRUE(results.ok()) << op->name << ": " << results.message();
      const auto is_real = [](const TensorType& type) { return is_float(type.dtype); };
      EXPECT_FALSE(std::any_of(s.operands.begin(), s.operands.end(), is_real) &&
                   std::any_of(results->begin(), results->end(), is_real))
          << op->name;
    }
  }
}

}  // namespace
}  // namespace gradc
