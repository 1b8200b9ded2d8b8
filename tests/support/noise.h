// How far rounding may move the results of a graph: bounds for comparing fp32 code with the double
// interpreter that are neither guessed nor the same for a sum of ten numbers and a second
// derivative.
#pragma once

#include "ir/graph.h"
#include "ir/interpreter.h"
#include "ir/tensor.h"

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace gradc::testing {

/// Outputs ("output <name>", or its position) and updates ("update of <name>") of a run.
using NamedNumbers = std::map<std::string, Tensor>;
NamedNumbers named_numbers(const Graph& graph, InterpretResult result);

/// Rounding is a function of the number: equal ones move alike, and their sum with them. The order
/// of a sum is not: there equal ones move apart.
enum class Noise : uint8_t { kOfTheElement, kOfTheNumber };

/// Steps of an optimizer, which expand_composites leaves whole, as their formulas: their rounding
/// is that of the formulas' ops.
void expand_steps(Graph& graph);

/// Runs a graph of primitives as the interpreter does, but multiplies every number an op rounds by
/// 1 + relative * r, r uniform in [-1, 1]. Sums get noise on their terms too, so cancellation
/// shows. What is rounded to a short float, as operands of a contraction may be, is moved by its
/// rounding_noise.
NamedNumbers interpret_with_noise(const Graph& graph, std::span<const Tensor> inputs,
                                  double relative, uint64_t seed, Noise noise);

/// The relative noise that stands for rounding once to a type, and the absolute one below which its
/// numbers are no closer: some times what a rounding is, so that few runs show what it may do. For
/// f32 and f64 both are 0.
struct RoundingNoise {
  double relative = 0.0;
  double least = 0.0;
};
RoundingNoise rounding_noise(DType dtype);
/// What a contraction does to its operands, if the node is one.
RoundingNoise product_noise(const Graph& graph, const Node& node);
/// x moved by the noise times r, from [-1, 1].
double moved(double x, const RoundingNoise& noise, double r);

/// What may be off in each result, as one number per tensor.
struct Bound {
  double magnitude = 0.0;  ///< of the largest element
  double noise = 0.0;      ///< the largest move of an element in four noisy runs
};
std::map<std::string, Bound> bounds_of(const Graph& primitives, std::span<const Tensor> inputs,
                                       const NamedNumbers& exact, double relative, uint64_t seed);

/// Empty when every number of `expected` is in `actual` and differs by at most
/// by_magnitude * magnitude + by_noise * noise; else says what differs. Outputs that an optimizer
/// uses up may be gone.
std::string difference_beyond(const NamedNumbers& actual, const NamedNumbers& expected,
                              const std::map<std::string, Bound>& bounds, double by_magnitude,
                              double by_noise);

}  // namespace gradc::testing
