#include "tests/support/noise.h"

#include "ir/contraction_types.h"
#include "ir/expand.h"
#include "ir/op.h"
#include "support/check.h"
#include "tests/support/random_graph_builder.h"
#include "tests/support/tensor_near.h"
#include "tests/support/unroll.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace gradc::testing {

namespace {

std::string output_key(const Graph& graph, size_t index) {
  const std::string& name = graph.outputs()[index].name;
  return name.empty() ? fmt::format("output {}", index) : "output " + name;
}

/// Ops whose results are exact in any float format when their operands are.
bool is_exact(Op op) {
  switch (def(op).lowering) {
    case Lowering::kView:
    case Lowering::kSource:
      return true;
    case Lowering::kReduce:
      return op != Op::kReduceSum && op != Op::kReduceProd;
    case Lowering::kPool:
      return op == Op::kMaxPool || op == Op::kMaxPoolTake;
    case Lowering::kGather:
      return op == Op::kGather;
    case Lowering::kScalar: {
      static constexpr Op kExact[] = {Op::kNeg,  Op::kAbs,   Op::kSign,  Op::kRelu,
                                      Op::kMax,  Op::kMin,   Op::kCast,  Op::kFloor,
                                      Op::kCeil, Op::kRound, Op::kSelect};
      return std::find(std::begin(kExact), std::end(kExact), op) != std::end(kExact);
    }
    case Lowering::kMatmul:
    case Lowering::kConv:
    case Lowering::kAttention:
    case Lowering::kStructure:
    case Lowering::kComposite:
      return false;
  }
  GRADC_UNREACHABLE();
}

bool sums(Op op) {
  return op == Op::kReduceSum || op == Op::kAvgPool || op == Op::kAvgPoolGrad ||
         op == Op::kScatterAdd || def(op).lowering == Lowering::kMatmul ||
         def(op).lowering == Lowering::kConv || def(op).lowering == Lowering::kAttention;
}

}  // namespace

RoundingNoise rounding_noise(DType dtype) {
  constexpr double kTimes = 4.0;
  if (dtype == DType::kBF16) return {kTimes * 0x1p-9, 0.0};
  if (dtype == DType::kF16) return {kTimes * 0x1p-12, kTimes * 0x1p-25};
  return {};
}

RoundingNoise product_noise(const Graph& graph, const Node& node) {
  const Lowering lowering = def(node.op).lowering;
  const bool contracts = lowering == Lowering::kMatmul || lowering == Lowering::kConv;
  return contracts ? rounding_noise(contraction_types(graph, node).multiply) : RoundingNoise{};
}

double moved(double x, const RoundingNoise& noise, double r) {
  if (x == 0.0 || !std::isfinite(x)) return x;  // scores that a mask hides are infinite
  return x + r * std::max(noise.relative * std::abs(x), noise.least);
}

namespace {

class NoisyRun {
 public:
  NoisyRun(const Graph& graph, double relative, uint64_t seed, Noise noise)
      : graph_(graph),
        relative_(relative),
        random_(seed),
        noise_(noise),
        values_(graph.value_capacity()) {}

  NamedNumbers run(std::span<const Tensor> inputs) {
    for (size_t i = 0; i < inputs.size(); ++i)
      values_[graph_.inputs()[i].value.index] = inputs[i];
    InterpretResult result;
    for (const NodeId id : graph_.nodes()) {
      const Node& node = graph_.node(id);
      if (node.op == Op::kUpdate) {
        result.updates.emplace_back(graph_.input_of(node.operands[0]).name,
                                    values_[node.operands[1].index]);
      } else {
        eval(id, node);
      }
    }
    for (const GraphOutput& output : graph_.outputs())
      result.outputs.push_back(values_[output.value.index]);
    return named_numbers(graph_, std::move(result));
  }

 private:
  void disturb(Tensor& tensor, const RoundingNoise& noise) {
    if (!is_float(tensor.type.dtype)) return;
    const uint64_t key = noise_ == Noise::kOfTheNumber ? random_.bits() : 0;
    for (double& x : tensor.data) {
      Random own(key ^ std::bit_cast<uint64_t>(x));
      Random& random = noise_ == Noise::kOfTheNumber ? own : random_;
      x = moved(x, noise, static_cast<double>(random.between(-1024, 1024)) / 1024.0);
    }
  }

  /// f32's noise where a type has none of its own.
  RoundingNoise at_least(RoundingNoise noise, double steps = 1.0) const {
    noise.relative = std::max(noise.relative, steps * relative_);
    return noise;
  }

