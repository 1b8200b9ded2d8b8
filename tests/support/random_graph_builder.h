// The state of random graph generation: a pool of values with their numbers, and drawing from it.
// Internal to tests/support/random_graph*.cpp.
#pragma once

#include "ir/builder.h"
#include "ir/op_attrs.h"
#include "tests/support/random_graph.h"

#include <optional>
#include <string>
#include <vector>

namespace gradc::testing {

/// splitmix64: small, and the same everywhere (std distributions are not).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits();
  /// Uniform in [0, count).
  int64_t below(int64_t count);
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }
  bool chance(double probability);
  template <class T>
  const T& pick(const std::vector<T>& items) {
    return items[static_cast<size_t>(below(static_cast<int64_t>(items.size())))];
  }

 private:
  uint64_t state_;
};

/// One input's numbers; depends on the seed, the name and the type only.
Tensor random_tensor(const TensorType& type, const std::string& name, uint64_t seed);

class RandomGraphBuilder {
 public:
  RandomGraphBuilder(uint64_t seed, const RandomGraphOptions& options);

  std::shared_ptr<Graph> run();

 private:
  struct Entry {
    Val val;
    Tensor exact;
    Tensor noisy;
  };
  using Maker = void (RandomGraphBuilder::*)();

  // ---- values (random_graph.cpp)
  // (types by value: references into the graph do not survive new values)
  Val new_input(InputKind kind, TensorType type);
  Val new_constant(TensorType type);
  /// Adds a node when its result is sane; what it needed may stay behind unused.
  std::optional<Val> try_product(Op op, Val a, Val b, AttrRef attrs);
  std::optional<Val> try_node(Op op, std::vector<Val> operands, AttrRef attrs = {},
                              std::shared_ptr<Graph> body = nullptr);
  bool evaluate(NodeId node);
  bool depends_on_inputs(ValueId value) const;
  bool is_sane(const Tensor& exact, const Tensor& noisy) const;
  bool is_near_kink(NodeId node) const;
  bool is_near_jump(const Node& node) const;
  const Entry& entry(ValueId id) const;
  void add_loss();
  void add_updates();
  void add_outputs();

  // ---- drawing
  Shape random_shape(int min_rank, int max_rank);
  Val pick_float(int min_rank = 0, int max_rank = 8);
  Val pick_like(Val x);  ///< a float value of the type of x
  Val weights(TensorType type);
  Val pick_indices(const Shape& shape);
  Val pick_bool(const Shape& shape);
  /// x itself, or squashed into (-1, 1).
  Val tame(Val x);

  // ---- one maker per family (random_graph_ops.cpp)
  void make_elementwise();
  void make_compare();
  void make_cast();
  void make_view();
  void make_view_of(Val x);
  void make_view_chain();
  void make_slice_or_pad(Val x);
  void make_reduce();
  void make_matmul();
  void make_conv();
  void make_pool();
  void make_gather();
  void make_norm();
  void make_source();
  void make_loop();  ///< random_graph_loop.cpp
  void make_attention();

  uint64_t seed_;
  RandomGraphOptions options_;
  double noise_;      ///< relative; some roundings of fp32, or of what products are rounded to
  double tolerance_;  ///< of the noisy against the exact evaluation
  Random random_;
  std::shared_ptr<Graph> graph_;
  Builder builder_;
  std::vector<Entry> pool_;
  int num_inputs_ = 0;
};

}  // namespace gradc::testing
