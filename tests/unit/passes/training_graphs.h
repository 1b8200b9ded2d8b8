// Training steps as graphs of primitives, for the tests of fusion, scheduling and planning: forward
// made with the builder, gradients by differentiate, optimizer steps, composites expanded.
#pragma once

#include "ir/builder.h"
#include "ir/graph.h"
#include "ir/op.h"
#include "ir/tensor.h"

#include <memory>
#include <string>
#include <vector>

namespace gradc::test {

enum class Step : uint8_t { kNone, kSgd, kMomentum, kAdam, kClippedAdam };

/// dense layers with relu between them, sparse softmax cross-entropy, accuracy.
std::shared_ptr<Graph> mlp_step(std::vector<int64_t> sizes, int64_t batch, Step step);
/// conv relu pool, conv relu pool, flatten, dense; a LeNet in small.
std::shared_ptr<Graph> conv_step(int64_t batch, Step step);
/// batch_norm, tanh, dropout, layer_norm, a residual and mean squared error; sequence input.
std::shared_ptr<Graph> mixed_step(int64_t batch, Step step);
/// An embedding, dense on a sequence through reshapes, softmax over the last axis.
std::shared_ptr<Graph> embedding_step(int64_t batch, Step step);
/// All of them, small, with every kind of step.
std::vector<std::shared_ptr<Graph>> all_training_graphs();
/// A random graph of views, elementwise ops, reductions and contractions, with a few updates.
std::shared_ptr<Graph> random_graph(uint64_t seed, int num_nodes);

/// Random inputs of the graph's types; integers are small.
std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed);
/// Compares outputs and updates of two graphs on the same inputs; empty when they agree.
std::string difference(const Graph& a, const Graph& b, uint64_t seed);

}  // namespace gradc::test