  /// scatter_add adds one after the other, so equal updates round the same way each time:
  /// `relative` is 8 roundings of fp32.
  double steps_of(const Node& node, const Tensor& result) const {
    if (node.op != Op::kScatterAdd) return 1.0;
    const auto updates = static_cast<double>(graph_.type(node.operands[1]).num_elements());
    return 1.0 + updates / static_cast<double>(result.size()) / 8.0;
  }

  void eval(NodeId id, const Node& node) {
    std::vector<Tensor> copies;
    std::vector<const Tensor*> operands;
    const RoundingNoise products = product_noise(graph_, node);
    copies.reserve(node.operands.size());
    for (const ValueId operand : node.operands) {
      operands.push_back(&values_[operand.index]);
      if (!sums(node.op)) continue;
      disturb(copies.emplace_back(values_[operand.index]), at_least(products));
      operands.back() = &copies.back();
    }
    std::vector<Tensor> results = interpret_node(graph_, id, operands);
    for (size_t i = 0; i < results.size(); ++i) {
      const RoundingNoise own = rounding_noise(results[i].type.dtype);
      if (!is_exact(node.op)) {
        disturb(results[i], at_least(own, steps_of(node, results[i])));
      } else if (node.op == Op::kCast) {
        disturb(results[i], own);
      }
      values_[node.results[i].index] = std::move(results[i]);
    }
  }

  const Graph& graph_;
  double relative_;
  Random random_;
  Noise noise_;
  std::vector<Tensor> values_;
};

bool used_up(const std::string& name) {
  return name.starts_with("output gradient/") || name.starts_with("output optimizer/");
}

}  // namespace

NamedNumbers named_numbers(const Graph& graph, InterpretResult result) {
  NamedNumbers numbers;
  for (size_t i = 0; i < result.outputs.size(); ++i)
    numbers[output_key(graph, i)] = std::move(result.outputs[i]);
  for (auto& [name, value] : result.updates)
    numbers["update of " + name] = std::move(value);
  return numbers;
}

void expand_steps(Graph& graph) {
  for (const NodeId id : graph.nodes()) {
    if (graph.node(id).op == Op::kOptimizerStep) expand_node(graph, id);
  }
}

NamedNumbers interpret_with_noise(const Graph& graph, std::span<const Tensor> inputs,
                                  double relative, uint64_t seed, Noise noise) {
  return NoisyRun(graph, relative, seed, noise).run(inputs);
}

std::map<std::string, Bound> bounds_of(const Graph& primitives, std::span<const Tensor> inputs,
                                       const NamedNumbers& exact, double relative, uint64_t seed) {
  const auto flat = primitives.clone();
  unroll_loops(*flat);  // every step of a loop rounds
  std::map<std::string, Bound> bounds;
  for (const auto& [name, tensor] : exact) {
    for (const double x : tensor.data)
      bounds[name].magnitude = std::max(bounds[name].magnitude, std::abs(x));
  }
  // The sign of a sum that is nearly 0 hangs on one rounding: few runs meet it.
  bool decides = false;
  for (const NodeId id : flat->nodes())
    decides = decides || flat->node(id).op == Op::kSign;
  const uint64_t runs = decides ? 64 : 4;
  for (uint64_t run = 1; run <= runs; ++run) {
    const NamedNumbers noisy =
        interpret_with_noise(*flat, inputs, relative, seed * 2 + (run + 1) / 2,
                             run % 2 == 0 ? Noise::kOfTheNumber : Noise::kOfTheElement);
    for (const auto& [name, tensor] : exact) {
      for (int64_t i = 0; i < tensor.size(); ++i)
        bounds[name].noise = std::max(bounds[name].noise, std::abs(noisy.at(name)[i] - tensor[i]));
    }
  }
  return bounds;
}

std::string difference_beyond(const NamedNumbers& actual, const NamedNumbers& expected,
                              const std::map<std::string, Bound>& bounds, double by_magnitude,
                              double by_noise) {
  for (const auto& [name, value] : expected) {
    const auto found = actual.find(name);
    if (found == actual.end()) {
      if (used_up(name)) continue;
      return name + " is gone";
    }
    const auto bound = bounds.find(name);
    const Bound b = bound == bounds.end() ? Bound{} : bound->second;
    const Tolerance tolerance{0.0, by_magnitude * b.magnitude + by_noise * b.noise + 1e-30};
    const std::string difference = tensor_difference(found->second, value, tolerance);
    if (!difference.empty())
      return fmt::format("{}: {} (at most {:.3g} is allowed)", name, difference,
                         tolerance.absolute);
  }
  return {};
}

}  // namespace gradc::testing
